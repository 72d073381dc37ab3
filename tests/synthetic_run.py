"""Result files of a run in the shapes the steps write, made of invented numbers.

Figures and report are tested on it. What judges said and scored is in `synthetic_scores`.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import numpy as np
from synthetic_scores import (
    HOSTILE,
    JUDGES,
    SETS,
    made_samples,
    write_domains,
    write_evaluation,
    write_rows,
)

from selene_lib.files import PathLock, write_csv, write_json, write_parquet, write_text
from selene_lib.records import PreferencePair, Sample

SOURCES = ("nano-coverage", "nano-tone", "nano-poisoned", "nano-redundant")


@functools.cache
def finished_run(folder: Path) -> Path:
    """Write a run and draw its figures once a test session, for all of its workers: drawing takes
    longer than any test of the figures. Return its result folder.

    The figures lie in `figures` beside it; `folder` lies in the worker's own base folder. Tests
    copy what they change.
    """
    from selene_lib.figures import draw_all

    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parents[1] / folder.name
    with PathLock(folder, busy="another worker still draws the run", patience_seconds=300):
        if not (folder / "figures" / "figures.csv").is_file():
            draw_all(write_run(folder / "nano"), folder / "figures", kinds=["png"])
    return folder / "nano"


def write_run(folder: Path, *, hostile: bool = True) -> Path:
    """Write the result files of a whole run below `folder`; return it."""
    rng = np.random.default_rng(7)
    _explore(folder / "01_explore_sources", rng, hostile)
    _curate(folder / "02_curate_preferences", rng)
    _ablate(folder / "03_ablate_sources")
    _train(folder / "04_train_judge", rng)
    write_evaluation(folder / "05_evaluate_benchmarks", rng, hostile)
    write_domains(folder / "06_evaluate_domains")
    _manifest(folder)
    return folder


def _explore(folder: Path, rng: np.random.Generator, hostile: bool) -> None:
    for name, task in SETS.items():
        write_parquet(
            folder / "benchmarks" / f"{name}.parquet", made_samples(name, task, hostile), Sample
        )
    columns = "name role task n labels licence status"
    write_rows(
        folder / "sources.csv",
        columns,
        [(s, "source", "pairwise", 400, "A 200, B 200", "generated", "generated") for s in SOURCES],
    )
    sets = [(s, "benchmark", t, 40, "", "generated", "generated") for s, t in SETS.items()]
    absent = (
        "flask",
        "benchmark",
        "absolute",
        0,
        "",
        "MIT",
        "not asked for by this run; put the publisher's files below flask",
    )
    write_rows(folder / "benchmarks.csv", columns, [*sets, absent])
    _ledger(
        folder / "ledger.csv",
        [
            ("generate", "generation", 400, {}),
            ("contaminated", "filter", 400, {"found in nano-pairs": 3}),
        ],
        tuple(SETS),
    )
    found = (
        "nano-tone-0000000000000001#response",
        "nano-pairs-0000000000000002#response",
        "ngram",
        1.0,
    )
    write_rows(folder / "overlaps.csv", "train_id bench_id method similarity", [found])
    _topic_map(folder, rng)


def _topic_map(folder: Path, rng: np.random.Generator) -> None:
    names = (
        "coverage, items",
        "support, context",
        "tone",
        "words",
        "length",
        "flattery",
        "sums",
        "order of steps, a very long topic name",
    )
    rows, samples = [], []
    for i, topic in enumerate(rng.integers(0, 8, 600)):
        x, y = topic % 3 * 4 + rng.normal(), topic // 3 * 4 + rng.normal()
        source, task = SOURCES[i % 4], ("absolute", "classification", "pairwise")[i % 3]
        rows.append((f"{source}-{i:016x}", x, y, topic, names[topic], source, task))
        text = {"rubric": "[Is it right?]", "response": f"Mapped {i}", "label": "Yes"}
        samples.append(Sample(rows[-1][0], source, "classification", f"Mapped {HOSTILE}", **text))
    write_rows(folder / "topic_map.csv", "id x y topic topic_name source task", rows)
    write_parquet(folder / "samples.parquet", samples, Sample)


def _ledger(
    path: Path, stages: list[tuple[str, str, int, dict[str, int]]], sets: tuple[str, ...] = ()
) -> None:
    """`sets` are evaluation sets of 40 items, which only the first stage sees."""
    rows: list[dict[str, object]] = []
    for name in sets:
        counts = {"n_in": 40, "n_out": 40, "reason": "", "n_dropped": 0}
        rows.append({"stage": stages[0][0], "kind": stages[0][1], "source": name, **counts})
    for stage, kind, n_in, dropped in stages:
        for source in SOURCES:
            n_out = n_in - sum(dropped.values())
            for reason, n in (dropped or {"": 0}).items():
                rows.append(
                    {
                        "stage": stage,
                        "kind": kind,
                        "source": source,
                        "n_in": n_in,
                        "n_out": n_out,
                        "reason": reason,
                        "n_dropped": n,
                    }
                )
    write_csv(path, rows)


def _pairs() -> list[PreferencePair]:
    return [
        PreferencePair(
            id=f"p{i}",
            sample_id=f"s{i}",
            source=SOURCES[i % 4],
            task="pairwise",
            prompt="Which is better?",
            chosen="**Result:** A",
            rejected="**Result:** B",
            with_critique=i % 10 < 7,
            label="A",
            rejected_verdict="B",
        )
        for i in range(50)
    ]


def _curate(folder: Path, rng: np.random.Generator) -> None:
    write_parquet(folder / "pairs.parquet", _pairs(), PreferencePair)
    stages = [
        ("labels", "filter", 397, {"no gold label": 2}),
        ("critiques", "generation", 395, {"verdict differs from what was asked": 11, "refused": 4}),
        ("duplicates", "filter", 380, {"same text": 5}),
        ("pairs", "generation", 375, {"no rejected side": 3, "tie": 2, "too long": 1, "other": 1}),
    ]
    _ledger(folder / "ledger.csv", stages)
    _ledger(
        folder.parent / "04_train_judge" / "ledger.csv",
        [
            *stages,
            ("reward threshold", "decision", 368, {"reward below threshold": 60}),
            ("source inclusion", "decision", 308, {"source dropped": 77}),
        ],
    )
    bins = [(low, low + 1.0, side) for side in ("chosen", "rejected") for low in (-1.0, 0.0, 1.0)]
    write_csv(
        folder / "rewards.csv",
        [
            {"source": s, "side": k, "low": a, "high": b, "n": int(9 + a)}
            for s in SOURCES
            for a, b, k in bins
        ],
    )
    pair = {
        "instruction": "Name $two$ rivers.\n" + "word " * 300,
        "rubric": "[Does it name two?]",
        "response": HOSTILE,
        "reference": "Rhine, Elbe",
        "chosen": "**Reasoning:** It names two.\n\n**Result:** Yes",
        "rejected": "**Reasoning:** It names one.\n\n**Result:** No",
        "label": "Yes",
        "rejected_verdict": "No",
        "source": "nano-coverage",
        "task": "classification",
    }
    write_json(folder / "example_pair.json", pair)


ADDS = {
    "nano-coverage": 0.06,
    "nano-tone": 0.02,
    "nano-poisoned": -0.07,
    "nano-redundant": 0.001,
}


def _ablate(folder: Path) -> None:
    arms: list[dict[str, object]] = [
        {"arm": "full", "kind": "full", "n_pairs": 368, "accuracy": 0.7},
    ]
    for source, effect in ADDS.items():
        arms.append(
            {
                "arm": f"without {source}",
                "kind": "leave_out",
                "source": source,
                "n_pairs": 300,
                "accuracy": 0.7 - effect,
                "effect": effect,
                "ci95_low": effect - 0.03,
                "ci95_high": effect + 0.03,
                "finding": "no effect shown",
                "decision": "drop" if effect < -0.03 else "keep",
            }
        )
    reward = {"arm": "reward >= 0.1", "kind": "threshold", "threshold": 0.1, "n_pairs": 330}
    effect = {"accuracy": 0.74, "effect": 0.04, "ci95_low": 0.01, "ci95_high": 0.07}
    arms.append({**reward, **effect, "finding": "helps"})
    tested = {"p": 0.01, "q": 0.02}
    columns = (
        "arm kind source threshold n_pairs accuracy effect ci95_low ci95_high p q finding decision"
    )
    rows = [arms[0], *({**arm, **tested} for arm in arms[1:])]
    write_rows(
        folder / "ablation.csv",
        columns,
        [tuple(row.get(name) for name in columns.split()) for row in rows],
    )
    sweep = [(None, 368, 0.7, ""), (0.1, 330, 0.74, "chosen"), (0.2251234, 290, 0.73, "")]
    write_rows(
        folder / "threshold_sweep.csv",
        "threshold n_pairs accuracy ci95_low ci95_high decision",
        [(t, n, a, a - 0.04, a + 0.04, decision) for t, n, a, decision in sweep],
    )
    write_text(
        folder / "decisions.yaml",
        "reward_threshold: 0.1\nsources: {nano-poisoned: {keep: false}}\n",
    )


def _train(folder: Path, rng: np.random.Generator) -> None:
    rows = []
    for arm in [a for a in JUDGES if a != "base"]:
        loss, seed = arm.split("-seed")
        for step in range(1, 61):
            fall = float(np.exp(-step / 20) + rng.normal() * 0.03)
            rows.append(
                {
                    "arm": arm,
                    "loss_kind": loss,
                    "seed": int(seed),
                    "step": step,
                    "loss": 0.3 + fall,
                    "dpo": fall,
                    "nll": 0.2 + fall / 2,
                    "margin": 3 * (1 - fall),
                    "reward_accuracy": 1 - fall / 2,
                    "learning_rate": 1e-3,
                }
            )
    write_csv(folder / "training.csv", rows)
    arms = {row["arm"]: row for row in rows}.values()  # the last step of each
    kept = ("arm", "loss_kind", "seed", "dpo", "nll", "margin", "reward_accuracy")
    write_csv(
        folder / "held_out.csv",
        [{"n_pairs": 30, **{name: row[name] for name in kept}} for row in arms],
    )


def _manifest(folder: Path) -> None:
    environment = {
        "git": {"commit": "a" * 40, "dirty": False},
        "versions": {"python": "3.11", "torch": "2.13.0"},
        "hardware": {"n_cpus": 2, "gpu": None, "machine": "x86_64", "memory_bytes": 8 << 30},
    }
    steps = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        outputs = {
            p.name: {"path": f"{path.name}/{p.name}", "sha256": "b" * 64, "bytes": 10}
            for p in sorted(path.iterdir())
        }
        steps[path.name] = {
            "step": path.name,
            "run": folder.name,
            "fingerprint": "c" * 64,
            "parameters": {
                "run": folder.name,
                "seed": 0,
                "base_model": "embedded",
                "sources": "nano",
                "sets": "nano",
            },
            "code_sha256": "d" * 64,
            "inputs": {},
            "outputs": outputs,
            "wall_seconds": 12.5,
            "peak_memory_bytes": 5 << 28,
            "finished_at": "2026-01-01T00:00:00Z",
            **environment,
        }
    write_json(
        folder / "manifest.json", json.loads(json.dumps({"run": folder.name, "steps": steps}))
    )
