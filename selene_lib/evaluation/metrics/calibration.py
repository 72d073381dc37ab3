"""Do the probabilities at the verdict mean what they say: expected calibration error, reliability
bins, Brier score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability plot: items whose confidence lies in (low, high], their mean
    confidence and share right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, n_bins: int = 10
) -> list[ReliabilityBin]:
    """Cut [0, 1] into `n_bins` of equal width and return those that hold items, in ascending order."""
    confidence, correct = _checked(confidence, correct)
    index = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
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


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, n_bins: int = 10
) -> float:
    """Mean over items of |share right - mean confidence| of their bin; Naeini et al. (2015). NaN
    for no items.
    """
    bins = reliability_bins(confidence, correct, n_bins)
    total = sum(b.n for b in bins)
    return (
        sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / total if total else float("nan")
    )


def brier_score(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean squared distance of the confidence from 1 (right) or 0 (wrong); Brier (1950)."""
    confidence, correct = _checked(confidence, correct)
    return float(((confidence - correct) ** 2).mean()) if len(confidence) else float("nan")


def _checked(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=float)
    if confidence.shape != correct.shape or confidence.ndim != 1:
        raise ValueError(
            f"confidence {confidence.shape} and correct {correct.shape} must be two arrays of one length"
        )
    if len(confidence) and not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a confidence lies outside [0, 1]")
    return confidence, correct
