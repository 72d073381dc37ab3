"""Commands on data sets and votes: sources, benchmarks, lock, arena."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selene_lib.cli.options import DataDir, JsonOption, folder, print_rows

LISTED = (
    "name",
    "role",
    "task",
    "runnable",
    "n",
    "n_expected",
    "present",
    "licence",
    "revision",
    "shape_known_from",
    "read_from",
)


def sources(data_dir: DataDir = None, json: JsonOption = False) -> None:
    """List every training source.

    Task, licence, revision, how its shape is known, whether it is here.
    """
    _list("sources", data_dir, json)


def benchmarks(data_dir: DataDir = None, json: JsonOption = False) -> None:
    """List every benchmark, domain set, component and set after the paper.

    Which can be judged, task, which files are read with the count expected, licence, revision, how
    its shape is known, whether it is here.
    """
    _list("benchmarks", data_dir, json)


def _list(what: str, data_dir: Path | None, as_json: bool) -> None:
    from selene_lib.data import list_rows

    rows = list_rows(what, folder(data_dir))
    print_rows(rows, as_json, LISTED)
    absent = [row for row in rows if not row["present"]]
    if absent and not as_json:
        print("\nhow to get the others:")
        for row in absent:
            print(f"  {row['name']}: {row['how_to_get']}")


def lock(
    names: Annotated[
        list[str] | None, typer.Argument(help="sets to lock; all if none is named")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="also move revisions that are locked already")
    ] = False,
) -> None:
    """Resolve hub revisions to 40-hex commits over the network and write them to the lock file."""
    from selene_lib.data import lock_all

    for hub_id, revision in sorted(lock_all(names or [], refresh=refresh).items()):
        print(f"{hub_id}  {revision}")


def arena(
    votes: Annotated[
        Path,
        typer.Option(
            "--votes", help="CSV with the columns left, right, winner (left, right or tie)"
        ),
    ],
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(help="decides resamples and shuffles")] = 0,
    n_resamples: Annotated[int, typer.Option(help="bootstrap resamples")] = 1000,
) -> None:
    """Rate the judges of a votes file.

    The public leaderboard's Elo beside Bradley-Terry with bootstrap intervals.
    """
    from selene_lib.evaluation.arena import arena_table

    print_rows(arena_table(votes, n_resamples=n_resamples, seed=seed).to_dict("records"), json)


COMMANDS = (sources, benchmarks, lock, arena)
