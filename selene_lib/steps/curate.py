"""Notebook 02: from samples to preference pairs, one ledger entry a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selene_lib.curation.filters import apply, filter_contradictions, filter_length, filter_refusals
from selene_lib.curation.pairs import build_pairs
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.records import Critique, PreferencePair, Sample

N_TRUSTED = 240


def open_writer(
    kind: str,
    model: str,
    base_url: str,
    *,
    budget_usd: float = 0.0,
    usd_per_million_prompt_tokens: float = 0.0,
    usd_per_million_reply_tokens: float = 0.0,
) -> Any:
    """Return the generator of that kind, None for `published`. A budget or price of 0 is none; a
    budget needs prices.
    """
    from selene_lib.curation.generators.opening import open_generator
    from selene_lib.curation.generators.protocol import GeneratorSpec

    prices = {
        "usd_per_million_prompt_tokens": usd_per_million_prompt_tokens,
        "usd_per_million_reply_tokens": usd_per_million_reply_tokens,
    }
    known = prices if any(prices.values()) else {}
    return open_generator(
        GeneratorSpec(kind, model, base_url, budget_usd=budget_usd or None, **known)
    )


def forecast(
    samples: Sequence[Sample], generator: Any, *, store: Path, seed: int, family: str
) -> Any:
    """Return requests, tokens and dollars that the critiques will take, as a table; says so where
    nothing is asked of a server.
    """
    import pandas as pd

    from selene_lib.curation.critiques import plan_critiques

    plan = (
        None
        if generator is None
        else plan_critiques(samples, generator, store=store, seed=seed, family=family)
    )
    facts = {"asks a server": "no"} if plan is None else {"asks a server": "yes", **vars(plan)}
    return pd.DataFrame({"forecast": facts})


def write_critiques(
    samples: Sequence[Sample],
    generator: Any,
    ledger: Ledger,
    *,
    store: Path,
    seed: int,
    family: str,
) -> list[Critique]:
    """Return two verified critiques a sample; none where there is no generator (`published`), and
    pairs then hold the judgement only.
    """
    from selene_lib.curation.critiques import generate_critiques

    if generator is None:
        return []
    result = generate_critiques(samples, generator, store=store, seed=seed, family=family)
    ledger.extend(result.ledger)
    return result.critiques


def keep_written(samples: Sequence[Sample], critiques: Sequence[Critique]) -> list[Sample]:
    """Return the samples that got both critiques; all of them where no generator was used."""
    written = {c.sample_id for c in critiques}
    return [s for s in samples if s.id in written] if critiques else list(samples)


def open_scorer(name: str, *, family: str, seed: int) -> Any:
    """Return the reward model of that name, None for `none`.

    `nano` is fitted here, on critiques of generated samples that are in no source and in no
    evaluation set of the run.
    """
    from selene_lib.curation.rewards.nano import NanoReward
    from selene_lib.curation.rewards.opening import open_reward

    if name != "nano":
        return open_reward(name)
    from selene_lib import nano

    trusted = [
        s
        for set_name in nano.NANO_SETS
        for s in nano.make_set(set_name, N_TRUSTED, seed=seed + 2_000_003)
        if not s.meta["ood"]
    ]
    return NanoReward.fit_teacher(trusted, family=family, seed=seed)


def finish_pairs(
    samples: Sequence[Sample],
    critiques: Sequence[Critique],
    scorer: Any,
    ledger: Ledger,
    *,
    critique_share: float,
    family: str,
    seed: int,
    max_tokens: int,
    count_tokens: Any,
) -> list[PreferencePair]:
    """Score the critiques, build one pair a sample, and drop pairs that are too long, refuse, or
    contradict their own verdict.
    """
    from selene_lib.curation.rewards.thresholds import score_critiques

    if scorer is not None and critiques:
        critiques = score_critiques(samples, critiques, scorer, family=family, seed=seed)
    pairs = build_pairs(samples, critiques, critique_share=critique_share, family=family, seed=seed)
    pairs = apply(
        "pair length", pairs, filter_length(pairs, count_tokens, max_tokens=max_tokens), ledger
    )
    pairs = apply("pair refusals", pairs, filter_refusals(pairs), ledger)
    pairs = apply("contradictions", pairs, filter_contradictions(pairs), ledger)
    if not pairs:
        raise UserError(
            "no pair is left after the filters; look at the ledger above for the reason that took them"
        )
    return pairs


def pair_table(pairs: Sequence[PreferencePair]) -> Any:
    """Return pairs by source and task: n, share with a critique, mean rewards of both sides."""
    import pandas as pd

    rows = [(p.source, p.task, p.with_critique, p.chosen_reward, p.rejected_reward) for p in pairs]
    table = pd.DataFrame(
        rows, columns=["source", "task", "with_critique", "chosen_reward", "rejected_reward"]
    ).astype({"chosen_reward": float, "rejected_reward": float})
    grouped = table.groupby(["source", "task"])
    means = grouped[["with_critique", "chosen_reward", "rejected_reward"]].mean()
    return means.assign(n=grouped.size()).reset_index()[
        ["source", "task", "n", "with_critique", "chosen_reward", "rejected_reward"]
    ]


def reward_table(pairs: Sequence[PreferencePair]) -> Any:
    """Return the histogram of rewards by source and side; no row where nothing was scored."""
    import pandas as pd

    from selene_lib.curation.rewards.thresholds import reward_histogram

    scored = [p for p in pairs if p.chosen_reward is not None and p.rejected_reward is not None]
    rows = reward_histogram(scored) if scored else []
    return pd.DataFrame(rows, columns=["source", "side", "low", "high", "n"])


def example_pair(pairs: Sequence[PreferencePair], samples: Sequence[Sample]) -> dict[str, Any]:
    """Return one absolute pair with a critique (the first by id; any pair if there is none) with
    its sample, for Fig. 5.
    """
    from selene_lib.files import to_dict

    best = (
        [p for p in pairs if p.with_critique and p.task == "absolute"]
        or [p for p in pairs if p.with_critique]
        or list(pairs)
    )
    pair = min(best, key=lambda p: p.id)
    sample = next(s for s in samples if s.id == pair.sample_id)
    return {**to_dict(sample), **to_dict(pair)}
