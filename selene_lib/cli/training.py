"""Commands around training: predict what a run needs, export what it made."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from selene_lib.cli.options import JsonOption, RunOption, SetOption, print_rows


def plan(
    run: RunOption = "nano",
    n_pairs: Annotated[
        int | None, typer.Option("--n-pairs", help="preference pairs, where the run counts epochs")
    ] = None,
    prompt_tokens: Annotated[
        int | None,
        typer.Option("--prompt-tokens", help="mean prompt length; default: of the run's pairs"),
    ] = None,
    completion_tokens: Annotated[
        int | None, typer.Option("--completion-tokens", help="mean length of one completion")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="T4, L4, A100-80GB, H100-80GB, H200 ..., cpu; default: what is here"
        ),
    ] = None,
    set_: SetOption = None,
    json: JsonOption = False,
) -> None:
    """Predict memory, speed, hours and cost of a run.

    Of its training, and of a hosted generator in tokens and dollars, before anything is loaded.
    """
    from selene_lib.files import read_parquet
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.plan import plan_generation, spec_of_run
    from selene_lib.pipeline.presets import parse_settings
    from selene_lib.records import PreferencePair
    from selene_lib.training import planner

    settings = parse_settings(set_ or [])
    spec = spec_of_run(run, settings)
    made = run_folder(Path(run).stem) / "02_curate_preferences" / "pairs.parquet"
    if made.is_file() and prompt_tokens is None and Path(spec.base_model).is_dir():
        pairs = read_parquet(made, PreferencePair)
        n_pairs = n_pairs or len(pairs)
        prompt_tokens, completion_tokens = planner.mean_lengths(spec, pairs)
    found = planner.plan_training(
        spec,
        n_pairs=n_pairs,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        device=device,
    ).to_dict()
    found["generation"] = plan_generation(
        run, settings, prompt_tokens=prompt_tokens, reply_tokens=completion_tokens
    )
    if json:
        print(json_module.dumps(found, indent=1))
    else:
        _print_plan(found)


def _print_plan(found: dict[str, Any]) -> None:
    """Print a plan as a table: first its own numbers, then memory by part, then the generator."""
    notes = found.pop("assumptions")
    memory = found.pop("memory_bytes")
    generation = found.pop("generation") or {}
    for name, value in memory.items():
        found[f"memory: {name}"] = f"{value / 1e9:.2f} GB"
    for name, value in generation.items():
        found[f"generator: {name}"] = "no prices given" if value is None else value
    print_rows([{"what": key, "predicted": value} for key, value in found.items()], False)
    print("\n".join(f"assumed: {note}" for note in notes))


def export(
    adapter: Annotated[Path, typer.Option("--adapter", help="folder of the trained adapter")],
    out: Annotated[Path, typer.Option("--out", help="folder to write to")],
    golden: Annotated[
        Path, typer.Option("--golden", help="samples to compare verdicts on, Parquet or JSONL")
    ],
    base: Annotated[
        str, typer.Option("--base", help="the base model: embedded, a folder or a hub id")
    ] = "embedded",
    name: Annotated[str, typer.Option("--name", help="name to serve it under")] = "judge",
    family: Annotated[
        str | None,
        typer.Option("--family", help="prompt templates; default: those it was trained with"),
    ] = None,
    quantisation: Annotated[
        str, typer.Option("--quantisation", help="none or nf4, as it was trained")
    ] = "none",
    allowed_flips: Annotated[
        float, typer.Option("--allowed-flips", help="largest share of differing verdicts")
    ] = 0.02,
    min_readable: Annotated[
        int,
        typer.Option("--min-readable", min=1, help="golden items that must give a verdict"),
    ] = 20,
    n: Annotated[int, typer.Option("-n", help="golden samples to use, the first n")] = 200,
) -> None:
    """Merge an adapter into a model that can be served.

    Writes weights, Modelfile, commands and card; refuses when the merged model judges differently.
    """
    from selene_lib.evaluation.scoring.rescore import read_samples
    from selene_lib.models.names import resolve_model
    from selene_lib.training.export import export_judge

    samples = read_samples(golden)[:n]
    done = export_judge(
        resolve_model(base),
        adapter,
        out,
        golden=samples,
        name=name,
        family=family,
        quantisation=cast(Literal["none", "nf4"], quantisation),  # the judge refuses another word
        allowed_share=allowed_flips,
        min_readable=min_readable,
    )
    print(f"{done.merged_dir} (merged onto {done.merged_onto})")
    for form in done.comparison.n_flips:
        print(done.comparison.describe(form))
    print("\n".join(f"{title}: {line}" for title, line in done.commands.items()))


COMMANDS = (plan, export)
