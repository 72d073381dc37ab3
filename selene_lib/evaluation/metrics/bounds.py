"""What a correlation could be if the items without a verdict had had one."""

from __future__ import annotations

import numpy as np


def correlation_bounds(
    x: np.ndarray, y: np.ndarray, y_missing: np.ndarray, low: float = 1.0, high: float = 5.0
) -> tuple[float, float]:
    """Smallest and largest Pearson correlation, whatever scores the items `y_missing` have.

    (x, y) are the known pairs; the missing scores may be anything in [low, high]. As a function of
    the missing scores the correlation is a linear form over a norm. Where that is positive, its
    superlevel sets are convex: the largest value solves x_i = clip(a + b y_i) (found by bisection
    on r), the smallest sits at a corner of the box, and by an exchange argument at one that is high
    for the low y and low for the high y. Where it is negative the two change places, so both
    candidates are taken on both sides.
    """
    x, y, y_missing = (np.asarray(v, dtype=float) for v in (x, y, y_missing))
    if not len(y_missing):
        r = _pearson(x, y)
        return r, r
    gold = np.concatenate([y, np.sort(y_missing)])
    upper = _largest(x, gold, len(y_missing), low, high)
    mirrored = _largest(x, -gold, len(y_missing), low, high)
    return -mirrored, upper


def _largest(x: np.ndarray, gold: np.ndarray, n_missing: int, low: float, high: float) -> float:
    at_corner = _corner_extreme(x, gold, n_missing, low, high)
    return max(at_corner, _interior_extreme(x, gold, n_missing, low, high))


def _corner_extreme(
    x: np.ndarray, gold: np.ndarray, n_missing: int, low: float, high: float
) -> float:
    """Largest correlation of scores that are `low` up to some gold value and `high` above it."""
    order = np.argsort(gold[len(gold) - n_missing :], kind="stable")
    best = -1.0
    for cut in range(n_missing + 1):
        missing = np.empty(n_missing)
        missing[order[:cut]], missing[order[cut:]] = low, high
        r = _pearson(np.concatenate([x, missing]), gold)
        if not np.isnan(r):
            best = max(best, r)
    return best


def _interior_extreme(
    x: np.ndarray, gold: np.ndarray, n_missing: int, low: float, high: float, n_steps: int = 200
) -> float:
    """Largest correlation by the fixed point x_i = clip(a + b y_i).

    At a maximum the free scores lie on a line over gold.
    """
    start, best = len(gold) - n_missing, -1.0
    deviation = gold - gold.mean()
    first_guess = gold[start:] if gold.mean() > 0 else -gold[start:]
    scores = np.concatenate([x, np.clip(first_guess, low, high)])
    for _ in range(n_steps):
        centred = scores - scores.mean()
        covariance = centred @ deviation
        if covariance <= 0:
            missing = np.where(deviation[start:] > 0, high, low)
        else:
            slope = (centred @ centred) / covariance
            missing = np.clip(scores.mean() + slope * deviation[start:], low, high)
        if scores.std() > 0:
            best = max(best, _pearson(scores, gold))
        if np.allclose(missing, scores[start:], atol=1e-12):
            break
        scores = np.concatenate([x, missing])
    return best


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 2 or x.std() < 1e-12 or y.std() < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
