"""Notebook 02: from samples to preference pairs, one ledger entry a stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.curation.critiques import Method
from selene_lib.curation.filters import (
    Filtered,
    apply,
    filter_contradictions,
    filter_length,
    filter_refusals,
)
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import Generator, GeneratorSpec
from selene_lib.curation.orders import both_orders
from selene_lib.curation.pairs import build_pairs
from selene_lib.curation.rewards.opening import open_reward
from selene_lib.curation.rewards.protocol import RewardModel
from selene_lib.curation.scales import on_scales, scales_of
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.records import Critique, PreferencePair, Sample

N_TRUSTED = 240


def open_priced_generator(
    kind: str,
    model: str,
    base_url: str,
    *,
    budget_usd: float = 0.0,
    usd_per_million_prompt_tokens: float = 0.0,
    usd_per_million_reply_tokens: float = 0.0,
) -> Generator | None:
    """Return the generator of that kind with its budget and prices, None for `published`.

    A budget of 0 is none, prices of 0 are not known; a budget needs prices.
    """
    priced = usd_per_million_prompt_tokens > 0 or usd_per_million_reply_tokens > 0
    return open_generator(
        GeneratorSpec(
            kind,
            model,
            base_url,
            budget_usd=budget_usd or None,
            usd_per_million_prompt_tokens=usd_per_million_prompt_tokens if priced else None,
            usd_per_million_reply_tokens=usd_per_million_reply_tokens if priced else None,
        )
    )


@dataclass(frozen=True)
class Way:
    """How critiques are written: `argue` for each verdict, or `sample` the judge prompt
    `n_samples` times at a temperature and keep right and wrong ones, up to `max_pairs` couples.
    """

    method: Method = "argue"
    n_samples: int = 20
    temperature: float = 0.7
    max_pairs: int = 1

    def __post_init__(self) -> None:
        if self.method not in ("argue", "sample"):
            raise UserError(f"critique_method {self.method!r} is not one of argue, sample")
        if self.n_samples < 1 or self.max_pairs < 1:
            raise UserError("n_samples and max_pairs must be at least 1")


def shape_samples(
    samples: Sequence[Sample], ledger: Ledger, *, scales: str, both: bool, seed: int
) -> list[Sample]:
    """Put absolute samples on the named scales, and pairwise ones in both orders where asked."""
    found = on_scales(samples, scales_of(scales), seed)
    return both_orders(found, ledger) if both else found


def forecast(
    samples: Sequence[Sample],
    generator: Generator | None,
    *,
    store: Path,
    seed: int,
    family: str,
    way: Way = Way(),
) -> pd.DataFrame:
    """Return requests, tokens and dollars that the critiques will take, as a table.

    It says so where no server is asked.
    """
    from selene_lib.curation.critiques import plan_critiques

    plan = None
    if generator is not None:
        plan = plan_critiques(
            samples,
            generator,
            store=store,
            seed=seed,
            family=family,
            method=way.method,
            n_samples=way.n_samples,
            temperature=way.temperature,
        )
    facts = {"asks a server": "no"} if plan is None else {"asks a server": "yes", **vars(plan)}
    return pd.DataFrame({"forecast": facts})


def write_critiques(
    samples: Sequence[Sample],
    generator: Generator | None,
    ledger: Ledger,
    *,
    store: Path,
    seed: int,
    family: str,
    way: Way = Way(),
) -> list[Critique]:
    """Return two verified critiques a sample, by rejection sampling up to `way.max_pairs` couples.

    None where there is no generator (`published`): pairs then hold the judgement only.
    """
    from selene_lib.curation.critiques import generate_critiques

    if generator is None:
        return []
    result = generate_critiques(
        samples,
        generator,
        store=store,
        seed=seed,
        family=family,
        method=way.method,
        n_samples=way.n_samples,
        temperature=way.temperature,
        max_pairs=way.max_pairs,
    )
    ledger.extend(result.ledger)
    return result.critiques


def with_critiques(samples: Sequence[Sample], critiques: Sequence[Critique]) -> list[Sample]:
    """Return the samples that got both critiques; all of them where no generator was used."""
    if not critiques:
        return list(samples)
    written = {c.sample_id for c in critiques}
    return [s for s in samples if s.id in written]


def open_reward_model(name: str, *, family: str, seed: int) -> RewardModel | None:
    """Return the reward model of that name, None for `none`.

    `nano` is fitted here, on critiques of generated samples that are in no source and in no
    evaluation set of the run.
    """
    if name != "nano":
        return open_reward(name)
    from selene_lib import nano
    from selene_lib.curation.rewards.nano import NanoReward

    trusted: list[Sample] = []
    for set_name in nano.NANO_SETS:
        made = nano.make_set(set_name, N_TRUSTED, seed=seed + 2_000_003)
        trusted += [s for s in made if not s.meta["ood"]]
    return NanoReward.fit_teacher(trusted, family=family, seed=seed)


def build_filtered_pairs(
    samples: Sequence[Sample],
    critiques: Sequence[Critique],
    reward_model: RewardModel | None,
    ledger: Ledger,
    *,
    critique_share: float,
    family: str,
    seed: int,
    max_tokens: int,
    count_tokens: Callable[[str], int],
    off: Sequence[str] = (),
    deduction_share: float = 0.0,
) -> list[PreferencePair]:
    """Score the critiques, build the pairs of every sample, and filter them.

    Dropped are pairs that are too long, refuse, or contradict their own verdict; filters named in
    `off` are left out. Raises UserError where none is left.
    """
    from selene_lib.curation.rewards.thresholds import score_critiques

    if reward_model is not None and critiques:
        critiques = score_critiques(samples, critiques, reward_model, family=family, seed=seed)
    pairs = build_pairs(
        samples,
        critiques,
        critique_share=critique_share,
        family=family,
        seed=seed,
        deduction_share=deduction_share,
    )
    if len(pairs) > len(samples):
        more = Counter(pair.source for pair in pairs)
        more.subtract(sample.source for sample in samples)
        ledger.add_growth("several pairs a prompt", samples, more)
    steps: dict[str, Callable[[Sequence[PreferencePair]], Filtered[PreferencePair]]] = {
        "pair length": lambda p: filter_length(p, count_tokens, max_tokens=max_tokens),
        "pair refusals": filter_refusals,
        "contradictions": filter_contradictions,
    }
    for stage, step in steps.items():
        if stage not in off:
            pairs = apply(stage, pairs, step(pairs), ledger)
    if not pairs:
        raise UserError(
            "no pair is left after the filters; "
            "look at the ledger above for the reason that took them"
        )
    return pairs


def pair_table(pairs: Sequence[PreferencePair]) -> pd.DataFrame:
    """Return pairs by source and task: n, share with a critique, mean rewards of both sides."""
    values = ["with_critique", "chosen_reward", "rejected_reward"]
    columns = ["source", "task", *values]
    table = pd.DataFrame([vars(p) for p in pairs], columns=columns)
    table = table.astype({"chosen_reward": float, "rejected_reward": float})
    grouped = table.groupby(["source", "task"])
    means = grouped[values].mean().assign(n=grouped.size()).reset_index()
    return means[["source", "task", "n", *values]]


def reward_table(pairs: Sequence[PreferencePair]) -> pd.DataFrame:
    """Return the histogram of rewards by source and side; no row where nothing was scored."""
    from selene_lib.curation.rewards.thresholds import reward_histogram

    scored = [p for p in pairs if p.chosen_reward is not None and p.rejected_reward is not None]
    rows = reward_histogram(scored) if scored else []
    return pd.DataFrame(rows, columns=["source", "side", "low", "high", "n"])


def example_pair(pairs: Sequence[PreferencePair], samples: Sequence[Sample]) -> dict[str, Any]:
    """Return one pair with its sample for Fig. 5: the one that shows most.

    Best is a pair with critiques, of an absolute item, with a reference that one can check; of
    those the one that the reward model is surest of, since a wrong label is no example.
    """
    from selene_lib.files import to_dict

    of_pair = {sample.id: sample for sample in samples}

    def lacks(pair: PreferencePair) -> tuple[bool, bool, bool, float, str]:
        gap = (pair.chosen_reward or 0.0) - (pair.rejected_reward or 0.0)
        no_reference = not of_pair[pair.sample_id].reference
        return (not pair.with_critique, pair.task != "absolute", no_reference, -gap, pair.id)

    pair = min(pairs, key=lacks)
    return {**to_dict(of_pair[pair.sample_id]), **to_dict(pair)}


def critique_pair(pairs: Sequence[PreferencePair]) -> pd.DataFrame:
    """Return one pair to read: prompt, both critiques, their verdicts and their rewards.

    It is the first by id of those with critiques, else of all.
    """
    pair = min(pairs, key=lambda p: (not p.with_critique, p.id))
    rows = [
        ("prompt", f"the label says {pair.label}", None, pair.prompt),
        ("chosen", f"ends in {pair.label}", pair.chosen_reward, pair.chosen),
        ("rejected", f"ends in {pair.rejected_verdict}", pair.rejected_reward, pair.rejected),
    ]
    table = pd.DataFrame(rows, columns=["side", "verdict", "reward", "text"])
    return table.astype({"reward": float}).round(2)
