"""Memory and CPU time of what grows with the number of replies and votes, each in a process of its
own: `selene score` on a million replies, `selene arena` on a million votes of 200 judges.

    python bench/million.py [score] [arena] [--n 1000000] [--json]

The files are made here first (not counted). The peak is that of the process, its imports included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

GOALS = {"score": {"peak_gb": 1.0}, "arena": {"peak_gb": 1.0, "cpu_seconds": 15.0}}
N_JUDGES = 200


def make_replies(folder: Path, n: int) -> list[str]:
    """Samples and stored replies as `selene judge` writes them; return the command that scores."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from selene_lib.files import arrow_schema, to_arrow_row
    from selene_lib.files.lines import sealed_line
    from selene_lib.prompts.rendering import render
    from selene_lib.records import Judgement, Sample

    schema, words, text = arrow_schema(Sample), "word " * 10, "text " * 30
    with (
        pq.ParquetWriter(folder / "samples.parquet", schema) as table,
        open(folder / "replies.jsonl", "wb") as stream,
    ):
        for start in range(0, n, 10_000):
            rows = []
            for i in range(start, min(n, start + 10_000)):
                sample = Sample(
                    f"row-{i:016x}",
                    "mine",
                    "absolute",
                    f"do {i} {words}",
                    f"done {i} {text}",
                    rubric="Is it right?",
                    label=str(1 + i % 5),
                )
                prompt = render(sample)
                said = 1 + int(prompt.sha256[:6], 16) % 5
                reply = f"**Reasoning:** because {'so ' * 60}\n\n**Result:** {said}"
                judged = ("absolute", "AB", prompt.template, prompt.sha256, reply, "stop", "value")
                probs = dict(zip("12345", (0.1, 0.1, 0.1, 0.6, 0.1)))
                judgement = Judgement("stub", "mine", sample.id, *judged, str(said), probs, 100, 20)
                rows.append(to_arrow_row(sample))
                stream.write(sealed_line(judgement))
            table.write_table(pa.Table.from_pylist(rows, schema=schema))
    return ["score", "--replies", "replies.jsonl", "--samples", "samples.parquet", "--json"]


def make_votes(folder: Path, n: int) -> list[str]:
    """Votes between judges of known strength; return the command that ranks them."""
    rng = np.random.default_rng(0)
    strength = rng.normal(0, 1, N_JUDGES)
    left = rng.integers(0, N_JUDGES, n)
    right = (left + rng.integers(1, N_JUDGES, n)) % N_JUDGES
    wins = rng.random(n) < 1 / (1 + np.exp(strength[right] - strength[left]))
    winner = np.where(rng.random(n) < 0.1, "tie", np.where(wins, "A", "B"))
    with open(folder / "votes.csv", "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["model_a", "model_b", "winner"])
        writer.writerows((f"judge-{a}", f"judge-{b}", w) for a, b, w in zip(left, right, winner))
    return ["arena", "--votes", "votes.csv", "--json"]


MAKERS = {"score": make_replies, "arena": make_votes}


def measure(what: str, n: int) -> dict[str, float]:
    """CPU seconds and peak memory of the command, whose output must hold something."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "selene_lib.cli", *MAKERS[what](folder, n)]
        with open(folder / "said.json", "w") as said:
            process = subprocess.Popen(command, cwd=folder, stdout=said)
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{what}: the command failed")
        n_rows = len(json.loads((folder / "said.json").read_text()))
        assert n_rows
        return {
            "n": n,
            "n_rows": n_rows,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_gb": usage.ru_maxrss * 1024 / 1e9,
        }


def as_text(result: dict[str, dict[str, float]]) -> str:
    lines = []
    for what, row in result.items():
        shares = [
            f"{row[name]:.2f} {name.replace('_', ' ')}, {row[name] / goal:.2f} of {goal:g}"
            for name, goal in GOALS[what].items()
        ]
        if "cpu_seconds" not in GOALS[what]:
            shares.append(f"{row['cpu_seconds']:.1f} cpu seconds")
        lines.append(f"selene {what} on {row['n']:,.0f} rows: {'; '.join(shares)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=list(MAKERS), help="score, arena")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    result = {what: measure(what, given.n) for what in given.what}
    print(json.dumps(result, indent=1) if given.json else as_text(result))


if __name__ == "__main__":
    main()
