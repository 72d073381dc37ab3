"""The pass rate of a set, from a judge's verdicts on all of it and people's labels on some of it.

The judge's own rate is wrong by its false positives and negatives. Two corrections, both from the
labelled items, which must be a random share of the set or at least judged alike:

- **Rogan and Gladen** (1978): (p + TNR - 1) / (TPR + TNR - 1), p the judge's rate on the unlabelled
  items; interval of Lang and Reiczigel (2014), which adds z^2 pseudo-items to p and two to each of
  TPR and TNR. It needs the same TPR and TNR in both sets, not the same pass rate.
- **Prediction-powered inference** (Angelopoulos et al. 2023, arXiv 2301.09633; weight lambda of
  2311.01453): the labels' own rate plus lambda times what the judge says more on the unlabelled
  items than on the labelled ones. It needs a random labelled share, and is never wider than the
  labels alone by much, however bad the judge.

A normal interval of the second covers .85 to .89 at 50 labels and a rate of .1 (simulated), so the
variance is taken with one pseudo-item in each cell of verdict and label and the interval is
Wilson's at the number of items which that variance amounts to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from selene_lib.evaluation.metrics.estimates import share_interval
from selene_lib.evaluation.metrics.resampling import Z95


@dataclass(frozen=True)
class PassRate:
    """A rate by one method with its 95 % interval; NaN where the method cannot tell."""

    method: str
    value: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True)
class Counts:
    """Labelled items by label and verdict (true and false positives and negatives), and how many of
    `n_unlabelled` the judge passes. `design_effect` is by how much grouped items count for less.
    """

    tp: float
    fn: float
    tn: float
    fp: float
    passed: float
    n_unlabelled: float
    design_effect: float = 1.0

    @property
    def n(self) -> float:
        return self.tp + self.fn + self.tn + self.fp


def pass_rates(c: Counts) -> list[PassRate]:
    """Return the judge's own rate, that of the labels alone, and both corrections."""
    if not c.n or not c.n_unlabelled:
        return []
    own, by_people = c.passed / c.n_unlabelled, (c.tp + c.fn) / c.n
    alone = share_interval(by_people, c.n / c.design_effect)
    return [
        PassRate("judge alone", own, math.nan, math.nan, "not corrected"),
        PassRate("labels alone", by_people, alone.low, alone.high),
        rogan_gladen(c),
        prediction_powered(c),
    ]


def rogan_gladen(c: Counts) -> PassRate:
    """Rogan and Gladen's rate with Lang and Reiczigel's interval."""
    name, k = "Rogan-Gladen", 1 / c.design_effect
    positives, negatives, n = (c.tp + c.fn) * k, (c.tn + c.fp) * k, c.n_unlabelled
    if not positives or not negatives:
        return PassRate(name, math.nan, math.nan, math.nan, "labels of one class only")
    tpr, tnr = c.tp * k / positives, c.tn * k / negatives
    if tpr + tnr <= 1:
        note = "the judge is no better than chance (TPR + TNR is not over 1)"
        return PassRate(name, math.nan, 0.0, 1.0, note)
    value = (c.passed / n + tnr - 1) / (tpr + tnr - 1)
    z2 = Z95**2
    rate = (c.passed + z2 / 2) / (n + z2)
    tpr, tnr = (c.tp * k + 1) / (positives + 2), (c.tn * k + 1) / (negatives + 2)
    gap = tpr + tnr - 1
    if gap <= 0:
        return PassRate(
            name, _clip(value), 0.0, 1.0, "too few labels to tell the judge from chance"
        )
    centre = (rate + tnr - 1) / gap
    of_tpr, of_tnr = tpr * (1 - tpr) / (positives + 2), tnr * (1 - tnr) / (negatives + 2)
    shift = 2 * z2 * (centre * of_tpr - (1 - centre) * of_tnr)
    variance = rate * (1 - rate) / (n + z2) + centre**2 * of_tpr + (1 - centre) ** 2 * of_tnr
    half = Z95 * math.sqrt(variance) / gap
    return PassRate(name, _clip(value), _clip(centre + shift - half), _clip(centre + shift + half))


def prediction_powered(c: Counts) -> PassRate:
    """Prediction-powered rate, weight lambda chosen for the least variance."""
    value, _ = _powered(c, 0.0)
    _, variance = _powered(c, 1.0)
    n = c.n / c.design_effect
    at = min(max(value, 1 / (2 * n)), 1 - 1 / (2 * n))
    around = share_interval(_clip(value), max(at * (1 - at) / variance, 1.0))
    return PassRate("prediction-powered", _clip(value), around.low, around.high)


def _powered(c: Counts, pseudo: float) -> tuple[float, float]:
    """Estimate and variance with `pseudo` items more in each of the four cells."""
    tp, fn, tn, fp = (cell / c.design_effect + pseudo for cell in (c.tp, c.fn, c.tn, c.fp))
    n, m = tp + fn + tn + fp, c.n_unlabelled
    labelled, said, said_there = (tp + fn) / n, (tp + fp) / n, c.passed / m
    spread, shared = said * (1 - said), tp / n - labelled * said
    weight = min(max(shared / spread / (1 + n / m), 0.0), 1.0) if spread > 0 else 0.0
    value = labelled + weight * (said_there - said)
    residual = labelled * (1 - labelled) + weight**2 * spread - 2 * weight * shared
    return value, residual / n + weight**2 * said_there * (1 - said_there) / m


def design_effect(right: np.ndarray, groups: np.ndarray) -> float:
    """By how much items of one group resemble each other: variance of the mean over groups by that
    over items, at least 1.
    """
    n = len(right)
    _, code = np.unique(groups, return_inverse=True)
    n_groups = code.max() + 1 if n else 0
    apart = right - right.mean() if n else right
    plain = float((apart**2).sum())
    if n_groups < 2 or n_groups == n or plain <= 0:
        return 1.0
    by_group = float((np.bincount(code, weights=apart) ** 2).sum()) * n_groups / (n_groups - 1)
    return max(1.0, by_group / plain * (n - 1) / n)


def _clip(value: float) -> float:
    return min(max(value, 0.0), 1.0)
