"""What a set of labels can tell: how many are needed, which gap it resolves, which threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from selene_lib.evaluation.agreement.verdicts import Verdicts
from selene_lib.evaluation.metrics.estimates import Estimate, estimate
from selene_lib.evaluation.metrics.resampling import Z95
from selene_lib.records import unit_hash

HALF_WIDTHS = (0.1, 0.05, 0.03, 0.02)


def labels_needed(
    share: float, design_effect: float = 1.0, half_widths: Sequence[float] = HALF_WIDTHS
) -> dict[float, int]:
    """Return how many labels give a share an interval of +- each half width (normal, 95 %).

    `share` is the agreement that is expected; grouped labels need `design_effect` times as many.
    """
    at = min(max(share, 0.05), 0.95)  # nearer to 0 or 1 the normal width promises too much
    need = {w: design_effect * at * (1 - at) * (Z95 / w) ** 2 for w in half_widths}
    return {w: math.ceil(n - 1e-9) for w, n in need.items()}


def resolvable_gap(n_effective: float, accuracy: float, power: float = 0.8) -> float:
    """Return the smallest true gap in accuracy between two judges that these items would show.

    Two-sided at 5 %, for judges that err independently of each other: the worst case, since judges
    that err on the same items differ on fewer.
    """
    if n_effective <= 0:
        return math.nan
    z = NormalDist().inv_cdf
    at = min(max(accuracy, 0.05), 0.95)
    return (z(0.975) + z(power)) * math.sqrt(2 * at * (1 - at) / n_effective)


@dataclass(frozen=True)
class Threshold:
    """The threshold on the probability of Yes that does best on one half of the groups, and what
    accuracy on the other half is with it and with one half.
    """

    value: float
    n_chosen_on: int
    chosen: Estimate
    at_half: Estimate


def choose_threshold(v: Verdicts, seed: int = 0) -> Threshold | None:
    """Choose on one half of the groups, measure on the other; None without probabilities, or where
    a half lacks a class.
    """
    known = ~np.isnan(v.probability_of_yes)
    if v.task != "classification" or not known.any():
        return None
    here = v.where(known)
    first = np.array([unit_hash(seed, "threshold", group) < 0.5 for group in here.groups])
    yes = here.gold == "Yes"
    for half in (first, ~first):
        if len(set(yes[half].tolist())) < 2:
            return None
    cut = best_cut(here.probability_of_yes[first], yes[first])
    found = [
        estimate(
            "mean",
            ((here.probability_of_yes[~first] > at) == yes[~first]).astype(float),
            groups=here.groups[~first],
            rng=seed,
        )
        for at in (cut, 0.5)
    ]
    return Threshold(cut, int(first.sum()), *found)


def best_cut(probability: np.ndarray, yes: np.ndarray) -> float:
    """Return the threshold of the greatest accuracy, in the middle between two probabilities; of
    several the one nearest to one half.
    """
    levels = np.unique(probability)
    cuts = np.array([0.5, *((levels[1:] + levels[:-1]) / 2)])
    accuracy = np.array([((probability > cut) == yes).mean() for cut in cuts])
    best = cuts[accuracy == accuracy.max()]
    return float(best[np.argmin(np.abs(best - 0.5))])
