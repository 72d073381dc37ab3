"""Commands on one's own labels: how far a judge agrees with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selene_lib.cli.options import JsonOption, print_rows, rows_of
from selene_lib.errors import UserError

ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", help="ours=theirs, as in response=answer; may be given again"),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", help="theirs=ours, as in good=Yes; may be given again"),
]
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
    out: Annotated[
        Path | None,
        typer.Option("--out", help="writes OUT.html and OUT.json (INPUT.agreement)"),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", help="kappa=0.6, recall:No=0.8 ...: exit code 3 where less"),
    ] = None,
    seed: Annotated[int, typer.Option(help="decides resamples and halves")] = 0,
    n_resamples: Annotated[int, typer.Option(help="bootstrap resamples")] = 2000,
    json: JsonOption = False,
) -> None:
    """Say how far a judge agrees with labels: accuracy, kappa, recall, correlations with intervals,
    disagreements, the corrected pass rate of rows without a label, how many labels are needed.

    Exit code 3 where a --fail-under is not met.
    """
    from selene_lib.evaluation.agreement.summary import agreement, failed_gates
    from selene_lib.evaluation.agreement.verdicts import read_verdicts
    from selene_lib.labels.page import verdict_on, write_agreement

    verdicts = read_verdicts(
        input,
        task=task,
        columns=pairs_of(column, "--column"),
        labels=pairs_of(label, "--label"),
        people=people or (),
    )
    found = agreement(verdicts, n_resamples=n_resamples, seed=seed)
    failed = failed_gates(found, fail_under or [])  # a name that is none stops before writing
    html, json_path = write_agreement(found, out or Path(f"{input}.agreement"), input.name)
    print_rows(rows_of(found.measures), json, SHOWN)
    if not json:
        for rate in found.pass_rates:
            around = rate.note or f"[{rate.low:.3f}, {rate.high:.3f}]"
            print(f"pass rate, {rate.method}: {rate.value:.3f} {around}")
        print(verdict_on(found))
        print(f"report: {html}\nnumbers: {json_path}")
    for line in failed:
        typer.echo(f"selene: {line}", err=True)
    if failed:
        raise typer.Exit(3)


def pairs_of(given: list[str] | None, option: str) -> dict[str, str]:
    """Read `a=b` options as a mapping; another form is a UserError."""
    found = {}
    for text in given or []:
        left, mark, right = text.partition("=")
        if not mark or not left.strip() or not right.strip():
            raise UserError(f"{option} {text!r}: write it as name=name")
        found[left.strip()] = right.strip()
    return found


COMMANDS = (agree,)
