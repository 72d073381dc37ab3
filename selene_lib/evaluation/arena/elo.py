"""Sequential Elo as the public Judge Arena leaderboard runs it, and in other orders of the votes.

The formula was read in the leaderboard's source: K = 32, start 1200, a tie counts half, one pass in
the order of arrival, and a printed interval of 1.96 * 400 / sqrt(votes + 1) that looks at the
number of votes only.
"""

from __future__ import annotations

import numpy as np

from selene_lib.evaluation.arena.votes import Battles

K_FACTOR = 32.0
START = 1200.0
# Above so many battles an order is played from its end: what happened long before is forgotten.
MANY_BATTLES = 50_000
_AGREES = 0.05  # Elo points between two starts, below which a rating is that of the whole order


def sequential_elo(battles: Battles, *, k: float = K_FACTOR, start: float = START) -> np.ndarray:
    """Return the Elo rating of each judge after one pass over the battles in their order."""
    ratings = [start] * len(battles.judges)
    columns = (battles.left.tolist(), battles.right.tolist(), battles.score_left.tolist())
    for i, j, score in zip(*columns):
        gain = k * (score - 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400)))
        ratings[i] += gain
        ratings[j] -= gain
    return np.array(ratings)


def printed_interval(n_votes: np.ndarray) -> np.ndarray:
    """Return half the 95 % interval that the leaderboard prints; 0 where there is no vote.

    It is 1.96 * 400 / sqrt(votes + 1), the number quoted as it stands there.
    """
    n_votes = np.asarray(n_votes)
    return np.where(n_votes > 0, 1.96 * 400 / np.sqrt(n_votes + 1), 0.0)


def shuffle_elo(
    battles: Battles,
    rng: np.random.Generator,
    *,
    n_shuffles: int = 200,
    k: float = K_FACTOR,
    start: float = START,
) -> np.ndarray:
    """Return Elo ratings of the same battles in random orders, [n_shuffles, n_judges].

    All orders advance together, one battle a step, so a step is a few vector operations whatever
    the number of orders. Of more than `MANY_BATTLES` only so many of the last battles of an order
    are played as make two different starts agree to a twentieth of a point: a rating forgets.
    """
    if len(battles) <= MANY_BATTLES:
        orders = rng.permuted(np.tile(np.arange(len(battles)), (n_shuffles, 1)), axis=1).T
        return _play(battles, orders, np.full((n_shuffles, len(battles.judges)), start), k)
    n_last = 64 * len(battles.judges)
    settled = sequential_elo(battles, k=k, start=start)
    while True:
        n_last = min(2 * n_last, len(battles))
        ends = [rng.choice(len(battles), n_last, replace=False) for _ in range(n_shuffles)]
        orders = np.stack(ends, axis=1)
        begins = np.repeat(np.stack([settled, np.full(len(settled), start)]), n_shuffles, axis=0)
        played = _play(battles, np.concatenate([orders, orders], axis=1), begins, k)
        one, other = played[:n_shuffles], played[n_shuffles:]
        if np.abs(one - other).max() < _AGREES or n_last == len(battles):
            return other if n_last == len(battles) else one


def _play(battles: Battles, orders: np.ndarray, begins: np.ndarray, k: float) -> np.ndarray:
    """Play `orders` [n_played, n_orders] of battles from ratings [n_orders, n_judges]."""
    n_orders, n_judges = begins.shape
    ratings = begins.ravel().copy()
    row = np.arange(n_orders) * n_judges
    left, right = battles.left[orders] + row, battles.right[orders] + row
    scores = battles.score_left[orders]
    rate = np.log(10) / 400
    for i, j, score in zip(left, right, scores):
        one, two = ratings[i], ratings[j]
        gain = k * (score - 1 / (1 + np.exp(rate * (two - one))))
        ratings[i] = one + gain
        ratings[j] = two - gain
    return ratings.reshape(n_orders, n_judges)
