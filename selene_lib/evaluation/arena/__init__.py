"""Ratings of judges from pairwise votes: the leaderboard's sequential Elo, and an order-free fit.

`elo` repeats the Judge Arena formula (K = 32, start 1200, in the order of the votes);
`bradley_terry` is the maximum-likelihood fit, which has no order; `bootstrap_ratings` says how sure
it is; `shuffle_elo` says how far the published formula moves when only the order changes.
"""

from selene_lib.evaluation.arena.bradley_terry import BradleyTerry, bootstrap_ratings, bradley_terry
from selene_lib.evaluation.arena.elo import elo, printed_interval, shuffle_elo
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
    "bradley_terry",
    "coverage_study",
    "elo",
    "printed_interval",
    "read_votes",
    "shuffle_elo",
    "simulate_battles",
]
