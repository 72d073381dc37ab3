"""Intervals and tests by resampling items, or whole clusters of items that share a prompt.

Randomness is an argument: a `numpy.random.Generator`, or a seed to make one. Nothing here touches
global state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from selene_lib.evaluation.metrics.counts import COUNT_METRICS

Z95 = NormalDist().inv_cdf(0.975)  # half a 95 % normal interval, in standard errors

SAME = 1e-12  # the spread of resamples that are all alike

# Above so many distinct clusters, drawing indices is faster than drawing counts.
_MULTINOMIAL_LIMIT = 200
_CHUNK_CELLS = 1_000_000  # stays in the processor's cache
# Clusters times distinct rows above which, of this many rows, a sparse matrix is faster.
_DENSE_CELLS = 1_000_000
_MANY_ROWS = 500


@dataclass(frozen=True)
class Interval:
    """A percentile interval, the bootstrap's standard error, and the resamples without a value."""

    low: float
    high: float
    standard_error: float
    n_undefined: int


@dataclass(frozen=True)
class Difference:
    """Metric of `a` less metric of `b` on the same items; interval and p from one set of resamples.

    `p` is two-sided.
    """

    value: float
    ci95_low: float
    ci95_high: float
    p: float
    n: int
    standard_error: float


def metric_value(metric: str, *columns: np.ndarray) -> float:
    """Return a metric of `counts.COUNT_METRICS` on item arrays; NaN where it is undefined.

    `mean` takes values, `weighted_mean` values and weights, the others predicted and gold, each
    [n_items]. Labels may be of any kind: a prediction that no gold item has, such as the `""` of an
    unparsed reply, is simply never equal. Raises ValueError for arrays of different lengths.
    """
    if len({np.shape(column) for column in columns}) > 1:
        shapes = " and ".join(str(np.shape(column)) for column in columns)
        raise ValueError(f"arrays of {shapes} items must have one shape")
    if not len(columns[0]):
        return float("nan")
    rows, code = _distinct_rows(_coded(columns))
    counts = np.bincount(code, minlength=len(rows[0])).astype(float)
    return float(COUNT_METRICS[metric](counts[None], *rows)[0])


def _coded(columns: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Labels as numbers, the same number for the same label in every column."""
    arrays = tuple(np.asarray(column) for column in columns)
    if all(array.dtype.kind in "fiub" for array in arrays):
        return arrays
    _, code = np.unique(
        np.concatenate([array.astype(str) for array in arrays]), return_inverse=True
    )
    return tuple(np.split(code.astype(float), len(arrays)))


def bootstrap_replicates(
    metric: str,
    *columns: np.ndarray,
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
) -> np.ndarray:
    """Return the metric on resamples of the items, [n_resamples].

    `groups` are cluster names per item: clusters are drawn whole.
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
    """Percentile bootstrap interval (Efron 1979), by item or by cluster.

    Of `metric(values)`, or of `metric(values, gold)`.
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
    """Bootstrap of `metric(a) - metric(b)` where both judged the same items, resampled together.

    `gold` is given if the metric takes it. p is twice the smaller share of resamples on either side
    of zero, with one added to each count, at most 1. Where all resamples agree a bootstrap has no
    width: the mean of shares then has the interval that Wilson's allows, other metrics have none.
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
    if found.standard_error < SAME:
        n_clusters = int(type_counts.sum())
        found = _constant_difference(metric, (a, b), float(differences[0]), n_clusters, found)
    below, above = (differences <= 0).sum(), (differences >= 0).sum()
    p = min(1.0, 2 * (min(below, above) + 1) / (len(differences) + 1))
    value = metric_value(metric, a, *tail) - metric_value(metric, b, *tail)
    return Difference(value, found.low, found.high, float(p), len(a), found.standard_error)


def _constant_difference(
    metric: str,
    columns: tuple[np.ndarray, np.ndarray],
    value: float,
    n_clusters: int,
    found: Interval,
) -> Interval:
    within = all(((np.asarray(c) >= 0) & (np.asarray(c) <= 1)).all() for c in columns)
    if metric == "mean" and within:
        return share_difference_interval(value, n_clusters)
    nothing = float("nan")
    return Interval(nothing, nothing, nothing, found.n_undefined)


def share_difference_interval(value: float, n: int) -> Interval:
    """The interval of a difference of shares that was `value` on each of `n` items alike.

    As many of the next ones as Wilson's interval of none in `n` allows may differ from it, and by
    as much as shares can.
    """
    others = wilson_interval(0, n)[1]
    low, high = (value * (1 - others) + sign * others for sign in (-1, 1))
    return Interval(low, high, (high - low) / (2 * Z95), 0)


def permutation_p(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    n_resamples: int = 10_000,
    rng: np.random.Generator | int = 0,
) -> float:
    """Two-sided sign-flip permutation test of `mean(a - b) = 0` on paired items.

    With `groups` the signs of whole clusters are flipped. Sums of equal size are flipped together
    by one binomial draw, so 0/1 outcomes cost a handful of draws a resample.
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
    """The smallest true gap of two judges on `n` paired items that a test finds with that power.

    The test is two-sided at `alpha`: (z_{1-alpha/2} + z_{power}) * sd / sqrt(n), normal
    approximation; `sd_difference` is that of the per-item difference, for 0/1 outcomes the square
    root of the share of items on which the two differ. With clusters give the effective n.
    """
    if not n:
        return float("nan")
    z = NormalDist().inv_cdf
    return (z(1 - alpha / 2) + z(power)) * sd_difference / n**0.5


def wilson_interval(n_right: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's (1927) interval of a proportion.

    It is what remains when all outcomes are equal and a bootstrap has no width.
    """
    if not n:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre, spread = n_right + z * z / 2, z * (n_right * (n - n_right) / n + z * z / 4) ** 0.5
    return max(0.0, (centre - spread) / (n + z * z)), min(1.0, (centre + spread) / (n + z * z))


def cluster_types(
    columns: tuple[np.ndarray, ...], groups: np.ndarray | None
) -> tuple[Any, np.ndarray, list[np.ndarray]]:
    """Sum items up as distinct clusters, how often each occurs, and the distinct rows.

    A cluster is its counts of the distinct rows of the columns, [n_types, n_rows]: a sparse matrix
    where there are many of both, as with probabilities, and then each cluster is a type of its own.
    """
    if len(columns[0]) == 0:
        raise ValueError("cannot resample an empty set")
    rows, code = _distinct_rows(columns)
    n_rows = len(rows[0])
    names = np.arange(len(code)) if groups is None else np.asarray(groups)
    group = np.unique(names, return_inverse=True)[1]
    n_groups = int(group.max()) + 1
    if n_rows > _MANY_ROWS and n_groups * n_rows > _DENSE_CELLS:
        from scipy.sparse import csr_array

        types = csr_array((np.ones(len(code)), (group, code)), shape=(n_groups, n_rows))
        return types, np.ones(n_groups, dtype=int), rows
    if groups is None:
        return np.eye(n_rows), np.bincount(code, minlength=n_rows), rows
    indicator = np.zeros((n_groups, n_rows), dtype=np.int32)
    np.add.at(indicator, (group, code), 1)
    types, type_counts = np.unique(indicator, axis=0, return_counts=True)
    return types.astype(float), type_counts, rows


def _distinct_rows(columns: tuple[np.ndarray, ...]) -> tuple[list[np.ndarray], np.ndarray]:
    """The distinct rows, column by column, [n_rows] each, and the number of each item's row."""
    matrix = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    rows, code = np.unique(matrix, axis=0, return_inverse=True)
    return list(rows.T), code.reshape(-1)


def draw_counts(
    type_counts: np.ndarray, n_rows: int, n_resamples: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield resampled counts of each type in chunks, [chunk, n_types].

    A resample holds as many clusters as there were, drawn with replacement.
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
            counts = np.bincount(flat.ravel(), minlength=size * n_types)
            yield counts.reshape(size, n_types).astype(float)
