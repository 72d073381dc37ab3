"""Commands around training: predict what a run needs, export what it made."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from selene_lib.cli.options import JsonOption, RunOption, SetOption, count, print_rows, share
from selene_lib.errors import UserError


def plan(
    run: RunOption = "nano",
    n_pairs: Annotated[
        int | None,
        typer.Option(
            "--n-pairs", help="preference pairs, where the run counts epochs", callback=count
        ),
    ] = None,
    prompt_tokens: Annotated[
        int | None,
        typer.Option(
            "--prompt-tokens",
            help="mean prompt length; default: of the run's pairs",
            callback=count,
        ),
    ] = None,
    completion_tokens: Annotated[
        int | None,
        typer.Option("--completion-tokens", help="mean length of one completion", callback=count),
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

    Of its training (also on other cards, and how to get under 24 hours), and of a hosted generator
    in tokens and dollars, before anything is loaded.
    """
    from selene_lib.files import read_parquet
    from selene_lib.models.names import is_embedded
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.plan import (
        plan_generation,
        plan_judging,
        plan_samples,
        spec_of_run,
    )
    from selene_lib.pipeline.presets import parse_settings
    from selene_lib.records import PreferencePair
    from selene_lib.training import planner
    from selene_lib.training.card_plans import plan_on_cards, ways_under

    settings = parse_settings(set_ or [])
    spec = spec_of_run(run, settings)
    made = run_folder(Path(run).stem) / "02_curate_preferences" / "pairs.parquet"
    if made.is_file() and prompt_tokens is None and Path(spec.base_model).is_dir():
        pairs = read_parquet(made, PreferencePair)
        n_pairs = n_pairs or len(pairs)
        prompt_tokens, completion_tokens = planner.mean_lengths(spec, pairs)
    lengths: dict[str, Any] = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
    }
    found = planner.plan_training(spec, n_pairs=n_pairs, **lengths, device=device)
    seen = found.n_steps * spec.batch_size
    cards = [] if is_embedded(spec.base_model) else plan_on_cards(spec, n_pairs=n_pairs, **lengths)
    values = {
        **found.to_dict(),
        "generation": plan_generation(
            run, settings, prompt_tokens=prompt_tokens, reply_tokens=completion_tokens
        ),
        "cards": [card.row() for card in cards],
        "ways_under_24_hours": [line for card in cards for line in ways_under(card, seen)],
        "samples": plan_samples(run, settings),
        "judging": plan_judging(
            run, settings, prompt_tokens=prompt_tokens, reply_tokens=completion_tokens
        )
        if cards
        else None,
    }
    if json:
        print(json_module.dumps(values, indent=1))
    else:
        _print_plan(values)


def _print_plan(found: dict[str, Any]) -> None:
    """Print a plan as tables: its own numbers with memory by part and the generator, then other
    cards, then the samples there are.
    """
    notes, memory = found.pop("assumptions"), found.pop("memory_bytes")
    generation, samples = found.pop("generation") or {}, found.pop("samples")
    cards, ways = found.pop("cards"), found.pop("ways_under_24_hours")
    judging = found.pop("judging")
    for name, value in memory.items():
        found[f"memory: {name}"] = f"{value / 1e9:.2f} GB"
    for name, value in generation.items():
        found[f"generator: {name}"] = "no prices given" if value is None else value
    if found["fits"] is False:
        found["fits"] = "does not fit"
    print_rows([{"what": key, "predicted": value} for key, value in found.items()], False)
    print("\n".join(f"assumed: {note}" for note in notes))
    if cards:
        print()
        print_rows(cards, False)
        print("\n".join(ways))
    if judging:
        print(f"\njudging, about {judging['n_verdicts_about']:,} verdicts of a served judge:")
        print_rows(judging["cards"], False)
    if samples["n_asked"] > samples["n_held_at_most"]:
        print(
            f"\n{samples['n_sources']} sources are asked for {samples['n_asked']:,} samples and "
            f"hold about {samples['n_held_at_most']:,} at most, before any filter: the paper's "
            f"{samples['n_published']:,} cannot be met with them"
        )


def export(
    adapter: Annotated[Path, typer.Option("--adapter", help="folder of the trained adapter")],
    out: Annotated[Path, typer.Option("--out", help="folder to write to")],
    golden: Annotated[
        Path, typer.Option("--golden", help="samples to compare verdicts on, Parquet or JSONL")
    ],
    base: Annotated[
        str | None,
        typer.Option("--base", help="the base model; default: the one the adapter says"),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="name to serve it under")] = "judge",
    family: Annotated[
        str | None,
        typer.Option("--family", help="prompt templates; default: those it was trained with"),
    ] = None,
    quantisation: Annotated[
        str, typer.Option("--quantisation", help="none or nf4, as it was trained")
    ] = "none",
    allowed_flips: Annotated[
        float,
        typer.Option("--allowed-flips", help="largest share of differing verdicts", callback=share),
    ] = 0.02,
    min_readable: Annotated[
        int,
        typer.Option(
            "--min-readable", help="golden items that must give a verdict", callback=count
        ),
    ] = 20,
    n: Annotated[
        int, typer.Option("-n", help="golden samples to use, the first n", callback=count)
    ] = 200,
) -> None:
    """Merge an adapter into a model that can be served.

    Writes weights, Modelfile, commands and card; refuses when the merged model judges differently.
    """
    from selene_lib.evaluation.scoring.rescore import read_samples
    from selene_lib.judges.asked import base_of
    from selene_lib.models.names import resolve_model
    from selene_lib.training.export import check_export, export_judge

    base = base or base_of(adapter)
    if base is None:
        raise UserError(
            f"{adapter} does not say which base it was trained on, or that is not here: give --base"
        )
    check_export(out, resolve_model(base), adapter, [golden])
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
