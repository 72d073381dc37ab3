"""Commands on data sets and votes: sources, benchmarks, lock, arena."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from selene_lib.cli.options import (
    DataDir,
    JsonOption,
    ResamplesOption,
    folder,
    from_zero,
    print_rows,
)
from selene_lib.errors import UserError

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
    """List every set that can be judged, and every benchmark.

    Benchmarks, domain sets, components, sets published after the paper: task, which files are read
    with the count expected, licence, revision, how its shape is known, whether it is here.
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
    """Write the hub's current revisions to the lock file.

    Each is resolved over the network to its 40-hex commit; a locked one moves with --refresh only.
    """
    from selene_lib.data import lock_all

    for hub_id, revision in sorted(lock_all(names or [], refresh=refresh).items()):
        print(f"{hub_id}  {revision}")


def import_outputs(
    outputs: Annotated[Path, typer.Argument(help="JSON Lines of published judge outputs")],
    set_: Annotated[str, typer.Option("--set", help="the set they are about, such as judgebench")],
    judge: Annotated[str, typer.Option("--judge", help="what the judge is called")],
    data_dir: DataDir = None,
    json: JsonOption = False,
    seed: Annotated[
        int, typer.Option(help="decides resamples and positions", callback=from_zero)
    ] = 0,
    n_resamples: ResamplesOption = 1000,
) -> None:
    """Score judge outputs that others published.

    In every convention. Takes JudgeBench's own form, or rows with id, verdict and order.
    """
    from selene_lib.data import load
    from selene_lib.data.collection import spec_of
    from selene_lib.evaluation.scoring import score_set
    from selene_lib.judges.imported import import_judgements

    samples = load(spec_of(set_, "benchmark"), data_dir=folder(data_dir), seed=seed).samples
    judgements = import_judgements(outputs, samples, judge=judge, set_name=set_)
    judged = {judgement.sample_id for judgement in judgements}
    samples = [sample for sample in samples if sample.id in judged]
    scores = score_set(
        samples, judgements, judge=judge, set_name=set_, seed=seed, n_resamples=n_resamples
    )
    names = ("metric", "convention", "value", "ci95_low", "ci95_high", "n", "n_unparsed")
    print_rows([{name: getattr(score, name) for name in names} for score in scores], json)


def arena(
    votes: Annotated[
        Path, typer.Option("--votes", help="CSV with left, right, winner (or model_a, model_b)")
    ],
    ties: Annotated[
        str,
        typer.Option("--ties", help="half: half a win each, the Elo formula holds; or davidson"),
    ] = "half",
    cluster: Annotated[
        str,
        typer.Option("--cluster", help="vote, or voter: intervals that draw whole voters"),
    ] = "vote",
    both_bad: Annotated[
        str, typer.Option("--both-bad", help="votes that neither was good: tie, or drop")
    ] = "tie",
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(help="decides resamples", callback=from_zero)] = 0,
    n_resamples: ResamplesOption = 1000,
) -> None:
    """Rate judges from a votes file.

    Order-free Bradley-Terry beside the leaderboard's formula.
    """
    from selene_lib.evaluation.arena import arena_table, read_votes

    for option, value, known in (
        ("--ties", ties, ("half", "davidson")),
        ("--cluster", cluster, ("vote", "voter")),
    ):
        if value not in known:
            raise UserError(f"{option} {value!r} is not one of {', '.join(known)}")
    battles = read_votes(votes, both_bad=cast(Literal["tie", "drop"], both_bad))
    table = arena_table(
        battles,
        n_resamples=n_resamples,
        seed=seed,
        by=cast(Literal["vote", "voter"], cluster),
        ties=cast(Literal["half", "davidson"], ties),
    )
    print_rows(table.to_dict("records"), json)


COMMANDS = (sources, benchmarks, lock, import_outputs, arena)
