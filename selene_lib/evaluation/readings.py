"""Every reading of a domain set by its name: which items count, and whose label is gold. None is
silently chosen.

The published results do not say which of these they stand on. CRAFT-MD: each annotator, the
adjudicated label, the undisputed conversations, every annotation as a row of its own. FinanceBench:
refusals as "No" or left out, pooled and per configuration. A reading follows from what stands in
`Sample.meta` (`question`, `votes`, `refusal`, `model`, `eval_mode`), so any set may have them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from selene_lib.evaluation.metrics import interval, wilson_interval
from selene_lib.evaluation.metrics.counts import accuracy, balanced_accuracy, cohens_kappa
from selene_lib.evaluation.scoring import score_set
from selene_lib.evaluation.scoring.rows import against, known
from selene_lib.paper import values as paper
from selene_lib.records import Judgement, Sample, Score

TIE_BREAK = "tie_break"
OVERALL = "overall"
METRICS = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "cohens_kappa": cohens_kappa,
}
_CODES = {"Yes": 1, "No": 0}
# Cells of the table of (said, gold): said -1 is an unparsed reply, which equals no gold label.
_SAID, _GOLD = np.repeat([-1.0, 0.0, 1.0], 2), np.tile([0.0, 1.0], 3)


@dataclass(frozen=True)
class Reading:
    """`items` are (sample id, gold label) in the order of the samples, `part` the question or
    configuration they belong to.
    """

    name: str
    part: str
    items: tuple[tuple[str, str], ...]


def select_readings(samples: Sequence[Sample]) -> list[Reading]:
    """Return every reading of a classification set, part by part; the first reading of a part is
    the one shown first, not the true one.

    Parts: the questions (`meta["question"]`), then `overall`, the mean over the questions; or the
    whole set, then its configurations (`meta["model"]` and `meta["eval_mode"]`). The tie-breaker's
    few votes enter the adjudicated label and are no reading of their own.
    """
    wrong = next((s for s in samples if s.task != "classification" or s.label is None), None)
    if wrong is not None:
        raise ValueError(
            f"sample {wrong.id}: readings are of classification samples with a label, this is {wrong.task} {wrong.label!r}"
        )
    return [
        reading
        for part, members in _parts(samples).items()
        for reading in _readings_of(part, members)
        if reading.items
    ]


def _parts(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    parts: dict[str, list[Sample]] = {}
    if any("question" in s.meta for s in samples):
        for sample in samples:
            parts.setdefault(str(sample.meta["question"]), []).append(sample)
        return parts
    parts = {"all": list(samples)}
    if any("eval_mode" in s.meta for s in samples):
        for sample in samples:
            parts.setdefault(f"{sample.meta['model']} {sample.meta['eval_mode']}", []).append(
                sample
            )
    return parts


def _readings_of(part: str, samples: Sequence[Sample]) -> list[Reading]:
    votes = {
        s.id: {who: v for who, v in s.meta.get("votes", {}).items() if who != TIE_BREAK}
        for s in samples
    }
    as_labelled = [(s.id, str(s.label)) for s in samples]
    if any("refusal" in s.meta for s in samples):
        answered = {s.id for s in samples if not s.meta["refusal"]}
        kept = tuple((i, label) for i, label in as_labelled if i in answered)
        return [
            Reading("refusals as No", part, tuple(as_labelled)),
            Reading("refusals left out", part, kept),
        ]
    if not any(votes.values()):
        return [Reading("as labelled", part, tuple(as_labelled))]
    annotators = sorted({who for cast in votes.values() for who in cast})
    by_one = [
        Reading(
            f"annotator {who}",
            part,
            tuple((i, cast[who]) for i, cast in votes.items() if who in cast),
        )
        for who in annotators
    ]
    undisputed = tuple((i, label) for i, label in as_labelled if len(set(votes[i].values())) == 1)
    every = tuple((i, cast[who]) for i, cast in votes.items() for who in sorted(cast))
    return [
        Reading("adjudicated", part, tuple(as_labelled)),
        *by_one,
        Reading("undisputed", part, undisputed),
        Reading("every annotation", part, every),
    ]


def readings(
    name: str,
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    published_as: str | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[Score]:
    """Score one judge on a domain set in every reading: accuracy, balanced accuracy and Cohen's
    kappa.

    `convention` is `part, reading`. An unparsed reply counts as wrong; the bounds count all of them
    wrong and all right. Intervals resample whole groups (a case, a question). `published_as` names
    the judge of `paper.PUBLISHED` to stand beside (default: the judge's own name); its value stands
    beside every reading of its part, since nobody knows which one it was. A set of another task
    than classification has one reading, that of `scoring.score_set`. Raises ValueError where a
    sample of the set was not judged.
    """
    said = {j.sample_id: j for j in judgements}
    missing = next((s.id for s in samples if s.id not in said), None)
    if missing is not None:
        raise ValueError(
            f"{name}: sample {missing} was not judged; run the judge on the whole set first"
        )
    judge = judgements[0].judge
    if any(s.task != "classification" for s in samples):
        scores = score_set(
            samples,
            judgements,
            judge=judge,
            set_name=name,
            published_as=published_as,
            seed=seed,
            n_resamples=n_resamples,
        )
        return [replace(s, meta={**s.meta, "part": "all", "reading": s.convention}) for s in scores]
    tables = _tables(samples, {key: j.verdict for key, j in said.items()})
    weights = _cluster_weights(len({s.group or s.id for s in samples}), n_resamples, seed)
    rows: list[Score] = []
    for reading, parts in _by_reading(tables, any("question" in s.meta for s in samples)).items():
        for part, stack in parts.items():
            cell = paper.published(
                published_as or judge, name if part in (OVERALL, "all") else f"{name}:{part}"
            )
            found = _score_rows(judge, name, part, reading, stack, weights)
            rows += [
                against(row, cell) if cell and row.metric == "accuracy" else row for row in found
            ]
    return rows


def _tables(
    samples: Sequence[Sample], verdicts: Mapping[str, str | None]
) -> dict[tuple[str, str], np.ndarray]:
    groups = {s.id: s.group or s.id for s in samples}
    return {(r.part, r.name): _table(r, verdicts, groups) for r in select_readings(samples)}


def _by_reading(
    tables: dict[tuple[str, str], np.ndarray], with_overall: bool
) -> dict[str, dict[str, np.ndarray]]:
    """Reading -> part -> tables of shape `(n_parts, n_clusters, 6)`: one for a part, all of them
    for `overall`.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for (part, name), table in tables.items():
        found.setdefault(name, {})[part] = table[None]
    if with_overall:
        for parts in found.values():
            parts[OVERALL] = np.concatenate(list(parts.values()))
    return found


def _table(
    reading: Reading, verdicts: Mapping[str, str | None], groups: Mapping[str, str]
) -> np.ndarray:
    """Count (said, gold) cells by cluster, shape `(n_clusters, 6)`; clusters of the whole set, so
    that parts share them.
    """
    index = {group: i for i, group in enumerate(dict.fromkeys(groups.values()))}
    table = np.zeros((len(index), len(_SAID)))
    for key, gold in reading.items:
        said = _CODES.get(verdicts[key] or "", -1)
        table[index[groups[key]], 2 * (said + 1) + _CODES[gold]] += 1
    return table


def _cluster_weights(n_clusters: int, n_resamples: int, seed: int) -> np.ndarray:
    return (
        np.random.default_rng(seed)
        .multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=n_resamples)
        .astype(float)
    )


def _score_rows(
    judge: str, name: str, part: str, reading: str, tables: np.ndarray, weights: np.ndarray
) -> list[Score]:
    totals = tables.sum(axis=1)
    n, n_unparsed = int(totals.sum()), int(totals[:, :2].sum())
    replicates = np.stack([weights @ table for table in tables])
    majority = float(
        np.mean([max(t[_GOLD == 0].sum(), t[_GOLD == 1].sum()) / t.sum() for t in totals])
    )
    baselines = {
        "accuracy": (majority, 0.5),
        "balanced_accuracy": (0.5, 0.5),
        "cohens_kappa": (0.0, 0.0),
    }
    headline = part in (OVERALL, "all") and reading in (
        "adjudicated",
        "refusals as No",
        "as labelled",
    )
    rows = []
    for metric, function in METRICS.items():
        value, low, high = (
            _mean_metric(function, t)
            for t in (totals, _moved(totals, wrong=True), _moved(totals, wrong=False))
        )
        ends = _interval(
            np.mean([function(r, _SAID, _GOLD) for r in replicates], axis=0), value, n, metric
        )
        rows.append(
            Score(
                judge=judge,
                set=name,
                task="classification",
                metric=metric,
                convention=f"{part}, {reading}",
                value=known(value),
                n=n,
                n_unparsed=n_unparsed,
                ci95_low=known(ends[0]),
                ci95_high=known(ends[1]),
                bound_low=known(low),
                bound_high=known(high),
                baseline_majority=known(baselines[metric][0]),
                baseline_random=baselines[metric][1],
                meta={
                    "part": part,
                    "reading": reading,
                    "headline": headline and metric == "accuracy",
                },
            )
        )
    return rows


def _mean_metric(function, tables: np.ndarray) -> float | None:
    with np.errstate(invalid="ignore"):
        values = [float(function(table[None], _SAID, _GOLD)[0]) for table in tables]
    return None if any(math.isnan(v) for v in values) else float(np.mean(values))


def _moved(totals: np.ndarray, *, wrong: bool) -> np.ndarray:
    """The counts with every unparsed reply counted wrong, or right."""
    moved = totals.copy()
    for gold in (0, 1):
        said = 1 - gold if wrong else gold
        moved[:, 2 * (said + 1) + gold] += moved[:, gold]
        moved[:, gold] = 0
    return moved


def _interval(
    replicates: np.ndarray, value: float | None, n: int, metric: str
) -> tuple[float | None, float | None]:
    """Percentiles of the replicates; Wilson's interval for an accuracy of 0 or 1, whose resamples
    have no width.
    """
    if value is None:
        return None, None
    if metric == "accuracy" and value in (0.0, 1.0):
        return wilson_interval(round(value * n), n)
    found = interval(replicates)
    return (None, None) if math.isnan(found.low) else (found.low, found.high)


def always(samples: Sequence[Sample], verdict: str, *, set_name: str = "") -> list[Judgement]:
    """Judgements of a judge that always gives the same verdict: the baseline that every judge has
    to beat.
    """
    return [
        Judgement(
            f"always {verdict}",
            set_name,
            s.id,
            s.task,
            "AB",
            "none",
            "",
            verdict,
            "stop",
            "value",
            verdict,
        )
        for s in samples
    ]


def ceilings(
    name: str, samples: Sequence[Sample], *, n_resamples: int = 2000, seed: int = 0
) -> list[Score]:
    """Agreement of two annotators with each other where both saw the item: what a judge can hope
    for. Empty without two annotators.
    """
    scores: list[Score] = []
    for part, members in _parts(samples).items():
        cast = {
            s.id: sorted((w, v) for w, v in s.meta.get("votes", {}).items() if w != TIE_BREAK)
            for s in members
        }
        both = [s for s in members if len(cast[s.id]) == 2]
        if not both:
            continue
        reading = Reading(
            "annotator agreement", part, tuple((s.id, cast[s.id][0][1]) for s in both)
        )
        groups = {s.id: s.group or s.id for s in both}
        table = _table(reading, {s.id: cast[s.id][1][1] for s in both}, groups)[None]
        weights = _cluster_weights(table.shape[1], n_resamples, seed)
        scores += _score_rows("second annotator", name, part, reading.name, table, weights)
    return scores


def domain_table(scores: Sequence[Score]):
    """Scores as Table 2 wants them: one row a judge, set, part and reading, the three metrics side
    by side with their intervals.

    Columns: judge, set, part, reading, n, n_unparsed, accuracy, accuracy_ci95_low,
    accuracy_ci95_high, majority, balanced_accuracy, cohens_kappa (each with its interval),
    published, status.
    """
    import pandas as pd

    rows: dict[tuple[str, str, str, str], dict] = {}
    for s in scores:
        key = (s.judge, s.set, s.meta["part"], s.meta["reading"])
        row = rows.setdefault(
            key,
            dict(zip(("judge", "set", "part", "reading"), key))
            | {"n": s.n, "n_unparsed": s.n_unparsed},
        )
        row |= {
            s.metric: s.value,
            f"{s.metric}_ci95_low": s.ci95_low,
            f"{s.metric}_ci95_high": s.ci95_high,
        }
        if s.metric == "accuracy":
            row |= {"majority": s.baseline_majority, "published": s.published, "status": s.status}
    return pd.DataFrame(list(rows.values()))
