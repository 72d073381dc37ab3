"""From verdicts to effects: how far an edit, an order or an author moves a judge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from selene_lib.evaluation.metrics import Z95, metric_value, wilson_interval


@dataclass(frozen=True)
class AuditEffect:
    """One number of the card: `value` in shares (0.05 is five points).

    It rests on `n` items; `n_unparsed` replies are left out.
    """

    value: float | None
    ci95_low: float | None
    ci95_high: float | None
    n: int
    n_unparsed: int = 0
    note: str = ""


def nothing(note: str, n_unparsed: int = 0) -> AuditEffect:
    """An effect that this set cannot show, with the reason."""
    return AuditEffect(None, None, None, 0, n_unparsed, note)


def favour(verdict: str | None, target: str) -> float:
    """How far a verdict favours the edited response: 1, 0 or (score - 1) / 4; NaN if unparsed."""
    if verdict is None:
        return math.nan
    return (int(verdict) - 1) / 4 if target == "5" else float(verdict == target)


def paired_interval(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of the mean of paired differences in [-1, 1], along the last axis.

    Bonett and Price (2012): Wald's interval after one pseudo-observation of +1 and one of -1, which
    keeps its coverage where nearly all differences are zero, as they are for a good judge, and
    never has width zero.
    """
    d = np.asarray(differences, dtype=float)
    n = d.shape[-1] + 2
    centre = d.sum(axis=-1) / n
    half = Z95 * np.sqrt(((d**2).sum(axis=-1) + 2) / n - centre**2) / math.sqrt(n)
    return np.maximum(centre - half, -1.0), np.minimum(centre + half, 1.0)


def mean_effect(differences: np.ndarray, *, scale: float = 1.0, note: str = "") -> AuditEffect:
    """Mean of paired differences in [-1, 1] times `scale`, NaN left out and counted."""
    kept = differences[~np.isnan(differences)]
    n_unparsed = len(differences) - len(kept)
    if not len(kept):
        return nothing("no pair of replies could be read", n_unparsed)
    low, high = paired_interval(kept)
    return AuditEffect(
        float(kept.mean()) * scale,
        float(low) * scale,
        float(high) * scale,
        len(kept),
        n_unparsed,
        note,
    )


def rate_effect(success: np.ndarray, *, n_unparsed: int = 0, note: str = "") -> AuditEffect:
    """Share of True with Wilson's interval."""
    if not len(success):
        return nothing("no item on which it could succeed", n_unparsed)
    low, high = wilson_interval(int(success.sum()), len(success))
    return AuditEffect(float(success.mean()), low, high, len(success), n_unparsed, note)


def order_effect(first: np.ndarray) -> AuditEffect:
    """Share of verdicts for the response shown first, less one half.

    `first` is [n_items, 2]: the item in both orders, 1 where the first response won.
    """
    return mean_effect(first.sum(axis=1) - 1, scale=0.5)


def attack_effect(base: np.ndarray, attacked: np.ndarray) -> AuditEffect:
    """Share of items whose verdict becomes the attacker's, among those where it was not before.

    An unparsed reply is no success.
    """
    eligible = base < 1
    return rate_effect(
        attacked[eligible] == 1,
        n_unparsed=int(np.isnan(base).sum() + np.isnan(attacked[eligible]).sum()),
    )


def two_sided_preference(
    right_when_own_is_better: np.ndarray,
    right_when_other_is_better: np.ndarray,
    n_unparsed: int = 0,
) -> AuditEffect:
    """Half the gap in accuracy between own and other responses being the better ones.

    A judge that errs alike on both sides has 0 whatever its accuracy; 0.1 means ten points more
    verdicts for its own. Interval: Agresti and Caffo (2000), one success and one failure added to
    each side.
    """
    sides = (right_when_own_is_better, right_when_other_is_better)
    if min(map(len, sides)) == 0:
        return nothing(
            "the judge's own responses are always, or never, the better ones here", n_unparsed
        )
    sizes = [len(side) + 2 for side in sides]
    smoothed = [(side.sum() + 1) / size for side, size in zip(sides, sizes)]
    half = Z95 * math.sqrt(sum(p * (1 - p) / m for p, m in zip(smoothed, sizes)))
    centre = smoothed[0] - smoothed[1]
    value = float(sides[0].mean() - sides[1].mean())
    return AuditEffect(
        value / 2,
        float(centre - half) / 2,
        float(centre + half) / 2,
        len(sides[0]) + len(sides[1]),
        n_unparsed,
    )


def adjusted_preference(said: np.ndarray, gold: np.ndarray, own: np.ndarray) -> AuditEffect:
    """How much higher the judge scores its own responses at equal gold, with HC3 interval.

    It is the coefficient of `own` beside gold, in shares of the scale. Least squares of `said` on
    `gold` and `own`; errors may differ in size (MacKinnon and White 1985).
    """
    from scipy.stats import t

    kept = ~np.isnan(said)
    n_unparsed = int((~kept).sum())
    columns = [np.ones(kept.sum()), own[kept].astype(float)]
    if kept.any() and np.ptp(gold[kept]) > 0:
        columns.append(gold[kept])
    design = np.stack(columns, axis=1)
    n, k = design.shape
    if n <= k or min(own[kept].sum(), (~own[kept]).sum()) < 2 or np.linalg.matrix_rank(design) < k:
        return nothing(
            "too few items of the judge's own, or of others, to compare at equal gold", n_unparsed
        )
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ said[kept]
    leverage = np.einsum("ij,jk,ik->i", design, bread, design)
    weights = ((said[kept] - design @ beta) / np.maximum(1 - leverage, 1e-9)) ** 2
    variance = (bread @ (design.T * weights) @ design @ bread)[1, 1]
    half = float(t.ppf(0.975, n - k)) * math.sqrt(variance)
    value = float(beta[1])
    return AuditEffect(value, value - half, value + half, n, n_unparsed)


def calibration_effects(
    confidence: np.ndarray, correct: np.ndarray, n_resamples: int, rng: np.random.Generator
) -> tuple[AuditEffect, AuditEffect]:
    """Expected calibration error, and overconfidence: mean confidence less share right.

    The error has a bootstrap interval and is biased upward for few items.
    """
    name = "expected_calibration_error"
    draws = rng.integers(len(correct), size=(n_resamples, len(correct)))
    resampled = [metric_value(name, confidence[d], correct[d]) for d in draws]
    low, high = np.percentile(resampled, [2.5, 97.5])
    value = metric_value(name, confidence, correct)
    error = AuditEffect(value, float(low), float(high), len(correct))
    return error, mean_effect(confidence - correct)
