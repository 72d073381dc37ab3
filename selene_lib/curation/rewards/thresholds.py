"""Rewards on critiques and pairs, and the thresholds of the reward filter, one for all sources or
one a source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from selene_lib.curation.critiques import shown
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
    """Return the critiques with `reward` set, each scored as the reply to the judge prompt of its
    sample in the order it was shown in.
    """
    by_id = {s.id: s for s in samples}
    prompts = {
        i: render(shown(by_id[i], seed), family=family).text
        for i in {c.sample_id for c in critiques}
    }
    swapped = [
        c
        for c in critiques
        if bool(c.settings.get("swapped"))
        != (shown(by_id[c.sample_id], seed) is not by_id[c.sample_id])
    ]
    if swapped:
        raise ValueError(
            f"critique {swapped[0].id} was written under another seed than {seed}: score it with its own"
        )
    rewards = checked(
        model.score([prompts[c.sample_id] for c in critiques], [c.text for c in critiques]),
        [c.id for c in critiques],
    )
    return [replace(c, reward=reward) for c, reward in zip(critiques, rewards)]


def score_pairs(pairs: Sequence[PreferencePair], model: RewardModel) -> list[PreferencePair]:
    """Return the pairs with both rewards set where they have none yet (those of scored critiques
    are kept).
    """
    todo = [p for p in pairs if p.chosen_reward is None or p.rejected_reward is None]
    texts = [
        (p.prompt, reply, f"{p.id} ({side})")
        for p in todo
        for side, reply in (("chosen", p.chosen), ("rejected", p.rejected))
    ]
    rewards = checked(
        model.score([t[0] for t in texts], [t[1] for t in texts]), [t[2] for t in texts]
    )
    new = {
        p.id: replace(p, chosen_reward=rewards[2 * i], rejected_reward=rewards[2 * i + 1])
        for i, p in enumerate(todo)
    }
    return [new.get(p.id, p) for p in pairs]


def threshold_grid(
    pairs: Sequence[PreferencePair], quantiles: Sequence[float], *, by: str = "chosen"
) -> list[float | None]:
    """The thresholds that leave out the lowest `quantiles` of all rewards; quantile 0 is None: no
    filter at all.
    """
    values = np.array([reward_of(p, by) for p in pairs])
    return [None if q == 0 else float(np.quantile(values, q)) for q in quantiles]


def default_thresholds(
    pairs: Sequence[PreferencePair], quantile: float, *, by: str = "chosen"
) -> dict[str, float]:
    """One threshold a source: each source's own `quantile`, so that a source whose texts score low
    as a whole is not emptied.
    """
    return {
        source: float(
            np.quantile([reward_of(p, by) for p in pairs if p.source == source], quantile)
        )
        for source in sorted({p.source for p in pairs})
    }


def threshold_table(
    pairs: Sequence[PreferencePair],
    thresholds: Mapping[str, float] | float | None,
    model: RewardModel,
    *,
    by: str = "chosen",
) -> list[dict[str, Any]]:
    """One row a source: threshold, counts, mean rewards of both sides, and the reward model with
    its revision.
    """
    from selene_lib.curation.filters import filter_reward

    rows = []
    for source in sorted({p.source for p in pairs}):
        mine = [p for p in pairs if p.source == source]
        limit = (
            thresholds.get(source, thresholds.get("*"))
            if isinstance(thresholds, Mapping)
            else thresholds
        )
        rows.append(
            {
                "source": source,
                "threshold": limit,
                "by": by,
                "n_pairs": len(mine),
                "n_kept": len(filter_reward(mine, limit, by=by).kept),
                "chosen_reward_mean": float(np.mean([p.chosen_reward for p in mine])),  # type: ignore[arg-type]
                "rejected_reward_mean": float(np.mean([p.rejected_reward for p in mine])),  # type: ignore[arg-type]
                "reward_model": model.name,
                "revision": model.revision,
            }
        )
    return rows


def reward_histogram(pairs: Sequence[PreferencePair], *, n_bins: int = 20) -> list[dict[str, Any]]:
    """Counts of the rewards of both sides in equal bins over all of them: source, side, low, high,
    n. It stands beside every threshold.
    """
    values = [
        (p.source, side, reward)
        for p in pairs
        for side, reward in (("chosen", p.chosen_reward), ("rejected", p.rejected_reward))
    ]
    edges = np.histogram_bin_edges(
        checked([v for *_, v in values], [s for s, *_ in values]), bins=n_bins
    )  # type: ignore[misc]
    rows = []
    for source, side in sorted({(s, k) for s, k, _ in values}):
        counts, _ = np.histogram([v for s, k, v in values if (s, k) == (source, side)], bins=edges)
        rows += [
            {"source": source, "side": side, "low": float(a), "high": float(b), "n": int(n)}
            for a, b, n in zip(edges, edges[1:], counts)
        ]
    return rows
