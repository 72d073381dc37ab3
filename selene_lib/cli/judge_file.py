"""`selene judge`: every row of a table, by one judge or a panel."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selene_lib.cli.options import (
    ColumnOption,
    LabelOption,
    count,
    from_zero,
    not_negative,
    pairs_of,
    positive,
    print_rows,
)
from selene_lib.errors import UserError

if TYPE_CHECKING:
    from selene_lib.judge import FileResult
    from selene_lib.models.cluster import Cluster

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        help="http://host/v1#model, a folder or hub id, vllm:PATH, replay:FILE or embedded; given "
        "again: a panel. Default: the adapter's base, else the small real model if installed",
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
EXIT_UNREADABLE = 3


def judge(
    input: Annotated[
        Path,
        typer.Option(
            "--input",
            help="CSV, TSV, JSONL, JSON, Parquet or XLSX with instruction, response (response_b, "
            "rubric, reference, context, label, id), or with messages",
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
            "--task",
            help="absolute, classification or pairwise; default: the adapter's, pairwise where "
            "there is a response_b, else absolute",
        ),
    ] = None,
    rubric: Annotated[
        str | None,
        typer.Option(
            "--rubric",
            help="the question itself, a preset (`selene rubrics`), or a file; needed unless the "
            "input has a rubric column",
        ),
    ] = None,
    scale: Annotated[
        str | None, typer.Option("--scale", help="whole scores of an absolute task, as 1-10")
    ] = None,
    may_abstain: Annotated[
        bool, typer.Option("--may-abstain", help="let the judge answer: cannot tell")
    ] = False,
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            help="table of judged examples: response, verdict (instruction, reasoning)",
        ),
    ] = None,
    model: Models = None,
    adapter: Adapter = None,
    name: Annotated[
        str | None, typer.Option("--name", help="what the judge is called in the results")
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            "--samples", help="replies to each question, at temperature 1", callback=count
        ),
    ] = 1,
    combine: Annotated[
        str, typer.Option("--combine", help="one verdict of several: majority or mean")
    ] = "majority",
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", help="0 (greedy) unless there are samples", callback=not_negative
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help="prompt templates: nano, lean, full, or your own folder"),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help="put before the names of the added columns")
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="ask again what failed for good before")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say requests, tokens and cost; ask nothing")
    ] = False,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max-new-tokens", help="room for reasoning and verdict", callback=count),
    ] = None,
    max_prompt_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-prompt-tokens", help="longer prompts are cut in the middle", callback=count
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", help="server: requests at a time (16)", callback=count),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", help="server: seconds for one answer (300)", callback=positive),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            "--budget-tokens", help="server: stop after so many tokens", callback=from_zero
        ),
    ] = None,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            "--budget-usd", help="server: stop after so many US dollars", callback=not_negative
        ),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            "--price",
            help="server: USD for a million prompt and reply tokens, as 0.15,0.60; of a panel one "
            "for all, or one a model in their order",
        ),
    ] = None,
    extra_body: Annotated[
        str | None,
        typer.Option("--extra-body", help="server: JSON object sent with every request"),
    ] = None,
    guided: Annotated[
        bool,
        typer.Option("--guided", help="server: hold the verdict, not the reasons, to the labels"),
    ] = False,
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
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda or cuda:1; local models")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="a run's 05_evaluate_benchmarks/calibrations/*.json"),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", help="3/8: a part of the rows; without it shards are put together"),
    ] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="ray: spread over a cluster (extra scale)")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", help="ray: judges at work at once", callback=count)
    ] = 2,
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", help="ray: auto or host:port; default: this one")
    ] = None,
    gpus_per_worker: Annotated[
        float,
        typer.Option(
            "--gpus-per-worker",
            help="ray: GPUs, or shares of one, of a judge",
            callback=not_negative,
        ),
    ] = 0.0,
    column: ColumnOption = None,
    label: LabelOption = None,
    group: Annotated[
        str | None,
        typer.Option("--group", help="column of what belongs together; default: the instruction"),
    ] = None,
) -> None:
    """Judge every row of a file. A broken run goes on where it stopped: replies are kept when they
    come. Rows that fail for good get the status failed and are counted (exit code 0); a file of
    which no verdict can be read ends with 3; what concerns all rows (key, address, credit, budget)
    stops with one line and exit code 2.
    """
    from selene_lib.judge import judge_file, plan_file

    prices = [_price(text) for text in price or ()]
    given: dict[str, Any] = {
        "task": task,
        "rubric": rubric,
        "scale": scale,
        "may_abstain": may_abstain,
        "examples": examples or (),
        "model": model,
        "adapter": adapter,
        "name": name,
        "n_samples": samples,
        "combine": combine,
        "temperature": temperature,
        "family": family,
        "max_new_tokens": max_new_tokens,
        "max_prompt_tokens": max_prompt_tokens,
        "max_concurrency": concurrency,
        "timeout_seconds": timeout,
        "budget_tokens": budget_tokens,
        "budget_usd": budget_usd,
        "usd_per_million_prompt_tokens": [prompt for prompt, _ in prices] or None,
        "usd_per_million_reply_tokens": [reply for _, reply in prices] or None,
        "extra_body": _json_object(extra_body),
        "guided": guided or None,
        "reply": reply,
        "read": read,
        "dtype": dtype,
        "device": device,
        "calibration": calibration,
        "columns": pairs_of(column, "--column") | ({"group": group} if group else {}),
        "labels": pairs_of(label, "--label"),
    }
    if dry_run:
        print(plan_file(input, output, **given))
        return
    done = judge_file(
        input,
        output,
        prefix=prefix,
        retry_failed=retry_failed,
        shard=shard,
        cluster=_cluster(engine, output, workers, ray_address, gpus_per_worker),
        **given,
    )
    _print(done)
    if done.n and done.n_unparsed == done.n:
        raise typer.Exit(EXIT_UNREADABLE)


def _print(done: FileResult) -> None:
    from selene_lib.files import to_dict

    for line in done.lines():
        print(line)
    if done.scores:
        print_rows([to_dict(row) for row in done.scores], False, SCORE_COLUMNS)
    print(f"output: {done.output}\nreplies: {done.store}")


def _cluster(
    engine: str | None, output: Path, workers: int, address: str | None, gpus: float
) -> Cluster | None:
    """Where prompts are spread; the folder beside the output must be seen by all nodes."""
    from selene_lib.models.cluster import Cluster

    if engine is None:
        return None
    if engine != "ray":
        raise UserError(f"--engine {engine!r} is not ray")
    folder = output.with_name(f"{output.name}.ray")
    return Cluster(folder, address, workers, n_gpus_per_worker=gpus)


def _price(text: str) -> tuple[float, float]:
    """Read `PROMPT,REPLY` in USD for a million tokens."""
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


def rubrics(
    name: Annotated[str | None, typer.Argument(help="the preset to print whole")] = None,
    task: Annotated[str, typer.Option("--task", help="absolute, classification or pairwise")] = (
        "absolute"
    ),
) -> None:
    """List the rubrics that come with the project, or print one.

    Use it as it is, or change it.
    """
    from selene_lib.judges.asked import kind_of
    from selene_lib.prompts.presets import presets, rubric_of

    if name is not None:
        print(rubric_of(name, kind_of(task, None)))
        return
    rows = [{"name": p.name, "judges": p.about, "needs": p.needs} for p in presets().values()]
    print_rows(rows, False)
