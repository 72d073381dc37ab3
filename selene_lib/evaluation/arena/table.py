"""The arena table of a votes file, and how often its intervals hold the truth."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from selene_lib.evaluation.arena.bradley_terry import (
    BradleyTerry,
    ResampledBy,
    Ties,
    bootstrap_ratings,
    count_outcomes,
    finite_ratings,
    fit_bradley_terry,
)
from selene_lib.evaluation.arena.elo import START, printed_interval, sequential_elo, shuffle_elo
from selene_lib.evaluation.arena.votes import (
    ELO_PER_NAT,
    Battles,
    read_votes,
    simulate_battles,
)
from selene_lib.evaluation.metrics import Z95

_SAME = 1e-6  # Elo points: equal but for rounding


def arena_table(
    votes: str | os.PathLike | Battles,
    *,
    n_resamples: int = 1000,
    n_shuffles: int = 100,
    seed: int = 0,
    by: ResampledBy = "vote",
    ties: Ties = "half",
) -> pd.DataFrame:
    """Return one row a judge, best first: the leaderboard's formula beside the order-free fit.

    Columns: `judge`, `n_votes`, `n_wins`, `n_ties`, `n_losses`; `elo`, `elo_printed_interval` (half
    width) and `elo_shuffle_sd` (over `n_shuffles` random orders of the same votes); `score` (wins
    and half the ties over votes), `rating` (Bradley-Terry, Elo points around 1200), `expected` (the
    score that the ratings give against the same opponents), `ci95_low`, `ci95_high` (percentiles of
    `n_resamples` bootstrap resamples; of the closed form where these are all alike),
    `standard_error` (closed form), `p_first` (the share of resamples in which the judge is first),
    `finite` (False where a judge never lost or never won against the rest, so that only the weak
    prior keeps its rating finite).

    With `ties="half"` the Elo formula 1 / (1 + 10^((b - a) / 400)) holds on `rating`, as on the
    leaderboards that print this scale. `"davidson"` rates by wins and losses among the votes that
    were no ties, which is wider where ties are many: the formula then does not hold on `rating`.
    """
    battles = votes if isinstance(votes, Battles) else read_votes(votes)
    fit = fit_bradley_terry(battles, ties=ties)
    resampled = bootstrap_ratings(battles, n_resamples=n_resamples, seed=seed, by=by, ties=ties)
    low, high = _interval(fit, resampled)
    shuffled = shuffle_elo(battles, np.random.default_rng(seed), n_shuffles=n_shuffles)
    results, n_votes = battles.results(), battles.n_votes()
    is_first = resampled >= resampled.max(axis=1, keepdims=True) - _SAME
    frame = pd.DataFrame(
        {
            "judge": battles.judges,
            "n_votes": n_votes,
            "n_wins": results[:, 0],
            "n_ties": results[:, 1],
            "n_losses": results[:, 2],
            "elo": sequential_elo(battles),
            "elo_printed_interval": printed_interval(n_votes),
            "elo_shuffle_sd": shuffled.std(axis=0, ddof=1),
            "score": (results[:, 0] + results[:, 1] / 2) / n_votes,
            "rating": fit.ratings,
            "expected": expected_scores(battles, fit),
            "ci95_low": low,
            "ci95_high": high,
            "standard_error": fit.standard_errors,
            "p_first": (is_first / is_first.sum(axis=1, keepdims=True)).mean(axis=0),
            "finite": finite_ratings(count_outcomes(battles)),
        }
    )
    return frame.sort_values(["rating", "judge"], ascending=[False, True]).reset_index(drop=True)


def _interval(fit: BradleyTerry, resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles; of judges whose resamples are all alike (one vote, all ties) the closed form."""
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    alike = resampled.std(axis=0) < _SAME
    half = Z95 * fit.standard_errors
    return (
        np.where(alike, fit.ratings - half, low),
        np.where(alike, fit.ratings + half, high),
    )


def expected_scores(battles: Battles, fit: BradleyTerry) -> np.ndarray:
    """Return each judge's mean score as the fit predicts it for the battles it had, [n_judges]."""
    gap = (fit.ratings[battles.left] - fit.ratings[battles.right]) / ELO_PER_NAT
    half, tie = np.exp(gap / 2), np.exp(fit.tie_log_odds)
    left = (half + tie / 2) / (half + 1 / half + tie)
    n = len(battles.judges)
    total = np.bincount(battles.left, left, n) + np.bincount(battles.right, 1 - left, n)
    return np.asarray(total / battles.n_votes())


def coverage_study(
    strengths: Sequence[float],
    *,
    n_battles: int = 2000,
    n_simulations: int = 100,
    n_resamples: int = 200,
    seed: int = 0,
) -> dict[str, float | int]:
    """Measure how often 95 % intervals hold the true rating of judges of known `strengths`.

    The battles are simulated, strengths are in Elo points. Returns `coverage_bootstrap`,
    `coverage_closed_form` (rating +- 1.96 standard errors) and `coverage_printed` (the
    leaderboard's Elo and its printed interval), each over `n_intervals` = simulations x judges, and
    the mean widths in Elo points.
    """
    truth = START + np.asarray(strengths, dtype=float) - np.mean(strengths)
    held: dict[str, list[np.ndarray]] = {"bootstrap": [], "closed_form": [], "printed": []}
    widths: dict[str, list[float]] = {name: [] for name in held}
    for index in range(n_simulations):
        battles = simulate_battles(strengths, n_battles, np.random.default_rng((seed, index)))
        for name, (low, high) in _intervals(battles, n_resamples, index).items():
            held[name].append((low <= truth) & (truth <= high))
            widths[name].append(float(np.mean(high - low)))
    return {
        "n_intervals": n_simulations * len(truth),
        **{f"coverage_{name}": float(np.mean(rows)) for name, rows in held.items()},
        **{f"width_{name}": float(np.mean(rows)) for name, rows in widths.items()},
    }


def _intervals(
    battles: Battles, n_resamples: int, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    fit = fit_bradley_terry(battles)
    resampled = bootstrap_ratings(battles, n_resamples=n_resamples, seed=seed)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    printed, error = printed_interval(battles.n_votes()), Z95 * fit.standard_errors
    rating = sequential_elo(battles)
    return {
        "bootstrap": (low, high),
        "closed_form": (fit.ratings - error, fit.ratings + error),
        "printed": (rating - printed, rating + printed),
    }
