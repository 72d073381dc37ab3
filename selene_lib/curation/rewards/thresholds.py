"""Rewards on critiques, and the thresholds of the reward filter: one for all, or one a source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from selene_lib.curation.critiques import as_shown, is_swapped
from selene_lib.curation.filters import reward_of
from selene_lib.curation.rewards.protocol import RewardModel, checked
from selene_lib.prompts.rendering import render
from selene_lib.records import Critique, PreferencePair, Sample


def score_critiques(
    samples: Sequence[Sample],
    critiques: Sequence[Critique],
    model: RewardModel,
    *,
    family: str = "full",
    seed: int = 0,
) -> list[Critique]:
    """Return the critiques with `reward` set.

    Each is scored as the reply to the judge prompt of its sample, in the order it was shown in.
    """
    by_id = {sample.id: sample for sample in samples}
    prompts = {}
    for critique in critiques:
        sample = by_id[critique.sample_id]
        if bool(critique.settings.get("swapped")) != is_swapped(sample, seed):
            raise ValueError(
                f"critique {critique.id} was written under another seed than {seed}: "
                "score it with its own"
            )
        if sample.id not in prompts:
            prompts[sample.id] = render(as_shown(sample, seed), family=family).text
    rewards = checked(
        model.score([prompts[c.sample_id] for c in critiques], [c.text for c in critiques]),
        [c.id for c in critiques],
    )
    return [replace(c, reward=reward) for c, reward in zip(critiques, rewards)]


def threshold_grid(
    pairs: Sequence[PreferencePair], quantiles: Sequence[float], *, by: str = "chosen"
) -> list[float | None]:
    """The thresholds that leave out the lowest `quantiles` of all rewards.

    Quantile 0 is None: no filter at all.
    """
    values = np.array([reward_of(p, by) for p in pairs])
    return [None if q == 0 else float(np.quantile(values, q)) for q in quantiles]


def default_thresholds(
    pairs: Sequence[PreferencePair], quantile: float, *, by: str = "chosen"
) -> dict[str, float]:
    """One threshold a source: each source's own `quantile`.

    So a source whose texts score low as a whole is not emptied.
    """
    rewards: dict[str, list[float]] = defaultdict(list)
    for pair in pairs:
        rewards[pair.source].append(reward_of(pair, by))
    return {source: float(np.quantile(rewards[source], quantile)) for source in sorted(rewards)}


def reward_histogram(pairs: Sequence[PreferencePair], *, n_bins: int = 20) -> list[dict[str, Any]]:
    """Counts of the rewards of both sides in equal bins: source, side, low, high, n.

    It stands beside every threshold.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for pair in pairs:
        for side, reward in (("chosen", pair.chosen_reward), ("rejected", pair.rejected_reward)):
            if reward is None:
                raise ValueError(f"pair {pair.id} has no reward ({side}): score the pairs first")
            values[pair.source, side].append(reward)
    everything = [reward for mine in values.values() for reward in mine]
    edges = np.histogram_bin_edges(everything, bins=n_bins)
    rows = []
    for source, side in sorted(values):
        counts, _ = np.histogram(values[source, side], bins=edges)
        rows += [
            {"source": source, "side": side, "low": float(a), "high": float(b), "n": int(n)}
            for a, b, n in zip(edges, edges[1:], counts)
        ]
    return rows
