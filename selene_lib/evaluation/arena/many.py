"""Resamples of very many votes: what a multinomial draw adds to the likelihood's gradient is drawn
from its normal limit.

A resample moves the ratings by (information)^-1 times its gradient at the fit, up to terms that
vanish as 1 / votes. That gradient is a sum over thousands of votes a judge, so its distribution is
the normal one with the covariance of one vote (or one voter) times their number; drawing it costs
n_judges numbers and not a count for every pair and outcome.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def draw_shifts(
    scores: csr_array,
    counts: np.ndarray,
    units: np.ndarray | None,
    information: np.ndarray,
    n_resamples: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return how resamples move the parameters of a fit, [n_resamples, n_parameters].

    `scores` is what one vote of each cell adds to the gradient, [n_cells, n_parameters]; `counts`
    the votes of each cell. `units` is the cell of each vote by voter, [n_voters, n_cells], where
    voters are drawn with all their votes; None draws votes. `information` is the negative Hessian.
    """
    weights, vectors = (counts, scores) if units is None else (None, units @ scores)
    covariance = _covariance(vectors, weights)
    values, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(values.clip(min=0))
    gradients = rng.standard_normal((n_resamples, len(covariance))) @ root.T
    return np.linalg.solve(information, gradients.T).T


def _covariance(vectors: csr_array, weights: np.ndarray | None) -> np.ndarray:
    """Covariance of the sum of as many units as there are, drawn with replacement."""
    heavy = vectors if weights is None else vectors.multiply(weights[:, None]).tocsr()
    n = vectors.shape[0] if weights is None else weights.sum()
    total = np.asarray(heavy.sum(axis=0)).ravel()
    return (vectors.T @ heavy).toarray() - np.outer(total, total) / n
