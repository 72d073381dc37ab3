"""From samples and critiques to preference pairs: filters (each with a ledger row), pairs, mix,
split, export.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selene_lib.curation.critique_checks import reasoning_of
from selene_lib.curation.critiques import is_swapped, no_gold, wrong_verdict
from selene_lib.curation.export import dataset_card, export_pairs, to_dataset_dict
from selene_lib.curation.filters import (
    Filtered,
    apply,
    filter_contradictions,
    filter_duplicates,
    filter_gold,
    filter_label_balance,
    filter_language,
    filter_length,
    filter_max_per_source,
    filter_refusals,
    filter_reward,
    reward_of,
)
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.models.loading import open_tokenizer
from selene_lib.models.names import resolve_model
from selene_lib.prompts.rendering import format_reply, render
from selene_lib.records import Critique, PreferencePair, Sample, unit_hash

__all__ = [
    "Filtered",
    "apply",
    "apply_decisions",
    "build_pairs",
    "dataset_card",
    "export_pairs",
    "filter_contradictions",
    "filter_duplicates",
    "filter_gold",
    "filter_label_balance",
    "filter_language",
    "filter_length",
    "filter_max_per_source",
    "filter_refusals",
    "filter_reward",
    "filter_samples",
    "mix",
    "reward_of",
    "split",
    "to_dataset_dict",
    "token_counter",
]


def token_counter(model: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text with the tokenizer of `model` (a folder, a
    hub id or `embedded`).
    """
    tokenizer = open_tokenizer(resolve_model(model))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False))


def filter_samples(
    samples: Sequence[Sample],
    ledger: Ledger,
    *,
    count_tokens: Callable[[str], int],
    max_tokens: int = 2048,
    min_tokens: int = 4,
    language: str = "English",
    duplicate_threshold: float = 0.9,
    max_label_ratio: float = 2.0,
    max_per_source: int | None = None,
    seed: int = 0,
) -> list[Sample]:
    """Run the filters of samples one after the other, a ledger entry each: gold verdict, length,
    language, refusals, duplicates, label balance per task, maximum per source (`None`: no maximum).
    Defaults are our choice; the paper publishes none.
    """
    steps: list[tuple[str, Callable[[Sequence[Sample]], Filtered[Sample]]]] = [
        ("gold verdict", filter_gold),
        (
            "length",
            lambda s: filter_length(s, count_tokens, max_tokens=max_tokens, min_tokens=min_tokens),
        ),
        ("language", lambda s: filter_language(s, language=language)),
        ("refusals", filter_refusals),
        ("duplicates", lambda s: filter_duplicates(s, threshold=duplicate_threshold)),
        ("label balance", lambda s: filter_label_balance(s, max_ratio=max_label_ratio, seed=seed)),
    ]
    if max_per_source is not None:
        steps.append(
            (
                "maximum per source",
                lambda s: filter_max_per_source(s, max_per_source=max_per_source, seed=seed),
            )
        )
    left = list(samples)
    for stage, step in steps:
        left = apply(stage, left, step(left), ledger)
    return left


def build_pairs(
    samples: Sequence[Sample],
    critiques: Sequence[Critique] = (),
    *,
    critique_share: float = 0.7,
    family: str = "full",
    escape: bool = True,
    seed: int = 0,
) -> list[PreferencePair]:
    """Make one preference pair of each sample; every prompt asks for what its replies hold.

    A share `critique_share` (0.7 is our choice) of the samples with both critiques becomes a pair
    with critiques; the others, and samples nobody wrote two critiques for, hold the judgement only:
    `label` against the wrong verdict. Which is which, and the position of the two responses, is a
    hash of the item. A published critique of one verdict alone is not used: against a bare verdict
    it would teach that longer is better. Samples without a gold verdict are a ValueError: filter
    them first. Rewards of the critiques are carried over.
    """
    if not 0 <= critique_share <= 1:
        raise ValueError(f"critique_share {critique_share} is not in [0, 1]")
    both: dict[str, dict[bool, Critique]] = defaultdict(dict)
    for critique in critiques:
        both[critique.sample_id][critique.agrees] = critique
    pairs = []
    for sample in samples:
        if reason := no_gold(sample):
            raise ValueError(f"sample {sample.id}: {reason}; run filter_gold first")
        sides = both.get(sample.id, {})
        written = (sides[True], sides[False]) if len(sides) == 2 else None
        with_critique = (
            written is not None and unit_hash(seed, "critique", sample.id) < critique_share
        )
        pairs.append(_pair(sample, written, with_critique, family, escape, seed))
    return pairs


def _pair(
    sample: Sample,
    written: tuple[Critique, Critique] | None,
    with_critique: bool,
    family: str,
    escape: bool,
    seed: int,
) -> PreferencePair:
    swapped = (
        bool(written[0].settings.get("swapped", False)) if written else is_swapped(sample, seed)
    )
    seen = sample.swap() if swapped else sample
    label = str(seen.label)
    wrong = written[1].asked if written else wrong_verdict(seen, seed)
    if written and written[0].asked != label:
        raise ValueError(
            f"critique {written[0].id} argues for {written[0].asked}, but the sample's label is {label}: generate it again"
        )
    reasons = [reasoning_of(c.text) for c in written] if written and with_critique else [None, None]
    shown = render(seen, family=family, escape=escape, critique=with_critique)
    # where the candidates stand in the prompt: what training may shorten when a pair is too long
    meta: dict[str, Any] = {"swapped": swapped, "elastic": [list(span) for span in shown.elastic]}
    if written:
        meta |= {"generator": written[0].generator, "critiques": [c.id for c in written]}
    if sample.task == "absolute":
        meta["distance"] = abs(int(label) - int(wrong))
    return PreferencePair(
        id=f"{sample.id}-{'critique' if with_critique else 'verdict'}",
        sample_id=sample.id,
        source=sample.source,
        task=sample.task,
        prompt=shown.text,
        chosen=format_reply(reasons[0], label),
        rejected=format_reply(reasons[1], wrong),
        with_critique=with_critique,
        label=label,
        rejected_verdict=wrong,
        group=sample.group or sample.id,
        licence=sample.licence,
        chosen_reward=written[0].reward if written else None,
        rejected_reward=written[1].reward if written else None,
        meta=meta,
    )


def split(
    pairs: Sequence[PreferencePair],
    validation_share: float = 0.1,
    seed: int = 0,
    *,
    ledger: Ledger | None = None,
) -> tuple[list[PreferencePair], list[PreferencePair]]:
    """Return `(train, validation)`; a whole group (all items of one prompt) is on one side, by a
    hash of the group.

    With a `ledger` the held-out pairs are counted as leaving the training flow.
    """
    if not 0 <= validation_share < 1:
        raise ValueError(f"validation_share {validation_share} is not in [0, 1)")
    held = {
        p.id: "held out"
        for p in pairs
        if unit_hash(seed, "split", p.group or p.sample_id) < validation_share
    }
    found = Filtered([p for p in pairs if p.id not in held], held)
    if ledger is not None:
        apply("validation split", pairs, found, ledger)
    return found.kept, [p for p in pairs if p.id in held]


def apply_decisions(
    pairs: Sequence[PreferencePair], decisions: Mapping[str, Any], ledger: Ledger | None = None
) -> list[PreferencePair]:
    """Keep what the decisions keep: sources with `keep: true` (a source without a decision stays),
    then the reward threshold.

    `decisions` is what `ablation.read_decisions` returns: `{"sources": {name: {"keep": bool, ...}},
    "reward_threshold": float | None}`.
    """
    ledger = Ledger() if ledger is None else ledger
    choice = decisions.get("sources", {})
    lost = {
        p.id: "source dropped by the ablation"
        for p in pairs
        if not choice.get(p.source, {}).get("keep", True)
    }
    left = apply(
        "source decisions",
        pairs,
        Filtered([p for p in pairs if p.id not in lost], lost),
        ledger,
        "decision",
    )
    found = filter_reward(
        left, decisions.get("reward_threshold"), by=decisions.get("reward_by", "chosen")
    )
    return apply("reward threshold", left, found, ledger, "decision")


def mix(
    pairs: Sequence[PreferencePair],
    decisions: Mapping[str, Any] | None = None,
    *,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    n_total: int | None = None,
    seed: int = 0,
    ledger: Ledger | None = None,
) -> list[PreferencePair]:
    """Apply the decisions, then take `n_total` pairs with the share of a source proportional to
    `weight * n ** (1 / temperature)`.

    Temperature 1 keeps the natural shares, a higher one evens them out. No pair is repeated: a
    source that is too small for its share gives all it has and the others fill up. Which pairs go
    is a hash of the item; those that stay keep their order.
    """
    ledger = Ledger() if ledger is None else ledger
    left = apply_decisions(pairs, decisions, ledger) if decisions is not None else list(pairs)
    sizes = Counter(p.source for p in left)
    unknown = sorted(set(weights or {}) - {p.source for p in pairs})
    if unknown or temperature <= 0:
        raise UserError(
            f"mix weights name the source {unknown[0]!r}, which has no pairs"
            if unknown
            else "temperature must be over 0"
        )
    if n_total is None and (weights or temperature != 1):
        raise UserError(
            "mixing by weights or temperature needs n_total: how many pairs to take in all"
        )
    wanted = _shares(
        sizes,
        weights or {},
        temperature,
        min(n_total, len(left)) if n_total is not None else len(left),
    )
    chosen = set()
    for source, n in wanted.items():
        mine = sorted(
            (p for p in left if p.source == source), key=lambda p: unit_hash(seed, "mix", p.id)
        )
        chosen |= {p.id for p in mine[:n]}
    lost = {p.id: "over the source's share of the mix" for p in left if p.id not in chosen}
    return apply(
        "mix", left, Filtered([p for p in left if p.id in chosen], lost), ledger, "decision"
    )


def _shares(
    sizes: Mapping[str, int], weights: Mapping[str, float], temperature: float, n_total: int
) -> dict[str, int]:
    """How many of each source: shares by weight and temperature, capped at what there is, the rest
    shared out again.
    """
    mass = {s: weights.get(s, 1.0) * n ** (1 / temperature) for s, n in sizes.items()}
    taken: dict[str, int] = {}
    open_sources = {s for s in sizes if mass[s] > 0}
    while open_sources:
        scale = (n_total - sum(taken.values())) / sum(mass[s] for s in open_sources)
        full = {s for s in open_sources if scale * mass[s] >= sizes[s]}
        if not full:
            exact = {s: scale * mass[s] for s in open_sources}
            return taken | _round_to_sum(exact, n_total - sum(taken.values()))
        taken |= {s: sizes[s] for s in full}
        open_sources -= full
    return taken


def _round_to_sum(exact: Mapping[str, float], total: int) -> dict[str, int]:
    """Largest remainders: whole numbers near `exact` with the given sum."""
    whole = {s: math.floor(x) for s, x in exact.items()}
    order = sorted(exact, key=lambda s: (whole[s] - exact[s], s))
    for source in order[: total - sum(whole.values())]:
        whole[source] += 1
    return whole
