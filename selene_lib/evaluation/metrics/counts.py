"""Each metric once, as a function of the counts of the distinct rows of (predicted, gold).

Judges give few distinct values (five scores, two labels), so a set of thousands of items is a table
of dozens of cells, and a resample of the items is a draw of the cells' counts. One vectorised call
therefore gives a metric on all resamples: `counts` is [n_resamples, n_rows], `x` and `y` are
[n_rows], the result is [n_resamples] with NaN where the metric is not defined (a constant judge has
no correlation).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from selene_lib.evaluation.metrics.calibration import bin_numbers

CountMetric = Callable[..., np.ndarray]


def mean(counts: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Mean of `x`."""
    return _divide(counts @ x, counts.sum(1))


def weighted_mean(counts: np.ndarray, x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mean of `x` with a weight per row: sum of weight times x over the sum of weights."""
    return _divide(counts @ (weight * x), counts @ weight)


def accuracy(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Share of rows with `x == y`."""
    return _divide(counts @ (x == y).astype(float), counts.sum(1))


def mean_absolute_error(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean of |x - y|."""
    return _divide(counts @ np.abs(x - y), counts.sum(1))


def balanced_accuracy(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean over the gold classes that occur of the share of that class found."""
    classes = y[:, None] == np.unique(y)
    recall = _divide(
        counts @ (classes & (x == y)[:, None]).astype(float), counts @ classes.astype(float)
    )
    present = ~np.isnan(recall)
    return _divide(np.where(present, recall, 0.0).sum(1), present.sum(1))


def cohens_kappa(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Agreement beyond that of the two marginals: (p_o - p_e) / (1 - p_e); Cohen (1960)."""
    labels = np.unique(np.concatenate([x, y]))
    total = counts.sum(1)
    observed = _divide(counts @ (x == y).astype(float), total)
    share_x = _divide(counts @ (x[:, None] == labels).astype(float), total[:, None])
    share_y = _divide(counts @ (y[:, None] == labels).astype(float), total[:, None])
    expected = (share_x * share_y).sum(1)
    return _divide(observed - expected, 1.0 - expected)


def quadratic_kappa(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cohen's (1968) kappa of scores, a disagreement weighing its squared distance.

    1 - E[(x - y)^2] / E'[(x - y)^2], E' with both marginals as they are and independent.
    """
    total = counts.sum(1)
    mean_x, mean_y = _divide(counts @ x, total), _divide(counts @ y, total)
    square_x, square_y = _divide(counts @ x**2, total), _divide(counts @ y**2, total)
    observed = _divide(counts @ (x - y) ** 2, total)
    return 1.0 - _divide(observed, square_x + square_y - 2 * mean_x * mean_y)


def pearson(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's product-moment correlation."""
    total = counts.sum(1)
    # Centred, the correlation is the same and less cancels in the sums below.
    x, y = x - x.mean(), y - y.mean()
    mean_x, mean_y = _divide(counts @ x, total), _divide(counts @ y, total)
    covariance = _divide(counts @ (x * y), total) - mean_x * mean_y
    variance_x = _divide(counts @ (x * x), total) - mean_x**2
    variance_y = _divide(counts @ (y * y), total) - mean_y**2
    return _correlation(covariance, variance_x, variance_y)


def spearman(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of ranks, ties at their mean rank."""
    total = counts.sum(1)
    rank_x, rank_y = _centred_ranks(counts, x), _centred_ranks(counts, y)
    covariance = _divide((counts * rank_x * rank_y).sum(1), total)
    variance_x = _divide((counts * rank_x**2).sum(1), total)
    variance_y = _divide((counts * rank_y**2).sum(1), total)
    return _correlation(covariance, variance_x, variance_y)


def kendall(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b, which takes ties out of the denominator; Kendall (1945)."""
    levels_x, row = np.unique(x, return_inverse=True)
    levels_y, column = np.unique(y, return_inverse=True)
    cell = row * len(levels_y) + column
    result = np.empty(len(counts))
    step = max(1, 4_000_000 // (len(levels_x) * len(levels_y)))
    for start in range(0, len(counts), step):
        part = counts[start : start + step]
        table = np.zeros((len(part), len(levels_x) * len(levels_y)))
        np.add.at(table.T, cell, part.T)
        result[start : start + step] = _tau_b(
            table.reshape(len(part), len(levels_x), len(levels_y))
        )
    return result


def expected_calibration_error(
    counts: np.ndarray, confidence: np.ndarray, correct: np.ndarray, n_bins: int = 10
) -> np.ndarray:
    """Mean over items of |share right - mean confidence| of their bin; Naeini et al. (2015).

    The bins are of equal width, as in `calibration.reliability_bins`.
    """
    index = bin_numbers(confidence, n_bins)
    in_bin = (index[:, None] == np.arange(n_bins)).astype(float)
    return _divide(np.abs((counts * (correct - confidence)) @ in_bin).sum(1), counts.sum(1))


def roc_auc(counts: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Chance that an item with gold 1 has a higher `x` than one with gold 0, ties counted half.

    The area under the ROC curve as Mann and Whitney's (1947) U over the number of such pairs; NaN
    where one of the two labels is not there.
    """
    order = np.argsort(x, kind="stable")
    starts = np.flatnonzero(np.diff(x[order], prepend=np.nan) != 0)
    yes, no = (
        np.add.reduceat((counts * label)[:, order], starts, axis=1) for label in (y == 1, y != 1)
    )
    below = no.cumsum(1) - no
    return _divide((yes * (below + no / 2)).sum(1), yes.sum(1) * no.sum(1))


def _tau_b(table: np.ndarray) -> np.ndarray:
    """Tau-b of contingency tables [n, levels_x, levels_y].

    Pairs in agreement less pairs in conflict, found by cumulative sums.
    """
    below = table[:, ::-1].cumsum(1)[:, ::-1]  # sum over rows >= i
    right = below[:, :, ::-1].cumsum(2)[:, :, ::-1]
    left = below.cumsum(2)
    concordant = (table[:, :-1, :-1] * right[:, 1:, 1:]).sum((1, 2))
    discordant = (table[:, :-1, 1:] * left[:, 1:, :-1]).sum((1, 2))
    total = table.sum((1, 2))
    pairs = total * (total - 1) / 2
    tied_x, tied_y = ((m * (m - 1) / 2).sum(1) for m in (table.sum(2), table.sum(1)))
    return _correlation(concordant - discordant, pairs - tied_x, pairs - tied_y)


def _centred_ranks(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean ranks less their mean, [n_resamples, n_rows].

    That is the items below plus half of the ties, less half of all.
    """
    levels, code = np.unique(values, return_inverse=True)
    level_counts = counts @ (code[:, None] == np.arange(len(levels))).astype(float)
    below = level_counts.cumsum(1) - level_counts
    return (below + level_counts / 2 - counts.sum(1, keepdims=True) / 2)[:, code]


def _correlation(
    covariance: np.ndarray, variance_x: np.ndarray, variance_y: np.ndarray
) -> np.ndarray:
    tiny = 1e-12
    defined = (variance_x > tiny) & (variance_y > tiny)
    scale = np.sqrt(np.where(defined, variance_x, 1.0)) * np.sqrt(
        np.where(defined, variance_y, 1.0)
    )
    return np.where(defined, np.clip(covariance / scale, -1.0, 1.0), np.nan)


def _divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    denominator = np.asarray(denominator, dtype=float)
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.nan, numerator / safe)


COUNT_METRICS: dict[str, CountMetric] = {
    "mean": mean,
    "weighted_mean": weighted_mean,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "cohens_kappa": cohens_kappa,
    "quadratic_kappa": quadratic_kappa,
    "mean_absolute_error": mean_absolute_error,
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
    "expected_calibration_error": expected_calibration_error,
    "roc_auc": roc_auc,
}
