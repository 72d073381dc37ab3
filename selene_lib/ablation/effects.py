"""The difference between two mixes on the same items, with the errors of items and seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from selene_lib.evaluation.metrics import paired_bootstrap

_NORMAL = NormalDist()
# degrees of freedom of a variance that is taken as known
KNOWN = 1_000_000


@dataclass(frozen=True)
class PairedEffect:
    """Mean of one mix less mean of another; `se_items` is the bootstrap's, `se` adds the seeds'."""

    value: float
    ci95_low: float
    ci95_high: float
    p: float
    se_items: float
    se: float


@dataclass(frozen=True)
class SeedVariance:
    """Variance of a difference between training seeds, estimated with `df`."""

    value: float
    df: int = KNOWN

    def of_mean(self, n_seeds: int) -> SeedVariance:
        """The variance of a mean over `n_seeds`."""
        return SeedVariance(self.value / n_seeds, self.df)


def effect_between(
    first: np.ndarray,
    second: np.ndarray,
    *,
    seed_variance: SeedVariance,
    n_decisions: int,
    level: float,
    n_resamples: int = 2000,
    seed: int = 0,
    groups: np.ndarray | None = None,
) -> PairedEffect:
    """Compare two mixes item by item: `mean(first - second)`.

    By a paired bootstrap over items (or groups), widened by `seed_variance`. p is the larger of the
    bootstrap's and that of Student's t with both variances, its degrees of freedom by Satterthwaite
    (1946) where the seed variance was estimated. The smallest p of a bootstrap is 2 / (n + 1), so
    there are as many resamples as the first of `n_decisions` Benjamini-Hochberg steps at `level`
    needs, times four.
    """
    from scipy.stats import t as student

    n_resamples = max(n_resamples, int(8 * n_decisions / level))
    found = paired_bootstrap(first, second, groups=groups, n_resamples=n_resamples, rng=seed)
    variance = seed_variance.value
    se = float(np.hypot(found.standard_error, variance**0.5))
    df = seed_variance.df * se**4 / variance**2 if variance > 0 else float("inf")
    p = max(found.p, 2 * float(student.sf(abs(found.value) / se, df))) if se > 0 else 1.0
    reach = float(student.ppf(0.975, df)) * se
    low, high = min(found.ci95_low, found.value - reach), max(found.ci95_high, found.value + reach)
    return PairedEffect(found.value, low, high, p, found.standard_error, se)


def run_variance(
    runs_by_mix: Iterable[Sequence[np.ndarray]], groups: np.ndarray | None = None
) -> float:
    """Variance of a mix's mean between seeds beyond what flips of single items explain.

    Pooled over mixes, at least 0. A run is the item outcomes of one seed (or the change of item
    outcomes between two). Two runs differ by d; independent flips alone would give E[d^2] = sum of
    squared item (or cluster) differences / n^2, a correlated shift adds twice its variance.
    """
    excess = []
    for runs in runs_by_mix:
        for i, first in enumerate(runs):
            for second in runs[i + 1 :]:
                difference = first - second
                if groups is not None:
                    difference = np.bincount(
                        np.unique(groups, return_inverse=True)[1], weights=difference
                    )
                n = len(first)
                excess.append(((difference.sum() / n) ** 2 - (difference**2).sum() / n**2) / 2)
    return max(0.0, float(np.mean(excess))) if excess else 0.0


def power_left(
    effect: PairedEffect, *, n_seeds: int, n_seeds_last: int, seed_variance: float, level: float
) -> float:
    """The chance that an effect counts at `level` after `n_seeds_last` seeds.

    If the truth is what `n_seeds` showed. Item noise is taken to stay (it is the items', not the
    seeds'); the looser single-test level is used, so that this errs on going on.
    """
    se_last = float(np.hypot(effect.se_items, np.sqrt(seed_variance / n_seeds_last)))
    if se_last == 0:
        return 0.0
    drift = np.sqrt(
        max((effect.se_items**2 + seed_variance) / 2, 1e-12) * (1 / n_seeds - 1 / n_seeds_last)
    )
    needed = _NORMAL.inv_cdf(1 - level / 2) * se_last
    if drift == 0:
        return float(abs(effect.value) > needed)
    return 1 - _NORMAL.cdf((needed - abs(effect.value)) / drift)
