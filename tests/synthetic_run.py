"""Result files of a run in the shapes the steps write, made of invented numbers: what figures and
report are tested on.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from selene_lib.files import write_csv, write_json, write_jsonl, write_parquet, write_text
from selene_lib.records import Judgement, PreferencePair, Sample, Score

JUDGES = {
    "base": 0.55,
    "dpo_nll-seed0": 0.8,
    "dpo_nll-seed1": 0.78,
    "dpo_nll-seed2": 0.82,
    "dpo-seed0": 0.7,
    "nll-seed0": 0.72,
}
SETS = {
    "nano-grades": "absolute",
    "nano-support": "classification",
    "nano-pairs": "pairwise",
    "nano-ood-pairs": "pairwise",
}
SOURCES = ("nano-coverage", "nano-tone", "nano-poisoned", "nano-redundant")
HOSTILE = "</script><script>window.broken = 1</script> & <b>bold</b> $x$ {{ 7 * 7 }} ]]>"


@functools.cache
def finished_run(folder: Path) -> Path:
    """Write a run and draw its figures once a test session; return its result folder, the figures
    lie in `figures` beside it.
    """
    from selene_lib.figures import draw_all

    run = write_run(folder / "nano")
    draw_all(run, folder / "figures")
    return run


def write_run(folder: Path, *, hostile: bool = True) -> Path:
    """Write the result files of a whole run below `folder`; return it."""
    rng = np.random.default_rng(7)
    _explore(folder / "01_explore_sources", rng, hostile)
    _curate(folder / "02_curate_preferences", rng)
    _ablate(folder / "03_ablate_sources")
    _train(folder / "04_train_judge", rng)
    _evaluate(folder / "05_evaluate_benchmarks", rng, hostile)
    _domains(folder / "06_evaluate_domains")
    _manifest(folder)
    return folder


def _samples(name: str, task: str, hostile: bool) -> list[Sample]:
    labels = {"absolute": "12345", "classification": ("Yes", "No"), "pairwise": "AB"}[task]
    text = HOSTILE if hostile else "plain"
    return [
        Sample(
            id=f"{name}-{i:016x}",
            source=name,
            task=task,
            instruction=f"Instruction {i} {text}",
            response=f"Response {i} {text}",
            response_b=f"Other {i}" if task == "pairwise" else None,
            rubric=f"[Is it right? {i}]",
            label=labels[i % len(labels)],
        )
        for i in range(40)
    ]


def _table(path: Path, columns: str, rows: list[tuple]) -> None:
    write_csv(path, [dict(zip(columns.split(), row, strict=True)) for row in rows])


def _explore(folder: Path, rng: np.random.Generator, hostile: bool) -> None:
    for name, task in SETS.items():
        write_parquet(
            folder / "benchmarks" / f"{name}.parquet", _samples(name, task, hostile), Sample
        )
    columns = "name role task n labels licence status"
    _table(
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
    _table(folder / "benchmarks.csv", columns, [*sets, absent])
    _ledger(
        folder / "ledger.csv",
        [
            ("generate", "generation", 400, {}),
            ("contaminated", "filter", 400, {"found in nano-pairs": 3}),
        ],
    )
    found = (
        "nano-tone-0000000000000001#response",
        "nano-pairs-0000000000000002#response",
        "ngram",
        1.0,
    )
    _table(folder / "overlaps.csv", "train_id bench_id method similarity", [found])
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
    rows = []
    for i, topic in enumerate(rng.integers(0, 8, 600)):
        x, y = topic % 3 * 4 + rng.normal(), topic // 3 * 4 + rng.normal()
        source, task = SOURCES[i % 4], ("absolute", "classification", "pairwise")[i % 3]
        rows.append((f"{source}-{i:016x}", x, y, topic, names[topic], source, task))
    _table(folder / "topic_map.csv", "id x y topic topic_name source task", rows)
    script = "document.getElementById('m').textContent='map \"drawn\"'"
    write_text(
        folder / "topic_map.html",
        f"<!doctype html><title>map</title><body><p id=m>map</p><script>{script}</script>",
    )


def _ledger(path: Path, stages: list[tuple[str, str, int, dict[str, int]]]) -> None:
    rows = []
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


def _ablate(folder: Path) -> None:
    columns = (
        "arm kind source threshold n_pairs accuracy effect ci95_low ci95_high p q finding decision"
    )
    adds = {
        "nano-coverage": 0.06,
        "nano-tone": 0.02,
        "nano-poisoned": -0.07,
        "nano-redundant": 0.001,
    }
    arms: list[tuple] = [
        ("full", "full", None, None, 368, 0.7, None, None, None, None, None, None, None)
    ]
    for source, e in adds.items():
        decision = "drop" if e < -0.03 else "keep"
        arms.append(
            (
                f"without {source}",
                "leave_out",
                source,
                None,
                300,
                0.7 - e,
                e,
                e - 0.03,
                e + 0.03,
                0.01,
                0.02,
                "no effect shown",
                decision,
            )
        )
    arms.append(
        (
            "reward >= 0.1",
            "threshold",
            None,
            0.1,
            330,
            0.74,
            0.04,
            0.01,
            0.07,
            0.01,
            0.02,
            "helps",
            None,
        )
    )
    _table(folder / "ablation.csv", columns, arms)
    sweep = [
        (t, n, a, a - 0.04, a + 0.04, d)
        for t, n, a, d in [
            (None, 368, 0.7, ""),
            (0.1, 330, 0.74, "chosen"),
            (0.2251234, 290, 0.73, ""),
        ]
    ]
    _table(
        folder / "threshold_sweep.csv",
        "threshold n_pairs accuracy ci95_low ci95_high decision",
        sweep,
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


def _evaluate(folder: Path, rng: np.random.Generator, hostile: bool) -> None:
    scores, means = [], []
    for judge, level in JUDGES.items():
        for name, task in SETS.items():
            scores.append(
                _score(judge, name, task, level - 0.05 * (name == "nano-ood-pairs"), headline=True)
            )
            scores.append(_score(judge, name, task, level + 0.02, headline=False))
            write_jsonl(
                folder / "judgements" / judge / f"{name}.jsonl",
                _judgements(judge, level, name, task, hostile, rng),
            )
        means += [
            {
                "judge": judge,
                "task": t,
                "n": 40,
                "n_unparsed": 1,
                "value": level,
                "ci95_low": level - 0.05,
                "ci95_high": level + 0.05,
            }
            for t in ("absolute", "classification", "pairwise", "overall")
        ]
    scores.append(_score("base", "auto_j", "pairwise", 0.41, headline=True, published=0.576))
    scores.append(
        _score("dpo_nll-seed0", "auto_j", "pairwise", 0.44, headline=True, published=0.576)
    )
    write_csv(folder / "scores.csv", scores)
    write_csv(folder / "task_means.csv", means)
    tasks = ("absolute", "classification", "pairwise", "overall")
    seeds = [
        {
            "judge": j,
            **dict.fromkeys(tasks, v),
            "gain_points": 100 * (v - 0.55),
            "intervals_apart": v > 0.65,
        }
        for j, v in JUDGES.items()
    ]
    write_csv(folder / "seeds.csv", seeds)


def _score(
    judge: str,
    name: str,
    task: str,
    value: float,
    *,
    headline: bool,
    published: float | None = None,
) -> Score:
    return Score(
        judge=judge,
        set=name,
        task=task,
        metric="accuracy" if task != "absolute" else "pearson",
        convention="strict" if headline else "better of two orders",
        value=value,
        n=40,
        n_unparsed=1,
        ci95_low=value - 0.06,
        ci95_high=min(1.0, value + 0.06),
        bound_low=value,
        bound_high=value + 0.025,
        baseline_majority=None if task == "absolute" else 0.5,
        baseline_random=None if task == "absolute" else 0.5,
        published=published,
        published_note="unverified" if published else "",
        status="differs" if published else "no published value",
        meta={"headline": True} if headline else {},
    )


def _judgements(
    judge: str, level: float, name: str, task: str, hostile: bool, rng: np.random.Generator
) -> list[Judgement]:
    rows = []
    for sample in _samples(name, task, hostile):
        for order in ("AB", "BA") if task == "pairwise" else ("AB",):
            gold = (sample if order == "AB" else sample.swap()).label
            others = [
                v
                for v in (
                    {"absolute": "12345", "classification": ("Yes", "No"), "pairwise": "AB"}[task]
                )
                if v != gold
            ]
            verdict = gold if rng.random() < level else str(rng.choice(others))
            probability = float(rng.uniform(0.5, 1))
            rows.append(
                Judgement(
                    judge=judge,
                    set=name,
                    sample_id=sample.id,
                    task=task,
                    order=order,
                    template=f"nano/{task}",
                    prompt_sha256="0" * 64,
                    reply=f"**Reasoning:** {HOSTILE if hostile else 'so'}\n\n**Result:** {verdict}",
                    finish_reason="stop",
                    status="value",
                    verdict=verdict,
                    verdict_probs={verdict: probability},
                )
            )
    return rows


def _domains(folder: Path) -> None:
    scores = []
    for judge in ("base", "dpo_nll-seed0"):
        for part, majority in (("diagnosis", 0.67), ("terminology", 0.93), ("overall", 0.8)):
            for reading in ("adjudicated", "annotator 1"):
                score = _score(
                    judge, "nano-clinic", "classification", JUDGES[judge] - 0.1, headline=False
                )
                meta = {"part": part, "reading": reading}
                scores.append(
                    replace(
                        score,
                        n=60,
                        n_unparsed=2,
                        baseline_majority=majority,
                        baseline_random=None,
                        meta=meta,
                    )
                )
                scores.append(replace(score, metric="cohens_kappa", value=0.2, meta=meta))
    absent = _score("base", "craft_md", "classification", 0, headline=True)
    scores.append(
        replace(
            absent,
            value=None,
            n=0,
            published=0.64,
            status="not run",
            meta={"headline": True, "why": "put its files below craft_md"},
        )
    )
    write_csv(folder / "domain_scores.csv", scores)
    both, formats = (
        ("base", "dpo_nll-seed0"),
        ("default", "markdown", "json", "xml", "rubric first", "verdict first", "no critique"),
    )
    rows = [
        (j, f, f, 120, 4 * (f == "xml"), JUDGES[j] - 0.02 * k, JUDGES[j] - 0.2, JUDGES[j] + 0.1)
        for j in both
        for k, f in enumerate(formats)
    ]
    _table(
        folder / "formats.csv",
        "judge format description n n_unparsed value ci95_low ci95_high",
        rows,
    )
    names = "judge n_votes n_wins n_ties n_losses "
    names += "elo elo_printed_interval rating ci95_low ci95_high p_first"
    judges = enumerate(["base", "simulated-1", "simulated-2", "dpo_nll-seed0"])
    arena = [
        (
            j,
            300,
            1,
            1,
            1,
            1200.0 + 60 * i,
            45.0,
            1190.0 + 50 * i,
            1150.0 + 50 * i,
            1230.0 + 50 * i,
            0.2,
        )
        for i, j in judges
    ]
    _table(folder / "arena.csv", names, arena)
    probes = [
        ("order_bias", "bias"),
        ("length", "bias"),
        ("repeat", "stability"),
        ("planted_result", "attack"),
        ("closed_fence", "attack"),
    ]
    audit = [
        (judge, "nano-pairs", probe, kind, template, 0.05 * (k + 1), 0.02, 0.3, 60, 0, "")
        for judge in both
        for k, (probe, kind) in enumerate(probes)
        for template in (("escape", "plain") if kind == "attack" else ("escape",))
    ]
    _table(
        folder / "audit.csv",
        "judge set probe kind template effect ci95_low ci95_high n n_unparsed note",
        audit,
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
