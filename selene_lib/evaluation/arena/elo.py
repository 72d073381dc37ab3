"""Sequential Elo as the public Judge Arena leaderboard runs it, and a study of what it owes to the
order of the votes.

The formula was read in the leaderboard's source: K = 32, start 1200, a tie counts half, one pass in
the order of arrival, and a printed interval of 1.96 * 400 / sqrt(votes + 1) that looks at the
number of votes only.
"""

from __future__ import annotations

import numpy as np

from selene_lib.evaluation.arena.votes import Battles

K_FACTOR = 32.0
START = 1200.0


def elo(battles: Battles, *, k: float = K_FACTOR, start: float = START) -> np.ndarray:
    """Return the Elo rating of each judge after one pass over the battles in their order, shape
    `(n_judges,)`.
    """
    ratings = [start] * len(battles.judges)
    for i, j, score in zip(
        battles.left.tolist(), battles.right.tolist(), battles.score_left.tolist()
    ):
        gain = k * (score - 1 / (1 + 10 ** ((ratings[j] - ratings[i]) / 400)))
        ratings[i] += gain
        ratings[j] -= gain
    return np.array(ratings)


def printed_interval(n_votes: np.ndarray) -> np.ndarray:
    """Return the half width the leaderboard prints as 95 % interval, 1.96 * 400 / sqrt(votes + 1);
    0 where there is no vote.
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
    """Return Elo ratings of the same battles in `n_shuffles` random orders, shape `(n_shuffles,
    n_judges)`.

    All orders advance together, one battle a step, so a step is a few vector operations whatever
    the number of orders.
    """
    orders = rng.permuted(np.tile(np.arange(len(battles)), (n_shuffles, 1)), axis=1).T
    ratings = np.full(n_shuffles * len(battles.judges), start)
    row = np.arange(n_shuffles) * len(battles.judges)
    left, right, scores = (
        battles.left[orders] + row,
        battles.right[orders] + row,
        battles.score_left[orders],
    )
    rate = np.log(10) / 400
    for i, j, score in zip(left, right, scores):
        one, two = ratings[i], ratings[j]
        gain = k * (score - 1 / (1 + np.exp(rate * (two - one))))
        ratings[i] = one + gain
        ratings[j] = two - gain
    return ratings.reshape(n_shuffles, -1)


def shuffle_study(battles: Battles, *, n_shuffles: int = 200, seed: int = 0):
    """Return, per judge, how far the leaderboard's formula moves when only the order of the votes
    changes.

    A DataFrame with `judge`, `elo` (the order given), `elo_shuffle_sd`, `elo_shuffle_low`,
    `elo_shuffle_high` (2.5 and 97.5 % over the orders) and `share_first` (the share of orders in
    which the judge comes out first). Sorted by `elo`.
    """
    import pandas as pd

    shuffled = shuffle_elo(battles, np.random.default_rng(seed), n_shuffles=n_shuffles)
    low, high = np.percentile(shuffled, [2.5, 97.5], axis=0)
    first = np.bincount(shuffled.argmax(axis=1), minlength=len(battles.judges)) / n_shuffles
    columns = {
        "judge": battles.judges,
        "elo": elo(battles),
        "elo_shuffle_sd": shuffled.std(axis=0, ddof=1),
    }
    frame = pd.DataFrame(
        {**columns, "elo_shuffle_low": low, "elo_shuffle_high": high, "share_first": first}
    )
    return frame.sort_values("elo", ascending=False, kind="stable").reset_index(drop=True)
