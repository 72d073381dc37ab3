"""Numbers from arrays: agreement, intervals, tests, calibration. Pure numpy, no disk, no global
state.
"""

from __future__ import annotations

import numpy as np

from selene_lib.evaluation.metrics.bounds import correlation_bounds
from selene_lib.evaluation.metrics.calibration import (
    ReliabilityBin,
    brier_score,
    expected_calibration_error,
    reliability_bins,
)
from selene_lib.evaluation.metrics.resampling import (
    Difference,
    Interval,
    benjamini_hochberg,
    bootstrap_ci,
    bootstrap_replicates,
    interval,
    metric_value,
    paired_bootstrap,
    permutation_p,
    smallest_resolvable_gap,
    wilson_interval,
)

__all__ = [
    "Difference",
    "Interval",
    "ReliabilityBin",
    "accuracy",
    "balanced_accuracy",
    "benjamini_hochberg",
    "bootstrap_ci",
    "bootstrap_replicates",
    "brier_score",
    "cohens_kappa",
    "correlation_bounds",
    "expected_calibration_error",
    "interval",
    "kendall",
    "macro_mean",
    "mean_absolute_error",
    "metric_value",
    "paired_bootstrap",
    "pearson",
    "permutation_p",
    "reliability_bins",
    "smallest_resolvable_gap",
    "spearman",
    "weighted_mean",
    "wilson_interval",
]


def _coded(predicted: np.ndarray, gold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of any kind as numbers; a prediction that no gold item has is simply never equal."""
    predicted, gold = np.asarray(predicted), np.asarray(gold)
    if predicted.shape != gold.shape:
        raise ValueError(
            f"{predicted.shape} predictions and {gold.shape} gold labels must have one shape"
        )
    if predicted.dtype.kind in "fiub" and gold.dtype.kind in "fiub":
        return predicted.astype(float), gold.astype(float)
    _, code = np.unique(
        np.concatenate([predicted.astype(str), gold.astype(str)]), return_inverse=True
    )
    return code[: len(predicted)].astype(float), code[len(predicted) :].astype(float)


def accuracy(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Share of equal pairs; NaN for none."""
    return metric_value("accuracy", *_coded(predicted, gold))


def balanced_accuracy(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Mean over gold classes of the share of that class found."""
    return metric_value("balanced_accuracy", *_coded(predicted, gold))


def cohens_kappa(a: np.ndarray, b: np.ndarray) -> float:
    """Cohen's kappa of two raters; NaN where both always say the same one label."""
    return metric_value("cohens_kappa", *_coded(a, b))


def mean_absolute_error(predicted: np.ndarray, gold: np.ndarray) -> float:
    """Mean distance of scores."""
    return metric_value("mean_absolute_error", *_coded(predicted, gold))


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; NaN where one side is constant."""
    return metric_value("pearson", *_coded(x, y))


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho with ties at their mean rank; NaN where one side is constant."""
    return metric_value("spearman", *_coded(x, y))


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b; NaN where one side is constant."""
    return metric_value("kendall", *_coded(x, y))


def macro_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the distinct labels of the mean value under each: every subset counts the same,
    whatever its size.
    """
    values, labels = np.asarray(values, dtype=float), np.asarray(labels)
    return (
        float(np.mean([values[labels == label].mean() for label in np.unique(labels)]))
        if len(values)
        else float("nan")
    )


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Sum of value times weight over the sum of weights; NaN where the weights sum to zero."""
    values, weights = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
    return float((values * weights).sum() / weights.sum()) if weights.sum() else float("nan")
