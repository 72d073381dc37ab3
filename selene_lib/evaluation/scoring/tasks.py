"""Means over task types, as the paper averages: first the sets of a task, then the tasks; and
paired differences of two judges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.conventions import drafts_of
from selene_lib.evaluation.scoring.outcomes import lay_out
from selene_lib.evaluation.scoring.rows import STRICT, Settings, cluster_names
from selene_lib.records import TASKS, Judgement, Sample, Score

_Z95 = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class TaskMean:
    """Mean of a judge over the sets of a task; the task `overall` is the mean over the task types
    that have sets.
    """

    judge: str
    task: str
    n: int
    n_unparsed: int
    value: float
    ci95_low: float
    ci95_high: float
    n_sets: int


def task_means(scores: Iterable[Score], *, absolute_metric: str = "pearson") -> list[TaskMean]:
    """Mean of the headline rows of each judge per task, and over tasks (`overall`).

    `absolute_metric="accuracy"` takes the strict share of exact scores for absolute items instead
    of their correlation, so that all three tasks are on one scale. Sets are independent, so the
    interval is value -+ 1.96 standard errors with se^2 = sum(se_i^2) / k^2 of the bootstrap
    standard errors.
    """
    by_judge: dict[str, list[Score]] = {}
    for score in scores:
        if score.value is not None and _stands_for_its_set(score, absolute_metric):
            by_judge.setdefault(score.judge, []).append(score)
    return [row for judge, rows in by_judge.items() for row in _judge_means(judge, rows)]


def _stands_for_its_set(score: Score, absolute_metric: str) -> bool:
    if score.task == "absolute":
        return score.metric == absolute_metric and score.convention == STRICT
    return bool(score.meta.get("headline"))


def _judge_means(judge: str, rows: list[Score]) -> list[TaskMean]:
    means: list[tuple[float, float]] = []
    result = []
    for task in TASKS:
        mine = [row for row in rows if row.task == task]
        if not mine:
            continue
        value, error = _mean([(row.value, row.meta.get("standard_error") or 0.0) for row in mine])  # type: ignore[list-item]
        means.append((value, error))
        result.append(_row(judge, task, mine, value, error))
    return [*result, _row(judge, "overall", rows, *_mean(means))] if means else []


def _mean(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean of independent values and its standard error."""
    return sum(v for v, _ in parts) / len(parts), math.sqrt(sum(e * e for _, e in parts)) / len(
        parts
    )


def _row(judge: str, task: str, rows: list[Score], value: float, error: float) -> TaskMean:
    half = _Z95 * error
    ends = (round(value - half, 10), round(value + half, 10))
    return TaskMean(
        judge,
        task,
        sum(r.n for r in rows),
        sum(r.n_unparsed for r in rows),
        round(value, 10),
        *ends,
        len(rows),
    )


def task_means_from_items(
    correct: Mapping[str, np.ndarray],
    *,
    groups: Mapping[str, np.ndarray] | None = None,
    judge: str = "",
    n_resamples: int = 2000,
    seed: int = 0,
) -> list[TaskMean]:
    """Mean per task and over tasks from per-item outcomes in [0, 1], with percentile bootstrap
    intervals.

    `correct[task]` is [n_items]; every task counts the same in `overall`, whatever its size.
    Unparsed must be 0 in it already.
    """
    replicates, result = [], []
    settings = Settings(seed, n_resamples)
    for task, values in correct.items():
        mine = groups[task] if groups else None
        draws = metrics.bootstrap_replicates(
            "mean",
            np.asarray(values),
            groups=mine,
            n_resamples=n_resamples,
            rng=settings.rng("task", task),
        )
        replicates.append(draws)
        result.append(_interval_row(judge, task, len(values), float(np.mean(values)), draws))
    overall = float(np.mean([np.mean(values) for values in correct.values()]))
    total = sum(len(values) for values in correct.values())
    return [*result, _interval_row(judge, "overall", total, overall, np.mean(replicates, axis=0))]


def _interval_row(judge: str, task: str, n: int, value: float, draws: np.ndarray) -> TaskMean:
    found = metrics.interval(draws)
    return TaskMean(
        judge, task, n, 0, round(value, 10), round(found.low, 10), round(found.high, 10), 1
    )


@dataclass(frozen=True)
class Comparison:
    """Headline metric of judge `a` less that of `b` on one set and task, paired by item; `q` is p
    after Benjamini-Hochberg.
    """

    a: str
    b: str
    set: str
    task: str
    metric: str
    n: int
    difference: float
    ci95_low: float
    ci95_high: float
    p: float
    q: float
    smallest_gap: float


def compare(
    samples_by_set: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    pairs: Sequence[tuple[str, str]],
    *,
    seed: int = 0,
    n_resamples: int = 2000,
) -> list[Comparison]:
    """Paired differences for each pair of judges `(a, b)` on each set: items (or groups) are
    resampled for both together.

    p of an accuracy comes from a sign-flip permutation test over groups, p of a correlation from
    the paired bootstrap; q controls the false discovery rate over the whole table. `smallest_gap`
    is what this set can resolve with power .8 for this pair.
    """
    settings = Settings(seed, n_resamples)
    rows = []
    for set_name, samples in samples_by_set.items():
        for a, b in pairs:
            laid = [
                lay_out(samples, judgements, judge=judge, set_name=set_name) for judge in (a, b)
            ]
            for one, other in zip(*laid, strict=True):
                rows.append(_compare_one(one, other, settings))
    q = metrics.benjamini_hochberg(np.array([row.p for row in rows])) if rows else []
    return [
        Comparison(**{**row.__dict__, "q": round(float(value), 10)}) for row, value in zip(rows, q)
    ]


def _compare_one(one, other, settings: Settings) -> Comparison:
    drafts = [
        next(d for d in drafts_of(o, settings.seed) if d.meta.get("headline")) for o in (one, other)
    ]
    groups = cluster_names(drafts[0].groups)
    columns = (drafts[0].columns[0], drafts[1].columns[0], *drafts[0].columns[1:])
    rng = settings.rng("compare", one.set, one.task)
    found = metrics.paired_bootstrap(
        *columns, metric=drafts[0].kind, groups=groups, n_resamples=settings.n_resamples, rng=rng
    )
    p = found.p
    if drafts[0].kind == "mean":
        p = metrics.permutation_p(
            *columns,
            groups=groups,
            n_resamples=10_000,
            rng=settings.rng("permute", one.set, one.task),
        )
    gap = (NormalDist().inv_cdf(0.8) + _Z95) * found.standard_error
    value, low, high = (round(v, 10) for v in (found.value, found.ci95_low, found.ci95_high))
    return Comparison(
        a=one.judge,
        b=other.judge,
        set=one.set,
        task=one.task,
        metric=drafts[0].metric,
        n=found.n,
        difference=value,
        ci95_low=low,
        ci95_high=high,
        p=round(p, 10),
        q=math.nan,
        smallest_gap=round(gap, 10),
    )
