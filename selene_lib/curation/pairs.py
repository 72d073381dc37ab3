"""From samples and critiques to preference pairs: the filters in a row, pairs, split, decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from selene_lib.curation.critique_checks import reasoning_of
from selene_lib.curation.critiques import is_swapped, no_gold, wrong_verdict
from selene_lib.curation.deduction import deduction_pair, others_by_prompt
from selene_lib.curation.filters import (
    BalanceBy,
    Filtered,
    apply,
    filter_duplicates,
    filter_gold,
    filter_label_balance,
    filter_language,
    filter_length,
    filter_max_per_source,
    filter_reward,
    keep,
)
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.models.loading import open_tokenizer
from selene_lib.models.names import resolve_model
from selene_lib.prompts.rendering import format_reply, render
from selene_lib.records import Critique, PreferencePair, Sample, unit_hash


def token_counter(model: str) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text with the tokenizer of `model`.

    `model` is a folder, a hub id or `embedded`.
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
    balance_by: BalanceBy = "task",
    max_per_source: int | Mapping[str, int] | None = None,
    off: Sequence[str] = (),
    seed: int = 0,
) -> list[Sample]:
    """Run the filters of samples one after the other, a ledger entry each: gold verdict, length,
    language, duplicates, label balance (per task, or per task and source), maximum per source
    (`None`: no maximum; a mapping names sources). Those named in `off` are left out; an unknown
    name there is a UserError. Defaults are our choice; the paper publishes none.
    """
    steps: dict[str, Callable[[Sequence[Sample]], Filtered[Sample]]] = {
        "gold verdict": filter_gold,
        "length": lambda s: filter_length(
            s, count_tokens, max_tokens=max_tokens, min_tokens=min_tokens
        ),
        "language": lambda s: filter_language(s, language=language),
        "duplicates": lambda s: filter_duplicates(s, threshold=duplicate_threshold),
        "label balance": lambda s: filter_label_balance(
            s, max_ratio=max_label_ratio, by=balance_by, seed=seed
        ),
    }
    if max_per_source is not None:
        steps["maximum per source"] = lambda s: filter_max_per_source(
            s, max_per_source=max_per_source, seed=seed
        )
    left_out = filters_off_of(off)
    left = list(samples)
    for stage, step in steps.items():
        if stage not in left_out:
            left = apply(stage, left, step(left), ledger)
    return left


SAMPLE_FILTERS = (
    "gold verdict",
    "length",
    "language",
    "duplicates",
    "label balance",
    "maximum per source",
)
PAIR_FILTERS = ("pair length", "pair refusals", "contradictions")


def filters_off_of(names: Sequence[str] | str) -> tuple[str, ...]:
    """Return the names of filters to leave out (a list, or one text with commas).

    An unknown one is a UserError that lists the known ones.
    """
    listed = names.split(",") if isinstance(names, str) else names
    off = tuple(name.strip() for name in listed if name.strip())
    known = (*SAMPLE_FILTERS, *PAIR_FILTERS)
    unknown = next((name for name in off if name not in known), None)
    if unknown is not None:
        raise UserError(f"no filter {unknown!r} to switch off; there are {', '.join(known)}")
    return off


def source_caps_of(text: str) -> dict[str, int] | None:
    """Read `name=number, name=number`; None for an empty text, a UserError for another form."""
    caps = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if not name:
            continue
        if not number.strip().isdigit():
            raise UserError(f"source cap {part.strip()!r}: write it as name=number")
        caps[name.strip()] = int(number)
    return caps or None


def build_pairs(
    samples: Sequence[Sample],
    critiques: Sequence[Critique] = (),
    *,
    critique_share: float = 0.7,
    family: str = "full",
    escape: bool = True,
    seed: int = 0,
    deduction_share: float = 0.0,
) -> list[PreferencePair]:
    """Make a preference pair of each sample; every prompt asks for what its replies hold.

    One for every couple of critiques of a sample (rejection sampling may give several).

    A share `critique_share` (0.7 is our choice) of the samples with both critiques becomes a pair
    with critiques; the others, and samples nobody wrote two critiques for, hold the judgement only:
    `label` against the wrong verdict. A further `deduction_share` asks for the response instead
    (`curation.deduction`), where another response to the same prompt is there. Which is which, and
    the position of the two responses, is a hash of the item. A published critique of one verdict
    alone is not used: against a bare verdict it would teach that longer is better. Samples without
    a gold verdict are a ValueError: filter them first. Rewards of the critiques are carried over.
    """
    if not 0 <= critique_share <= 1 or not 0 <= deduction_share <= 1 - critique_share:
        raise ValueError(
            f"critique_share {critique_share} and deduction_share {deduction_share} "
            "are not in [0, 1], or together over 1"
        )
    both: dict[str, dict[bool, list[Critique]]] = defaultdict(lambda: {True: [], False: []})
    for critique in critiques:
        both[critique.sample_id][critique.agrees].append(critique)
    others = others_by_prompt(samples) if deduction_share else {}
    pairs = []
    for sample in samples:
        if reason := no_gold(sample):
            raise ValueError(f"sample {sample.id}: {reason}; run filter_gold first")
        sides = both.get(sample.id, {True: [], False: []})
        couples: list[tuple[Critique, Critique] | None] = [*zip(sides[True], sides[False])]
        drawn = unit_hash(seed, "critique", sample.id)
        with_critique = drawn < critique_share and bool(couples)
        # a judgement alone is the same pair whichever critiques there are
        for number, written in enumerate((couples if with_critique else couples[:1]) or [None]):
            pair = _pair(sample, written, with_critique, family, escape, seed)
            if written and critique_share <= drawn < critique_share + deduction_share:
                seen = sample.swap() if pair.meta["swapped"] else sample
                pair = deduction_pair(pair, seen, written[0].text, others) or pair
            pairs.append(replace(pair, id=f"{pair.id}-{number + 1}") if number else pair)
    return pairs


def _pair(
    sample: Sample,
    written: tuple[Critique, Critique] | None,
    with_critique: bool,
    family: str,
    escape: bool,
    seed: int,
) -> PreferencePair:
    swapped = is_swapped(sample, seed)
    if written:
        swapped = bool(written[0].settings.get("swapped", False))
    seen = sample.swap() if swapped else sample
    label = str(seen.label)
    wrong = written[1].asked if written else wrong_verdict(seen, seed)
    if written and written[0].asked != label:
        raise ValueError(
            f"critique {written[0].id} argues for {written[0].asked}, "
            f"but the sample's label is {label}: generate it again"
        )
    reasons: tuple[str | None, str | None] = (None, None)
    if written and with_critique:
        reasons = (reasoning_of(written[0].text), reasoning_of(written[1].text))
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
    """Return `(train, validation)`.

    A whole group (all items of one prompt) is on one side, by a hash of the group. With a `ledger`
    the held-out pairs are counted as leaving the training flow.
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
    """Keep what the decisions keep: sources with `keep: true`, then the reward threshold.

    A source without a decision stays. `decisions` is what `decisions.read_decisions` returns:
    `{"sources": {name: {"keep": bool}}, "reward_threshold": float | {source: float} | None}`.
    """
    ledger = Ledger() if ledger is None else ledger
    choice = decisions.get("sources", {})

    def lost(pair: PreferencePair) -> str:
        kept = choice.get(pair.source, {}).get("keep", True)
        return "" if kept else "source dropped by the ablation"

    left = apply("source decisions", pairs, keep(pairs, lost), ledger, "decision")
    by = decisions.get("reward_by", "chosen")
    found = filter_reward(left, decisions.get("reward_threshold"), by=by)
    return apply("reward threshold", left, found, ledger, "decision")
