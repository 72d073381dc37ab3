"""How far the judges of a panel agree with one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from selene_lib.evaluation.metrics.counts import cohens_kappa

Labels = Mapping[str, Sequence[str | None]]


def kappas_between(labels: Labels) -> dict[tuple[str, str], float]:
    """Return Cohen's kappa of every two judges, over the items to which both gave a verdict.

    `labels` are each judge's, [n_items]. NaN where the two share no item or always say the same one
    word.
    """
    found = {}
    for one, other in combinations(labels, 2):
        both = [(a, b) for a, b in zip(labels[one], labels[other], strict=True) if a and b]
        codes = {label: i for i, label in enumerate(sorted({x for pair in both for x in pair}))}
        x = np.array([codes[str(a)] for a, _ in both])
        y = np.array([codes[str(b)] for _, b in both])
        kappa = cohens_kappa(np.ones((1, len(both))), x, y)[0] if both else np.nan
        found[one, other] = float(kappa)
    return found


def disagreement_share(labels: Labels) -> float:
    """Return the share of items on which two judges gave different verdicts; NaN for no items."""
    items = [{label for label in said if label} for said in zip(*labels.values(), strict=True)]
    return float(np.mean([len(said) > 1 for said in items])) if items else float("nan")
