"""Commands on one's own labels: how far a judge agrees with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selene_lib.cli.options import (
    ColumnOption,
    DataDir,
    JsonOption,
    LabelOption,
    ResamplesOption,
    folder,
    from_zero,
    pairs_of,
    positive,
    print_rows,
    rows_of,
    share,
)

TaskOption = Annotated[
    str | None,
    typer.Option("--task", help="absolute, classification or pairwise; default: by the labels"),
]
SHOWN = ("measure", "label", "value", "ci95_low", "ci95_high", "n", "n_groups")


def agree(
    input: Annotated[
        Path, typer.Argument(help="judged table with a label and a verdict column, as judge writes")
    ],
    task: TaskOption = None,
    column: ColumnOption = None,
    label: LabelOption = None,
    people: Annotated[
        list[str] | None,
        typer.Option("--people", help="column with the labels of one more person; again for more"),
    ] = None,
    by: Annotated[str, typer.Option("--by", help="column whose values are scored apart, too")] = "",
    scale: Annotated[
        str | None, typer.Option("--scale", help="whole scores other than 1 to 5, as 1-10")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="writes OUT.html and OUT.json (INPUT.agreement)"),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", help="kappa=0.6, recall:No=0.8 ...: exit code 3 where less"),
    ] = None,
    seed: Annotated[int, typer.Option(help="decides resamples and halves", callback=from_zero)] = 0,
    n_resamples: ResamplesOption = 2000,
    json: JsonOption = False,
) -> None:
    """Say how far a judge agrees with people's labels.

    Accuracy, kappa, recall and correlations with intervals, disagreements, the corrected pass rate
    of rows without a label, how many labels are needed. Exit code 3 where a --fail-under is not
    met.
    """
    from selene_lib.evaluation.agreement.summary import agreement, failed_gates
    from selene_lib.evaluation.agreement.verdicts import read_verdicts
    from selene_lib.labels.page import check_agreement, verdict_on, write_agreement

    stem = out or Path(f"{input}.agreement")
    check_agreement(stem, [input])
    verdicts = read_verdicts(
        input,
        task=task,
        columns=pairs_of(column, "--column"),
        labels=pairs_of(label, "--label"),
        people=people or (),
        by=by,
        scale=scale,
    )
    found = agreement(verdicts, n_resamples=n_resamples, seed=seed)
    failed = failed_gates(found, fail_under or [])  # a name that is none stops before writing
    html, json_path = write_agreement(found, stem, input.name)
    print_rows(rows_of(found.measures), json, SHOWN)
    if not json:
        if by:
            print_rows(rows_of(found.subsets), False)
        for rate in found.pass_rates:
            around = rate.note or f"[{rate.low:.3f}, {rate.high:.3f}]"
            print(f"pass rate, {rate.method}: {rate.value:.3f} {around}")
        print(verdict_on(found))
        print(f"report: {html}\nnumbers: {json_path}")
    for line in failed:
        typer.echo(f"selene: {line}", err=True)
    if failed:
        raise typer.Exit(3)


def train(
    input: Annotated[
        Path,
        typer.Option("--input", help="labelled CSV, TSV, JSONL, JSON, Parquet or XLSX"),
    ],
    task: Annotated[str, typer.Option("--task", help="absolute, classification or pairwise")],
    out: Annotated[Path, typer.Option("--out", help="folder to make: the trained judge")],
    rubric: Annotated[
        str | None,
        typer.Option(
            "--rubric",
            help="the question itself, a preset (`selene rubrics`), or a file; needed unless the "
            "input has a rubric column",
        ),
    ] = None,
    column: ColumnOption = None,
    label: LabelOption = None,
    base: Annotated[
        str, typer.Option("--base", help="smollm2 (fetched), embedded, a folder or a hub id")
    ] = "smollm2",
    revision: Annotated[
        str | None, typer.Option("--revision", help="40-hex commit of a hub id")
    ] = None,
    holdout: Annotated[
        float,
        typer.Option(
            "--holdout", help="share of the items that is only measured on", callback=share
        ),
    ] = 0.25,
    epochs: Annotated[
        float, typer.Option("--epochs", help="passes over the balanced pairs", callback=positive)
    ] = 4.0,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="default: by the size of the base", callback=positive),
    ] = None,
    generator: Annotated[
        str,
        typer.Option("--generator", help="http://host/v1#model that writes reasons for the pairs"),
    ] = "",
    curve: Annotated[
        bool, typer.Option("--curve", help="train on 25 and 50 % of the labels too")
    ] = False,
    data_dir: DataDir = None,
    seed: Annotated[
        int, typer.Option(help="decides split, order and resamples", callback=from_zero)
    ] = 0,
) -> None:
    """Train a judge on your own labels and measure it.

    The table is checked first. Items are split by group (default: the same instruction), and the
    judge is measured on groups it never saw. The same command goes on where it stopped.
    Afterwards: selene judge --adapter OUT --input new.csv ...
    """
    from selene_lib.labels.recipe import JudgeRecipe
    from selene_lib.labels.training import train_judge

    done = train_judge(
        input,
        out,
        task=task,
        rubric=rubric,
        columns=pairs_of(column, "--column"),
        labels=pairs_of(label, "--label"),
        recipe=JudgeRecipe(
            base=base,
            revision=revision,
            holdout=holdout,
            n_epochs=epochs,
            learning_rate=learning_rate,
            generator=generator,
            seed=seed,
        ),
        data_dir=folder(data_dir),
        curve=curve,
    )
    print_rows(list(done.compared), False)
    if done.curve:
        print_rows(list(done.curve), False, ("n_labels", "accuracy", "accuracy_low"))
    print(f"report: {done.report}\njudge with it: selene judge --adapter {out} --input ...")


def import_(
    input: Annotated[
        Path, typer.Argument(help="rubric or data of Prometheus, OpenAI Evals or deepeval")
    ],
    out: Annotated[Path, typer.Option("--out", help="folder for rubric.txt and table.csv")],
) -> None:
    """Read a rubric or data set made for another tool.

    Writes our rubric and table, and names what is lost.
    """
    from selene_lib.labels.importing import import_file, write_import

    found = import_file(input)
    for path in write_import(found, out):
        print(f"{found.kind}: {path}")
    for lost in found.lost:
        print(f"not carried over: {lost}")
    words = "".join(f" --label {own}={ours}" for own, ours in found.labels.items())
    if found.task:
        print(f"use it with: --task {found.task}{words}")


COMMANDS = (train, agree, import_)
