"""Commands that judge: judge a file, score stored replies, audit a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from selene_lib.cli.options import JsonOption, print_rows, rows_of
from selene_lib.records import Task

Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="embedded, a folder or hub id, http://host/v1#model, vllm:PATH or replay:FILE",
    ),
]
Adapter = Annotated[str | None, typer.Option("--adapter", help="folder of a trained adapter")]
SCORE_COLUMNS = (
    "judge",
    "set",
    "metric",
    "convention",
    "value",
    "ci95_low",
    "ci95_high",
    "bound_low",
    "bound_high",
    "n",
    "n_unparsed",
)


def judge(
    task: Annotated[str, typer.Option("--task", help="absolute, classification or pairwise")],
    input: Annotated[
        Path,
        typer.Option(
            "--input",
            help="CSV, JSONL or Parquet with instruction, response (response_b, rubric, label)",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", help="the same rows with the verdict columns; CSV, JSONL or Parquet"
        ),
    ],
    rubric: Annotated[
        Path | None,
        typer.Option("--rubric", help="text file; needed unless the input has a rubric column"),
    ] = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help="prompt templates: nano, full, or a folder of your own"),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", help="room for reasoning and verdict")
    ] = None,
) -> None:
    """Judge every row of a file; a broken run goes on where it stopped."""
    from selene_lib.files import to_dict
    from selene_lib.judge import judge_file

    done = judge_file(
        input,
        output,
        task=cast(Task, task),  # `judge_file` itself refuses another word
        rubric=rubric,
        model=model,
        family=family,
        adapter=adapter,
        max_new_tokens=max_new_tokens,
    )
    print(
        f"{done.n} rows judged, {done.n_unparsed} without a readable verdict, "
        f"{done.n_inconsistent} with two orders that disagree"
    )
    print(", ".join(f"{name} {value:,.6g}" for name, value in done.usage.items()))
    if done.scores:
        print_rows([to_dict(row) for row in done.scores], False, SCORE_COLUMNS)
    print(f"output: {done.output}\nreplies: {done.store}")


def score(
    replies: Annotated[Path, typer.Option("--replies", help="stored judgements, JSONL")],
    samples: Annotated[
        Path, typer.Option("--samples", help="the samples that were judged, Parquet or JSONL")
    ],
    set_: Annotated[
        str | None, typer.Option("--set", help="which set, where several are stored")
    ] = None,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(help="decides resamples and the one random order")] = 0,
    n_resamples: Annotated[int, typer.Option(help="bootstrap resamples")] = 2000,
) -> None:
    """Parse and score stored replies again, without any model."""
    from selene_lib.evaluation.scoring import scores_table
    from selene_lib.evaluation.scoring.rescore import read_judgements, read_samples, rescore

    rows = rescore(
        read_samples(samples),
        read_judgements(replies),
        set_name=set_,
        seed=seed,
        n_resamples=n_resamples,
    )
    print_rows(rows_of(scores_table(rows)), json, SCORE_COLUMNS)


def audit(
    samples: Annotated[
        Path, typer.Option("--samples", help="items to make probes of, Parquet or JSONL of samples")
    ],
    model: Model = "embedded",
    adapter: Adapter = None,
    n: Annotated[int, typer.Option("-n", help="items to use")] = 100,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(help="decides items and resamples")] = 0,
) -> None:
    """Print a judge's audit card.

    Order, length, flattery and format biases, stability, calibration, success of attacks.
    """
    from selene_lib.evaluation.audit import audit_card
    from selene_lib.evaluation.scoring.rescore import read_samples
    from selene_lib.judge import family_of
    from selene_lib.judges.opening import open_judge

    opened = open_judge(model, adapter=adapter)
    card = audit_card(
        opened, read_samples(samples), n=n, family=family_of(model), seed=seed, progress=True
    )
    columns = ("probe", "kind", "template", "effect", "ci95_low", "ci95_high", "n", "n_unparsed")
    print_rows(rows_of(card), json, columns)


COMMANDS = (judge, score, audit)
