"""Intervals and tests by resampling items, or whole clusters of items that share a prompt.

Randomness is an argument: a `numpy.random.Generator`, or a seed to make one. Nothing here touches
global state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from selene_lib.evaluation.metrics.counts import COUNT_METRICS

_MULTINOMIAL_LIMIT = (
    200  # above so many distinct clusters, drawing indices is faster than drawing counts
)
_CHUNK_CELLS = 1_000_000  # stays in the processor's cache


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile interval (or another level), the bootstrap's standard error, and how many
    resamples had no value.
    """

    low: float
    high: float
    standard_error: float
    n_undefined: int


@dataclass(frozen=True)
class Difference:
    """Metric of `a` less metric of `b` on the same items, with its interval and a two-sided p-value
    from the same resamples.
    """

    value: float
    ci95_low: float
    ci95_high: float
    p: float
    n: int
    standard_error: float


def metric_value(metric: str, *columns: np.ndarray) -> float:
    """A metric of `counts.COUNT_METRICS` on item arrays: `mean` takes one, the others predicted and
    gold. NaN where undefined.
    """
    counts, rows = _count_rows(columns)
    return (
        float(COUNT_METRICS[metric](counts.sum(0, keepdims=True).astype(float), *rows)[0])
        if len(columns[0])
        else float("nan")
    )


def bootstrap_replicates(
    metric: str,
    *columns: np.ndarray,
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
) -> np.ndarray:
    """Return the metric on `n_resamples` resamples, [n_resamples]. `groups` are cluster names per
    item: clusters are drawn whole.
    """
    types, type_counts, rows = cluster_types(columns, groups)
    generator = np.random.default_rng(rng)
    parts = [
        COUNT_METRICS[metric](draws @ types, *rows)
        for draws in draw_counts(type_counts, types.shape[1], n_resamples, generator)
    ]
    return np.concatenate(parts)


def bootstrap_ci(
    values: np.ndarray,
    gold: np.ndarray | None = None,
    *,
    metric: str = "mean",
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile bootstrap interval (Efron 1979) of `metric(values)` or `metric(values, gold)`, by
    item or by cluster.
    """
    columns = (values,) if gold is None else (values, gold)
    return interval(
        bootstrap_replicates(metric, *columns, groups=groups, n_resamples=n_resamples, rng=rng),
        level,
    )


def interval(replicates: np.ndarray, level: float = 0.95) -> Interval:
    """Percentile interval of replicates; NaN where fewer than half of them are defined."""
    defined = replicates[~np.isnan(replicates)]
    n_undefined = len(replicates) - len(defined)
    if not len(defined) or n_undefined > len(defined):
        return Interval(float("nan"), float("nan"), float("nan"), n_undefined)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), float(defined.std()), n_undefined)


def paired_bootstrap(
    a: np.ndarray,
    b: np.ndarray,
    gold: np.ndarray | None = None,
    *,
    metric: str = "mean",
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
) -> Difference:
    """Bootstrap of `metric(a) - metric(b)` where both judged the same items (resampled together),
    with `gold` if the metric takes it.

    p is twice the smaller share of resamples on either side of zero, with one added to each count,
    at most 1.
    """
    columns = (a, b) if gold is None else (a, b, gold)
    types, type_counts, rows = cluster_types(columns, groups)
    function, rest = COUNT_METRICS[metric], rows[2:]
    generator = np.random.default_rng(rng)
    draws = draw_counts(type_counts, types.shape[1], n_resamples, generator)
    differences = np.concatenate(
        [function(d @ types, rows[0], *rest) - function(d @ types, rows[1], *rest) for d in draws]
    )
    tail = columns[2:]
    found = interval(differences)
    below, above = (differences <= 0).sum(), (differences >= 0).sum()
    p = min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
    value = metric_value(metric, a, *tail) - metric_value(metric, b, *tail)
    return Difference(value, found.low, found.high, float(p), len(a), found.standard_error)


def permutation_p(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    n_resamples: int = 10_000,
    rng: np.random.Generator | int = 0,
) -> float:
    """Two-sided sign-flip permutation test of `mean(a - b) = 0` on paired items; with `groups` the
    signs of whole clusters are flipped.

    Sums of equal size are flipped together by one binomial draw, so 0/1 outcomes cost a handful of
    draws a resample.
    """
    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    if groups is not None:
        _, code = np.unique(np.asarray(groups), return_inverse=True)
        difference = np.bincount(code, weights=difference)
    sizes, n_of_size = np.unique(np.round(np.abs(difference), 12), return_counts=True)
    generator = np.random.default_rng(rng)
    flipped = 2 * generator.binomial(n_of_size, 0.5, size=(n_resamples, len(sizes))) - n_of_size
    sums = np.abs(flipped @ sizes)
    return float(((sums >= abs(difference.sum()) - 1e-9).sum() + 1) / (n_resamples + 1))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values (q) that control the false discovery rate; Benjamini and Hochberg (1995).
    NaN stays NaN and is not counted.
    """
    p = np.asarray(p, dtype=float)
    q = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def smallest_resolvable_gap(
    sd_difference: float, n: int, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest true gap between two judges on `n` paired items that a two-sided test at `alpha`
    finds with probability `power`.

    (z_{1-alpha/2} + z_{power}) * sd / sqrt(n), normal approximation; `sd_difference` is that of the
    per-item difference, for 0/1 outcomes the square root of the share of items on which the two
    differ. With clusters give the effective n.
    """
    from statistics import NormalDist

    z = NormalDist().inv_cdf
    return (z(1 - alpha / 2) + z(power)) * sd_difference / n**0.5 if n else float("nan")


def wilson_interval(n_right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) interval of a proportion: what remains when all outcomes are equal and a
    bootstrap has no width.
    """
    from statistics import NormalDist

    if not n:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre, spread = n_right + z * z / 2, z * (n_right * (n - n_right) / n + z * z / 4) ** 0.5
    return max(0.0, (centre - spread) / (n + z * z)), min(1.0, (centre + spread) / (n + z * z))


def cluster_types(
    columns: tuple[np.ndarray, ...], groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Sum items up: distinct rows of the columns, distinct clusters as counts of rows [n_types,
    n_rows], and how often each occurs.
    """
    if len(columns[0]) == 0:
        raise ValueError("cannot resample an empty set")
    indicator, rows = _count_rows(columns, groups)
    types, type_counts = (
        np.unique(indicator, axis=0, return_counts=True)
        if groups is not None
        else (indicator, None)
    )
    if type_counts is None:
        totals = indicator.sum(0)
        return np.eye(len(totals)), totals, rows
    return types.astype(float), type_counts, rows


def _count_rows(
    columns: tuple[np.ndarray, ...], groups: np.ndarray | None = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Counts of distinct rows, [n_groups, n_rows] ([1, n_rows] without groups), and the rows'
    values per column.
    """
    matrix = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    rows, code = np.unique(matrix, axis=0, return_inverse=True)
    code = code.reshape(-1)
    if groups is None:
        return np.bincount(code, minlength=len(rows))[None], list(rows.T)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((group.max() + 1, len(rows)), dtype=np.int32)
    np.add.at(counts, (group, code), 1)
    return counts, list(rows.T)


def draw_counts(type_counts: np.ndarray, n_rows: int, n_resamples: int, rng: np.random.Generator):
    """Yield resampled counts of each type in chunks, [chunk, n_types]: as many clusters as there
    were, drawn with replacement.
    """
    n, n_types = int(type_counts.sum()), len(type_counts)
    step = max(1, _CHUNK_CELLS // max(n_types, n_rows, 1))
    source = np.repeat(np.arange(n_types), type_counts) if n_types > _MULTINOMIAL_LIMIT else None
    for start in range(0, n_resamples, step):
        size = min(step, n_resamples - start)
        if source is None:
            yield rng.multinomial(n, type_counts / n, size=size).astype(float)
        else:
            drawn = source[rng.integers(0, n, size=(size, n), dtype=np.int32)]
            flat = drawn + np.arange(size)[:, None] * n_types
            yield (
                np.bincount(flat.ravel(), minlength=size * n_types)
                .reshape(size, n_types)
                .astype(float)
            )
