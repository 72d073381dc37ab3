"""A small set of the tests' own, for what all adapters rely on."""

from __future__ import annotations

import json
from pathlib import Path

from selene_lib.data import DataSpec, DropRow, Row
from selene_lib.records import Sample

REVISION = "0123456789abcdef0123456789abcdef01234567"


def to_samples(row: Row) -> Sample:
    if row.number("score", -1, 5) == -1:
        raise DropRow("not scored")
    return row.sample(
        "absolute",
        row.text("q"),
        row.text("r"),
        label=str(int(row.number("score"))),
        score=row.number("score"),
    )


SPEC = DataSpec(
    name="toy",
    role="source",
    task="absolute",
    title="Toy",
    licence="MIT",
    label="a score",
    columns={"q": "text", "r": "text", "score": "1..5 or -1"},
    to_samples=to_samples,
    shape_known_from="assumed",
    files=("*.jsonl | *.json | *.csv",),
    hub_id="owner/toy",
)


def toy_rows(n: int) -> list[dict]:
    return [{"q": f"question {i}", "r": f"response {i}", "score": 1 + i % 5} for i in range(n)]


def write_toy(data_dir: Path, rows: list[dict | str], name: str = "toy.jsonl") -> Path:
    (data_dir / "toy").mkdir(exist_ok=True)
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    (data_dir / "toy" / name).write_text(text, encoding="utf-8")
    return data_dir
