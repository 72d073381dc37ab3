"""Commands that judge: judge a file, score stored replies, audit a judge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selene_lib.cli.judge_file import SCORE_COLUMNS, Adapter, judge, rubrics
from selene_lib.cli.options import (
    JsonOption,
    ResamplesOption,
    count,
    from_zero,
    print_rows,
    rows_of,
)

ModelOrSmall = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="a folder or hub id, http://host/v1#model, vllm:PATH, replay:FILE or embedded; "
        "default: the adapter's base, else the small real model where it is installed",
    ),
]


def score(
    replies: Annotated[Path, typer.Option("--replies", help="stored judgements, JSONL")],
    samples: Annotated[
        Path, typer.Option("--samples", help="the samples that were judged, Parquet or JSONL")
    ],
    set_: Annotated[
        str | None, typer.Option("--set", help="which set, where several are stored")
    ] = None,
    any_prompt: Annotated[
        bool,
        typer.Option(
            "--any-prompt", help="take replies to other prompts than today's templates write"
        ),
    ] = False,
    json: JsonOption = False,
    seed: Annotated[
        int, typer.Option(help="decides resamples and the one random order", callback=from_zero)
    ] = 0,
    n_resamples: ResamplesOption = 2000,
) -> None:
    """Parse and score stored replies again, without any model."""
    from selene_lib.evaluation.scoring import scores_table
    from selene_lib.evaluation.scoring.streamed import rescore_files

    rows = rescore_files(
        samples,
        replies,
        set_name=set_,
        any_prompt=any_prompt,
        seed=seed,
        n_resamples=n_resamples,
    )
    print_rows(rows_of(scores_table(rows)), json, SCORE_COLUMNS)


def audit(
    samples: Annotated[
        Path, typer.Option("--samples", help="items to make probes of, Parquet or JSONL of samples")
    ],
    model: ModelOrSmall = None,
    adapter: Adapter = None,
    n: Annotated[int, typer.Option("-n", help="items to use", callback=count)] = 100,
    json: JsonOption = False,
    seed: Annotated[int, typer.Option(help="decides items and resamples", callback=from_zero)] = 0,
) -> None:
    """Print a judge's audit card.

    Order, length, flattery and format biases, stability, calibration, success of attacks.
    """
    from selene_lib.evaluation.audit import audit_card
    from selene_lib.evaluation.scoring.rescore import read_samples
    from selene_lib.judges.asked import default_model, family_of
    from selene_lib.judges.opening import open_judge

    found = read_samples(samples)
    model = model or default_model(adapter)
    opened = open_judge(model, adapter=adapter)
    card = audit_card(opened, found, n=n, family=family_of(model), seed=seed, progress=True)
    columns = ("probe", "kind", "template", "effect", "ci95_low", "ci95_high", "n", "n_unparsed")
    print_rows(rows_of(card), json, columns)


COMMANDS = (judge, rubrics, score, audit)
