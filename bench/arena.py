"""Speed of the arena's arithmetic: 20,000 battles, 20 judges, 1,000 bootstrap resamples of the
Bradley-Terry fit.

    python bench/arena.py [--json]

Prints seconds (median of five) for the bootstrap, for the whole table of `selene arena`, and, where
`evalica` is installed, for one fit and one Elo pass of both in this same process.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from selene_lib.evaluation.arena import (
    arena_table,
    bootstrap_ratings,
    fit_bradley_terry,
    sequential_elo,
    simulate_battles,
)

N_BATTLES, N_JUDGES, N_RESAMPLES = 20_000, 20, 1_000


def seconds(work: Callable[[], object], n: int = 5) -> float:
    """Median wall time of `n` calls, after one that is not counted."""
    work()
    times = []
    for _ in range(n):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure() -> dict[str, float]:
    battles = simulate_battles(
        np.linspace(-200, 200, N_JUDGES), N_BATTLES, np.random.default_rng(0)
    )
    figures = {
        "bootstrap_1000_seconds": seconds(
            lambda: bootstrap_ratings(battles, n_resamples=N_RESAMPLES)
        ),
        "table_seconds": seconds(lambda: arena_table(battles, n_resamples=N_RESAMPLES)),
        "fit_seconds": seconds(lambda: fit_bradley_terry(battles, ties="half")),
        "elo_seconds": seconds(lambda: sequential_elo(battles)),
    }
    if importlib.util.find_spec("evalica"):
        import evalica

        outcomes = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
        left, right = ([battles.judges[i] for i in side] for side in (battles.left, battles.right))
        winners = [outcomes[s] for s in battles.score_left]
        figures["evalica_fit_seconds"] = seconds(
            lambda: evalica.bradley_terry(left, right, winners)
        )
        figures["evalica_elo_seconds"] = seconds(lambda: evalica.elo(left, right, winners))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="speed of the arena's arithmetic")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    figures = measure()
    if parser.parse_args().json:
        print(json.dumps(figures))
        return
    print(f"{N_BATTLES:,} battles, {N_JUDGES} judges, {N_RESAMPLES:,} resamples")
    for name, value in figures.items():
        print(f"{name:26s} {value:8.4f}")


if __name__ == "__main__":
    main()
