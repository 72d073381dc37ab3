"""Means over task types, as the paper averages: first the sets of a task, then the tasks.

And paired differences of two judges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from selene_lib.evaluation import metrics
from selene_lib.evaluation.metrics.estimates import CORRELATIONS
from selene_lib.evaluation.scoring.conventions import headline_draft
from selene_lib.evaluation.scoring.drafts import STRICT
from selene_lib.evaluation.scoring.outcomes import Outcomes, align_judgements
from selene_lib.evaluation.scoring.rows import Settings, cluster_names
from selene_lib.records import TASKS, Judgement, Sample, Score


@dataclass(frozen=True)
class TaskMean:
    """Mean of a judge over the sets of a task.

    The task `overall` is the mean over the task types that have sets. `n` counts items and
    `n_unparsed` replies, of which a pair has two. `majority` is the same mean of what always giving
    each set's commonest label scores, None where a set has no such baseline. `metric`
    names what it is a mean of.
    """

    judge: str
    task: str
    n: int
    n_unparsed: int
    value: float
    ci95_low: float
    ci95_high: float
    n_sets: int
    majority: float | None = None
    metric: str = ""


def task_means(scores: Iterable[Score], *, absolute_metric: str = "pearson") -> list[TaskMean]:
    """Mean of the headline rows of each judge per task, and over tasks (`overall`).

    `absolute_metric="accuracy"` takes the strict share of exact scores for absolute items instead
    of their correlation, so that all three tasks are on one scale. Sets are independent, so the
    interval is value -+ 1.96 standard errors with se^2 = sum(se_i^2) / k^2 of the bootstrap
    standard errors; it ends where the metric ends. A judge that gives one score to all has no
    correlation: it counts as 0, what chance has, with the error 1 / sqrt(n - 1) of chance, so that
    every judge's mean is over the same sets.
    """
    by_judge: dict[str, list[Score]] = {}
    for score in scores:
        is_known = score.value is not None or _is_one_score_for_all(score)
        if is_known and _stands_for_its_set(score, absolute_metric):
            by_judge.setdefault(score.judge, []).append(score)
    return [row for judge, rows in by_judge.items() for row in _judge_means(judge, rows)]


def _stands_for_its_set(score: Score, absolute_metric: str) -> bool:
    if score.task == "absolute":
        return score.metric == absolute_metric and score.convention == STRICT
    return bool(score.meta.get("headline"))


def _judge_means(judge: str, rows: list[Score]) -> list[TaskMean]:
    means: list[tuple[float, float]] = []
    rules: list[float | None] = []
    result = []
    for task in TASKS:
        mine = [row for row in rows if row.task == task]
        if not mine:
            continue
        value, error = _mean([_value_and_error(row) for row in mine])
        means.append((value, error))
        rules.append(_mean_if_known([row.baseline_majority for row in mine]))
        result.append(_row(judge, task, mine, value, error, rules[-1]))
    if not means:
        return []
    return [*result, _row(judge, "overall", rows, *_mean(means), _mean_if_known(rules))]


def _mean_if_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 10) if known and len(known) == len(values) else None


def _is_one_score_for_all(score: Score) -> bool:
    return score.value is None and score.metric == "pearson" and score.n > 1


def _value_and_error(score: Score) -> tuple[float, float]:
    if _is_one_score_for_all(score):
        return 0.0, (score.n - 1) ** -0.5
    if score.value is None:
        raise ValueError(f"{score.judge} on {score.set} has no value to average")
    return score.value, float(score.meta.get("standard_error") or 0.0)


def _mean(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean of independent values and its standard error."""
    mean = sum(value for value, _ in parts) / len(parts)
    return mean, math.sqrt(sum(error * error for _, error in parts)) / len(parts)


def _row(
    judge: str, task: str, rows: list[Score], value: float, error: float, majority: float | None
) -> TaskMean:
    half = metrics.Z95 * error
    least = -1.0 if any(row.metric in CORRELATIONS for row in rows) else 0.0
    return TaskMean(
        judge,
        task,
        n=sum(r.n for r in rows),
        n_unparsed=sum(r.n_unparsed for r in rows),
        value=round(value, 10),
        ci95_low=round(max(value - half, least), 10),
        ci95_high=round(min(value + half, 1.0), 10),
        n_sets=len(rows),
        majority=majority,
        metric=_metric(task, rows),
    )


def _metric(task: str, rows: Sequence[Score]) -> str:
    """Name what a mean is of: the metrics of its sets, of `overall` task by task."""
    if task != "overall":
        return ", ".join(sorted({row.metric for row in rows}))
    of_task = {t: sorted({r.metric for r in rows if r.task == t}) for t in TASKS}
    return ", ".join(f"{' and '.join(m)} for {t}" for t, m in of_task.items() if m)


@dataclass(frozen=True)
class JudgeComparison:
    """Headline metric of judge `a` less that of `b` on one set and task, paired by item.

    `q` is p after Benjamini-Hochberg.
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
) -> list[JudgeComparison]:
    """Paired differences for each pair of judges `(a, b)` on each set.

    Items (or groups) are resampled for both together. p of an accuracy comes from a sign-flip
    permutation test over groups, p of a correlation from the paired bootstrap; q controls the false
    discovery rate over the whole table. `smallest_gap` is what this set can resolve with power .8
    for this pair.
    """
    settings = Settings(seed, n_resamples)
    rows = []
    for name, samples in samples_by_set.items():
        for a, b in pairs:
            of_a = align_judgements(samples, judgements, judge=a, set_name=name)
            of_b = align_judgements(samples, judgements, judge=b, set_name=name)
            for one, other in zip(of_a, of_b, strict=True):
                rows.append(_compare_one(one, other, settings))
    q = metrics.benjamini_hochberg(np.array([row.p for row in rows]))
    return [replace(row, q=round(float(value), 10)) for row, value in zip(rows, q)]


def _compare_one(one: Outcomes, other: Outcomes, settings: Settings) -> JudgeComparison:
    draft, against = headline_draft(one, settings.seed), headline_draft(other, settings.seed)
    groups = cluster_names(draft.groups)
    columns = (draft.columns[0], against.columns[0], *draft.columns[1:])
    found = metrics.paired_bootstrap(
        *columns,
        metric=draft.kind,
        groups=groups,
        n_resamples=settings.n_resamples,
        rng=settings.rng("compare", one.set, one.task),
    )
    p = found.p
    if draft.kind == "mean":
        p = metrics.permutation_p(
            columns[0],
            columns[1],
            groups=groups,
            n_resamples=10_000,
            rng=settings.rng("permute", one.set, one.task),
        )
    # One observation whose standard deviation is the standard error of the difference.
    gap = metrics.smallest_resolvable_gap(found.standard_error, 1)
    return JudgeComparison(
        a=one.judge,
        b=other.judge,
        set=one.set,
        task=one.task,
        metric=draft.metric,
        n=found.n,
        difference=round(found.value, 10),
        ci95_low=round(found.ci95_low, 10),
        ci95_high=round(found.ci95_high, 10),
        p=round(p, 10),
        q=math.nan,
        smallest_gap=round(gap, 10),
    )
