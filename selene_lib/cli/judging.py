"""Commands that judge: judge a file, score stored replies, audit a judge."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from selene_lib.cli.options import (
    ColumnOption,
    JsonOption,
    LabelOption,
    pairs_of,
    print_rows,
    rows_of,
)
from selene_lib.errors import UserError
from selene_lib.records import Task

Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="embedded, a folder or hub id, http://host/v1#model, vllm:PATH or replay:FILE",
    ),
]
ModelOrOwn = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="embedded, a folder or hub id, http://host/v1#model, vllm:PATH or replay:FILE; "
        "default: the base of a judge of `train`, else embedded",
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
    input: Annotated[
        Path,
        typer.Option(
            "--input",
            help="CSV, TSV, JSONL, JSON, Parquet or XLSX with instruction, response (response_b, "
            "rubric, reference, label, id)",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", help="the same rows with verdict columns: CSV, TSV, JSONL or Parquet"
        ),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="absolute, classification or pairwise; a judge of `train` knows its own"
        ),
    ] = None,
    rubric: Annotated[
        Path | None,
        typer.Option("--rubric", help="text file; needed unless the input has a rubric column"),
    ] = None,
    model: ModelOrOwn = None,
    adapter: Adapter = None,
    name: Annotated[
        str | None, typer.Option("--name", help="what the judge is called in the results")
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help="prompt templates: nano, full, or a folder of your own"),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help="put before the names of the added columns")
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="ask again what failed for good before")
    ] = False,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", help="room for reasoning and verdict")
    ] = None,
    max_prompt_tokens: Annotated[
        int | None, typer.Option("--max-prompt-tokens", help="longer prompts are cut in the middle")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="server: requests at a time (16)")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="server: seconds for one answer (300)")
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option("--budget-tokens", help="server: stop after so many tokens")
    ] = None,
    budget_usd: Annotated[
        float | None, typer.Option("--budget-usd", help="server: stop after so many US dollars")
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            "--price", help="server: USD for a million prompt and reply tokens, as 0.15,0.60"
        ),
    ] = None,
    extra_body: Annotated[
        str | None,
        typer.Option("--extra-body", help="server: JSON object sent with every request"),
    ] = None,
    reply: Annotated[
        str | None,
        typer.Option("--reply", help="critique (reasons, then a verdict) or verdict alone"),
    ] = None,
    read: Annotated[
        str | None,
        typer.Option("--read", help="greedy, or logprob: the more probable label, local models"),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="auto, native, float32, bfloat16 or float16; local models"),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="a run's 05_evaluate_benchmarks/calibrations/*.json"),
    ] = None,
    column: ColumnOption = None,
    label: LabelOption = None,
) -> None:
    """Judge every row of a file. A broken run goes on where it stopped: replies are kept when they
    come. Rows that fail for good get the status failed and are counted (exit code 0); what concerns
    all rows (key, address, credit, budget) stops with one line and exit code 2.
    """
    from selene_lib.files import to_dict
    from selene_lib.judge import judge_file

    prompt_usd, reply_usd = _prices(price)
    done = judge_file(
        input,
        output,
        task=cast(Task | None, task),  # `judge_file` itself refuses another word
        rubric=rubric,
        model=model,
        family=family,
        prefix=prefix,
        retry_failed=retry_failed,
        adapter=adapter,
        name=name,
        max_new_tokens=max_new_tokens,
        max_prompt_tokens=max_prompt_tokens,
        max_concurrency=concurrency,
        timeout_seconds=timeout,
        budget_tokens=budget_tokens,
        budget_usd=budget_usd,
        usd_per_million_prompt_tokens=prompt_usd,
        usd_per_million_reply_tokens=reply_usd,
        extra_body=_json_object(extra_body),
        reply=reply,
        read=read,
        dtype=dtype,
        calibration=calibration,
        columns=pairs_of(column, "--column"),
        labels=pairs_of(label, "--label"),
    )
    print(
        f"{done.n} rows judged, {done.n_unparsed} without a readable verdict, "
        f"{done.n_inconsistent} with two orders that disagree"
    )
    if done.n_failed:
        print(
            f"{done.n_failed} of them failed (see the columns status and reason): those that the "
            "server refused are asked again with --retry-failed, the others by the same command"
        )
    print(", ".join(f"{what} {value:,.6g}" for what, value in done.usage.items()))
    if done.scores:
        print_rows([to_dict(row) for row in done.scores], False, SCORE_COLUMNS)
    print(f"output: {done.output}\nreplies: {done.store}")


def _prices(text: str | None) -> tuple[float | None, float | None]:
    """Read `PROMPT,REPLY` in USD for a million tokens."""
    if text is None:
        return None, None
    try:
        prompt_usd, reply_usd = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(f"--price {text!r}: give two numbers, as in --price 0.15,0.60") from error
    if not (0 <= prompt_usd < float("inf") and 0 <= reply_usd < float("inf")):
        raise UserError(f"--price {text!r}: prices are 0 or more")
    return prompt_usd, reply_usd


def _json_object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json_module.loads(text)
    except ValueError as error:
        raise UserError(f"--extra-body is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise UserError('--extra-body is no JSON object; give one such as {"top_p": 1}')
    return found


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
    seed: Annotated[int, typer.Option(help="decides resamples and the one random order")] = 0,
    n_resamples: Annotated[int, typer.Option(help="bootstrap resamples")] = 2000,
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
    from selene_lib.judges.asked import family_of
    from selene_lib.judges.opening import open_judge

    opened = open_judge(model, adapter=adapter)
    card = audit_card(
        opened, read_samples(samples), n=n, family=family_of(model), seed=seed, progress=True
    )
    columns = ("probe", "kind", "template", "effect", "ci95_low", "ci95_high", "n", "n_unparsed")
    print_rows(rows_of(card), json, columns)


COMMANDS = (judge, score, audit)
