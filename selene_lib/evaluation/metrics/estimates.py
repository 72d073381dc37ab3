"""A metric with an interval that does not pretend: no certainty where every resample is the same,
none from a single group, none outside what the metric can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from selene_lib.evaluation.metrics.resampling import (
    SAME,
    Z95,
    Interval,
    bootstrap_replicates,
    interval,
    metric_value,
    wilson_interval,
)

CORRELATIONS = ("pearson", "spearman", "kendall")
SHARES = ("mean", "accuracy", "weighted_mean")


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and standard error (NaN where there is none), the items and
    the groups behind it, and the resamples in which the metric had no value.
    """

    value: float
    low: float
    high: float
    standard_error: float
    n: int
    n_groups: int
    n_undefined: int = 0


def estimate(
    metric: str,
    *columns: np.ndarray,
    groups: np.ndarray | None = None,
    n_resamples: int = 2000,
    rng: np.random.Generator | int = 0,
) -> Estimate:
    """Return a metric of `COUNT_METRICS` on item arrays, with a bootstrap interval over groups.

    Where all resamples agree a bootstrap has no width: shares then have Wilson's interval at the
    number of groups (of items, where these differ inside each group alike), balanced accuracy the
    mean of those of its classes, correlations Fisher's at a value shrunk by 1 / groups, other
    metrics none. Items that all belong to one group are taken one by one, since a single group says
    nothing of the next.
    """
    n = len(columns[0])
    if not n:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, 0)
    names = np.arange(n) if groups is None else np.asarray(groups)
    n_groups = len(np.unique(names))
    if n_groups == 1:
        names, n_groups = np.arange(n), n
    clusters = names if n_groups < n else None
    replicates = bootstrap_replicates(
        metric, *columns, groups=clusters, n_resamples=n_resamples, rng=rng
    )
    value = metric_value(metric, *columns)
    found = interval(replicates)
    if found.standard_error < SAME or (n_groups == 1 and not math.isnan(value)):
        found = _without_spread(metric, value, columns, names, found.n_undefined)
    return Estimate(
        value, found.low, found.high, found.standard_error, n, n_groups, found.n_undefined
    )


def _without_spread(
    metric: str, value: float, columns: tuple[np.ndarray, ...], names: np.ndarray, n_undefined: int
) -> Interval:
    nothing = Interval(math.nan, math.nan, math.nan, n_undefined)
    n_groups = len(np.unique(names))
    if math.isnan(value):
        return nothing
    if metric in SHARES and 0 <= value <= 1:
        weighted = metric == "weighted_mean"
        counted = columns[1] > 0 if weighted else np.ones(len(names), bool)
        right = columns[0] == columns[1] if metric == "accuracy" else columns[0]
        differ = len(np.unique(np.asarray(right)[counted])) > 1
        n = int(counted.sum()) if differ else len(np.unique(names[counted]))
        return share_interval(value, n, n_undefined)
    if metric in CORRELATIONS and n_groups > 3:
        return _fisher(value, n_groups, n_undefined)
    if metric != "balanced_accuracy":
        return nothing
    verdict, gold = columns
    parts = []
    for label in np.unique(gold):
        mine = gold == label
        share = float((verdict[mine] == gold[mine]).mean())
        parts.append(share_interval(share, len(np.unique(names[mine]))))
    low, high = np.mean([part.low for part in parts]), np.mean([part.high for part in parts])
    return Interval(float(low), float(high), float(high - low) / (2 * Z95), n_undefined)


def _fisher(value: float, n: int, n_undefined: int) -> Interval:
    centre, half = math.atanh(value * (1 - 1 / n)), Z95 / math.sqrt(n - 3)
    low, high = math.tanh(centre - half), math.tanh(centre + half)
    return Interval(min(low, value), max(high, value), (high - low) / (2 * Z95), n_undefined)


def share_interval(value: float, n: float, n_undefined: int = 0) -> Interval:
    """Wilson's interval of a share of `n` independent outcomes, with the error its width says."""
    low, high = wilson_interval(value * n, n)
    return Interval(low, high, (high - low) / (2 * Z95), n_undefined)
