"""The plan of a whole run: its training spec, and what its generator will be asked and paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.names import arm_names
from selene_lib.paper.values import N_DATA_POINTS
from selene_lib.prompts.formats import FORMATS
from selene_lib.training.card_plans import SHOWN_CARDS
from selene_lib.training.cards import CARDS
from selene_lib.training.planner import generation_cost_usd
from selene_lib.training.shapes import read_shape
from selene_lib.training.spec import TrainSpec
from selene_lib.training.verdict_rates import verdicts_per_second

# sources whose published rows are one sample each, so that their number is a limit; the others give
# several samples a row or hold more than a run of this size asks for
ONE_SAMPLE_A_ROW = frozenset({"offsetbias", "chatbot_arena", "halueval", "auto_j_training"})
ABOUT_N_SAMPLES = {"ragtruth": 15_000}


def spec_of_run(run: str, settings: Mapping[str, Any] | None = None) -> TrainSpec:
    """Return the training spec of a named run.

    Defaults of notebook 04, then `runs/<run>.yaml`, then `settings`; the first loss is the one
    planned for.
    """
    from dataclasses import fields

    from selene_lib.models.names import resolve_model
    from selene_lib.pipeline import presets
    from selene_lib.pipeline.notebooks import step_spec

    step = step_spec("04_train_judge")
    resolved = presets.resolve_parameters(presets.load_run(run), (step,), settings or {})
    values = resolved[step.name]
    known = {f.name for f in fields(TrainSpec)}
    chosen = {name: value for name, value in values.items() if name in known}
    chosen["base_model"] = resolve_model(values["base_model"])
    chosen["loss"] = values["losses"].split(",")[0].strip()
    return TrainSpec.from_dict(chosen)


PLANNED_CARDS = ("T4", "L4", "A100-80GB", "H100-80GB")


def training_by_card(spec: TrainSpec, cards: Sequence[str] = PLANNED_CARDS) -> dict[str, str]:
    """Say for each card, with Unsloth installed, what training a spec would use on it, or why it
    would be refused.
    """
    from selene_lib.training.cards import CARDS
    from selene_lib.training.decision import Hardware, decide

    said = {}
    for name in cards:
        try:
            decision = decide(spec, Hardware.of_card(CARDS[name], unsloth=True))
        except UserError as error:
            said[name] = f"refused: {error}"
            continue
        again = "all layers" if decision.gradient_checkpointing else "nothing"
        if decision.checkpoint_skip_layers:
            again = f"all but {decision.checkpoint_skip_layers} layers"
        said[name] = (
            f"backend {decision.backend}, layout {decision.layout}, "
            f"attention {decision.attention}, {decision.dtype}, recomputes {again}, "
            f"{decision.micro_batch_tokens:,} tokens at once"
        )
    return said


def plan_generation(
    run: str,
    settings: Mapping[str, Any] | None = None,
    *,
    prompt_tokens: int | None = None,
    reply_tokens: int | None = None,
) -> dict[str, Any] | None:
    """Return requests, tokens and dollars of a run's hosted generator, None where it asks none.

    Two critiques a sample, first attempts only. The number of samples is the most the run may read
    (sources times `n_per_source`), lengths default to 1,500 and 250 tokens; prices are those of the
    run's notebook 02, and without them the cost is None. Notebook 02 forecasts it from the samples
    that are there.
    """
    from selene_lib.pipeline import presets
    from selene_lib.pipeline.notebooks import step_spec

    prompt_tokens, reply_tokens = prompt_tokens or 1500, reply_tokens or 250
    steps = tuple(step_spec(number) for number in ("01", "02"))
    explore, curate = presets.resolve_parameters(
        presets.load_run(run), steps, settings or {}
    ).values()
    if curate["generator"] != "server":
        return None
    n_requests = 2 * explore["n_per_source"] * len(explore["sources"].split(","))
    prices = curate["usd_per_million_prompt_tokens"], curate["usd_per_million_reply_tokens"]
    usd = generation_cost_usd(
        n_requests,
        prompt_tokens,
        reply_tokens,
        usd_per_million_prompt=prices[0],
        usd_per_million_reply=prices[1],
    )
    return {
        "n_requests_at_most": n_requests,
        "prompt_tokens": n_requests * prompt_tokens,
        "reply_tokens": n_requests * reply_tokens,
        "usd": usd if any(prices) else None,
    }


def plan_samples(run: str, settings: Mapping[str, Any] | None = None) -> dict[str, int]:
    """Return how many samples a run asks its sources for, and how many they hold at most.

    Before any filter. `n_published` is the paper's number, which these sources cannot reach.
    """
    from selene_lib.pipeline import presets
    from selene_lib.pipeline.notebooks import step_spec

    step = step_spec("01")
    values = presets.resolve_parameters(presets.load_run(run), (step,), settings or {})[step.name]
    names = [name.strip() for name in values["sources"].split(",") if name.strip()]
    cap = values["n_per_source"]
    return {
        "n_sources": len(names),
        "n_asked": cap * len(names),
        "n_held_at_most": sum(min(cap, _n_samples(name) or cap) for name in names),
        "n_published": N_DATA_POINTS,
    }


def _n_samples(name: str) -> int | None:
    """Samples that a small source holds; None where it may hold more than any run asks for."""
    from selene_lib.data.catalogue import find_spec

    if name in ABOUT_N_SAMPLES:
        return ABOUT_N_SAMPLES[name]
    return find_spec(name).published_n if name in ONE_SAMPLE_A_ROW else None


def plan_judging(
    run: str,
    settings: Mapping[str, Any] | None = None,
    *,
    prompt_tokens: int | None = None,
    reply_tokens: int | None = None,
    cards: Sequence[str] = SHOWN_CARDS,
) -> dict[str, Any]:
    """Return how many verdicts notebooks 05 and 06 ask for, and on each card the verdicts a second
    and hours of a served judge (None where it does not fit).

    Every arm judges the sets, base and main arm the prompt formats; the audit's probes, retries and
    sets whose size is not known beyond the run's own limit are not counted exactly. Lengths default
    to 1,500 and 250 tokens.
    """
    prompt_tokens, reply_tokens = prompt_tokens or 1500, reply_tokens or 250
    n_verdicts = _n_verdicts(run, settings or {})
    shape = read_shape(spec_of_run(run, settings))
    rows = []
    for card in cards:
        rate = verdicts_per_second(shape, CARDS[card], prompt_tokens, reply_tokens)
        hours = None if rate is None else n_verdicts / rate / 3600
        rows.append({"card": card, "verdicts_per_second": rate, "hours": hours})
    return {"n_verdicts_about": n_verdicts, "cards": rows}


def _n_verdicts(run: str, settings: Mapping[str, Any]) -> int:
    from selene_lib.pipeline import presets
    from selene_lib.pipeline.notebooks import step_spec

    steps = tuple(step_spec(number) for number in ("01", "04", "05", "06"))
    values = presets.resolve_parameters(presets.load_run(run), steps, settings).values()
    explore, trained, benchmarks, domains = values
    n_arms = len(arm_names(trained["losses"], trained["seeds"], trained["other_seeds"]))
    orders = 2 if benchmarks["orders"] == "both" else 1
    n_benchmark = n_domain = 0
    for name in (part.strip() for part in explore["sets"].split(",")):
        n, is_pairwise, is_domain = _n_items(name, explore["n_per_set"])
        if is_domain:
            n_domain += n
        else:
            n_benchmark += n * (orders if is_pairwise else 1)
    formats = 2 * domains["n_format_items"] * len(FORMATS)
    return (n_arms + 1) * n_benchmark + 2 * (n_domain + formats)


def _n_items(name: str, cap: int) -> tuple[int, bool, bool]:
    """Items of a set under a run's limit, whether they are pairs, whether it is a domain's."""
    from selene_lib.data.catalogue import all_specs

    spec = all_specs().get(name)
    if spec is None:  # a set of the embedded world
        return cap, "pairwise" in name, False
    known = spec.published_n or sum(spec.n_rows.values()) or sum(spec.expected_n.values()) or cap
    return min(cap, known), spec.task == "pairwise", spec.role == "domain"
