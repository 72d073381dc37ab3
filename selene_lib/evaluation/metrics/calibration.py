"""Do the probabilities at the verdict mean what they say: the bins of a reliability plot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability plot: the items whose confidence lies in (low, high].

    `confidence` is their mean confidence, `accuracy` the share of them that is right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, n_bins: int = 10
) -> list[ReliabilityBin]:
    """Cut [0, 1] into `n_bins` of equal width; return those that hold items, in ascending order.

    `confidence` and `correct` are [n_items]; raises ValueError for other shapes and for a
    confidence outside [0, 1]. The expected calibration error of the same bins is the metric
    `expected_calibration_error` of `counts`.
    """
    confidence, correct = _checked(confidence, correct)
    index = bin_numbers(confidence, n_bins)
    bins = []
    for i in np.unique(index):
        mine = index == i
        bins.append(
            ReliabilityBin(
                i / n_bins,
                (i + 1) / n_bins,
                int(mine.sum()),
                float(confidence[mine].mean()),
                float(correct[mine].mean()),
            )
        )
    return bins


def bin_numbers(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the bin of each confidence, 0 to `n_bins` - 1; a bin holds its upper edge."""
    return np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)


def _checked(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence.shape != correct.shape or confidence.ndim != 1:
        raise ValueError(
            f"confidence {confidence.shape} and correct {correct.shape} must be two arrays "
            "of one length"
        )
    if len(confidence) and not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a confidence lies outside [0, 1]")
    return confidence, correct
