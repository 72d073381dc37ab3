"""What the judges of a synthetic run said and how they were scored, in invented numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from selene_lib.files import write_csv, write_jsonl
from selene_lib.records import Judgement, Sample, Score

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
HOSTILE = "</script><script>window.broken = 1</script> & <b>bold</b> $x$ {{ 7 * 7 }} ]]>"


def made_samples(name: str, task: str, hostile: bool) -> list[Sample]:
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


def write_rows(path: Path, columns: str, rows: list[tuple]) -> None:
    write_csv(path, [dict(zip(columns.split(), row, strict=True)) for row in rows])


def write_evaluation(folder: Path, rng: np.random.Generator, hostile: bool) -> None:
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
                "majority": 0.5 if t in ("classification", "pairwise") else 0.33,
                "metric": "pearson" if t == "absolute" else "accuracy",
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
    for sample in made_samples(name, task, hostile):
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
                    n_prompt_tokens=61,
                    n_reply_tokens=7,
                )
            )
    return rows


def write_domains(folder: Path) -> None:
    write_csv(folder / "domain_scores.csv", _domain_scores())
    both = ("base", "dpo_nll-seed0")
    _formats(folder / "formats.csv", both)
    _arena(folder / "arena.csv")
    _audit(folder / "audit.csv", both)


def _domain_scores() -> list[Score]:
    scores = []
    for judge in ("base", "dpo_nll-seed0"):
        level = JUDGES[judge] - 0.1
        for part, majority in (("diagnosis", 0.67), ("terminology", 0.93), ("overall", 0.8)):
            for reading in ("adjudicated", "annotator 1"):
                score = replace(
                    _score(judge, "nano-clinic", "classification", level, headline=False),
                    meta={"part": part, "reading": reading},
                )
                accuracy = replace(score, n=60, n_unparsed=2, baseline_majority=majority)
                scores.append(replace(accuracy, baseline_random=None))
                scores.append(replace(score, metric="cohens_kappa", value=0.2))
    absent = _score("base", "craft_md", "classification", 0, headline=True)
    why = {"headline": True, "why": "put its files below craft_md"}
    scores.append(replace(absent, value=None, n=0, published=0.64, status="not run", meta=why))
    return scores


def _formats(path: Path, judges: tuple[str, ...]) -> None:
    formats = ["default", "markdown", "json", "xml", "rubric first", "verdict first", "no critique"]
    rows = []
    for judge in judges:
        level = JUDGES[judge]
        for k, name in enumerate(formats):
            n_unparsed = 4 * (name == "xml")
            ends = (level - 0.2, level + 0.1)
            rows.append((judge, name, name, 120, n_unparsed, level - 0.02 * k, *ends))
    write_rows(path, "judge format description n n_unparsed value ci95_low ci95_high", rows)


def _arena(path: Path) -> None:
    rows = []
    for i, judge in enumerate(["base", "simulated-1", "simulated-2", "dpo_nll-seed0"]):
        elo = (1200.0 + 60 * i, 45.0)
        rating = (1190.0 + 50 * i, 1150.0 + 50 * i, 1230.0 + 50 * i)
        rows.append((judge, 300, 1, 1, 1, *elo, *rating, 0.2))
    counts = "judge n_votes n_wins n_ties n_losses"
    write_rows(path, f"{counts} elo elo_printed_interval rating ci95_low ci95_high p_first", rows)


def _audit(path: Path, judges: tuple[str, ...]) -> None:
    probes = {
        "order_bias": "bias",
        "length": "bias",
        "repeat": "stability",
        "planted_result": "attack",
        "closed_fence": "attack",
    }
    rows = []
    for judge in judges:
        for k, (probe, kind) in enumerate(probes.items()):
            for template in ("escape", "plain") if kind == "attack" else ("escape",):
                about = (judge, "nano-pairs", probe, kind, template)
                rows.append((*about, 0.05 * (k + 1), 0.02, 0.3, 60, 0, ""))
    names = "judge set probe kind template effect ci95_low ci95_high n n_unparsed note"
    write_rows(path, names, rows)
