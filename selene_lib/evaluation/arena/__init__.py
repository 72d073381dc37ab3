"""Ratings of judges from pairwise votes: the leaderboard's sequential Elo, and an order-free fit.

`sequential_elo` repeats the Judge Arena formula (K = 32, start 1200, in the order of the votes);
`fit_bradley_terry` is the maximum-likelihood fit, which has no order; `bootstrap_ratings` says how
sure it is; `shuffle_elo` says how far the published formula moves when only the order changes.
"""

from selene_lib.evaluation.arena.bradley_terry import (
    BradleyTerry,
    bootstrap_ratings,
    fit_bradley_terry,
)
from selene_lib.evaluation.arena.elo import printed_interval, sequential_elo, shuffle_elo
from selene_lib.evaluation.arena.table import arena_table, coverage_study
from selene_lib.evaluation.arena.votes import (
    Battles,
    battles_of_judges,
    read_votes,
    simulate_battles,
)

__all__ = [
    "Battles",
    "BradleyTerry",
    "arena_table",
    "battles_of_judges",
    "bootstrap_ratings",
    "coverage_study",
    "fit_bradley_terry",
    "printed_interval",
    "read_votes",
    "sequential_elo",
    "shuffle_elo",
    "simulate_battles",
]
