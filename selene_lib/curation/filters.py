"""Filters of the curation: pure functions from records to what is kept, and why not the rest.

`apply` writes the ledger row. Randomness is a hash of the item, so a filter gives the same result
in any order of the records and after any resumption.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from selene_lib.curation.critique_checks import contradiction, leaks, reasoning_of
from selene_lib.curation.critiques import no_gold
from selene_lib.curation.deduction import is_deduction
from selene_lib.curation.languages import STOP_WORDS, guess_language
from selene_lib.ledger import Ledger, StageKind
from selene_lib.prompts.verdicts import Verdict, declines, parse_verdict
from selene_lib.records import PreferencePair, Sample, unit_hash

R = TypeVar("R", Sample, PreferencePair)
BalanceBy = Literal["task", "source"]


@dataclass(frozen=True)
class Filtered(Generic[R]):
    """What a filter kept, in the order it came, and the reason of each id that it dropped."""

    kept: list[R]
    reasons: dict[str, str] = field(default_factory=dict)


def keep(records: Sequence[R], reason_of: Callable[[R], str]) -> Filtered[R]:
    """Keep the records whose reason is empty."""
    reasons = {record.id: reason for record in records if (reason := reason_of(record))}
    return Filtered([record for record in records if record.id not in reasons], reasons)


def apply(
    stage: str, records: Sequence[R], found: Filtered[R], ledger: Ledger, kind: StageKind = "filter"
) -> list[R]:
    """Write one ledger entry a source for a filter's result; return what was kept."""
    ledger.add_records(stage, records, found.kept, found.reasons, kind)
    return found.kept


def filter_gold(samples: Sequence[Sample]) -> Filtered[Sample]:
    """Keep samples with a verdict that a judge may give: not without label, not a tie."""
    return keep(samples, no_gold)


def filter_length(
    records: Sequence[R],
    count_tokens: Callable[[str], int],
    *,
    max_tokens: int,
    min_tokens: int = 1,
) -> Filtered[R]:
    """Keep what is long and short enough in tokens.

    Counted are all texts of a sample together, and prompt plus longer reply of a pair.
    """

    def reason(record: R) -> str:
        n = _n_tokens(record, count_tokens)
        if n > max_tokens:
            return f"over {max_tokens} tokens"
        return f"under {min_tokens} tokens" if n < min_tokens else ""

    return keep(records, reason)


def _n_tokens(record: Sample | PreferencePair, count_tokens: Callable[[str], int]) -> int:
    if isinstance(record, PreferencePair):
        return count_tokens(record.prompt) + max(
            count_tokens(record.chosen), count_tokens(record.rejected)
        )
    return sum(map(count_tokens, _texts(record)))


def _texts(sample: Sample) -> list[str]:
    texts = (
        sample.instruction,
        sample.response,
        sample.response_b,
        sample.rubric,
        sample.reference,
    )
    return [text for text in texts if text]


def filter_language(samples: Sequence[Sample], *, language: str = "English") -> Filtered[Sample]:
    """Drop samples that are plainly in another language or script (see `guess_language`).

    A doubtful text stays.
    """
    if language not in STOP_WORDS:
        raise ValueError(f"language {language!r} is not one of {', '.join(STOP_WORDS)}")

    def reason(sample: Sample) -> str:
        texts = (sample.instruction, sample.response, sample.response_b or "")
        guess = guess_language(" ".join(texts))
        return "" if guess in (language, "") else f"language: {guess}"

    return keep(samples, reason)


def filter_refusals(pairs: Sequence[PreferencePair]) -> Filtered[PreferencePair]:
    """Drop pairs in which a reply declines to judge.

    Only what was written for the pair is looked at, never the response under judgement: whether a
    response refuses may be the very question (XSTest).
    """

    def reason(pair: PreferencePair) -> str:
        replies = (pair.chosen, pair.rejected)
        declined = any(declines(reasoning_of(text)) for text in replies)
        return "a reply declines to judge" if declined else ""

    return keep(pairs, reason)


def filter_duplicates(samples: Sequence[Sample], *, threshold: float = 0.9) -> Filtered[Sample]:
    """Keep one of each group of near-duplicates within a task, whatever the source.

    Near is a Jaccard similarity of word shingles of at least `threshold`.
    """
    from selene_lib.contamination import near_duplicates

    reasons: dict[str, str] = {}
    for task in sorted({s.task for s in samples}):
        mine = [s for s in samples if s.task == task]
        keeper = near_duplicates([(s.id, "\n".join(_texts(s))) for s in mine], threshold=threshold)
        source = {s.id: s.source for s in mine}
        for copy, kept in keeper.items():
            if copy != kept:
                where = "within" if source[copy] == source[kept] else "of"
                reasons[copy] = f"duplicate {where} {source[kept]}"
    return Filtered([s for s in samples if s.id not in reasons], reasons)


def filter_label_balance(
    samples: Sequence[Sample],
    *,
    max_ratio: float = 2.0,
    min_share: float = 0.05,
    by: BalanceBy = "task",
    seed: int = 0,
) -> Filtered[Sample]:
    """Thin out frequent labels until none of a task is over `max_ratio` times the rarest.

    Which items go is a hash of the item. `by="source"` does so within each source of a task: else a
    source of few Yes is made up for by another of many, and the judge learns which source answers
    what. A label under `min_share` of its task is not counted as the rarest: a handful of odd
    labels would empty all others.
    """
    by_task: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        part = sample.task if by == "task" else f"{sample.task} in {sample.source}"
        by_task[part][str(sample.label)].append(sample)
    reasons: dict[str, str] = {}
    for task, labels in by_task.items():
        sizes = [len(group) for group in labels.values()]
        rarest = min(size for size in sizes if size >= min_share * sum(sizes))
        cap = math.ceil(max_ratio * rarest)
        for label, group in labels.items():
            extra = sorted(group, key=lambda s: unit_hash(seed, "balance", s.id))[cap:]
            reasons |= {s.id: f"label {label} of {task} too frequent" for s in extra}
    return Filtered([s for s in samples if s.id not in reasons], reasons)


def filter_max_per_source(
    records: Sequence[R], *, max_per_source: int | Mapping[str, int], seed: int = 0
) -> Filtered[R]:
    """Keep at most `max_per_source` records a source, chosen by a hash of the item.

    A mapping gives sources a number of their own; those that it does not name keep all.
    """
    by_source: dict[str, list[R]] = defaultdict(list)
    for record in records:
        by_source[record.source].append(record)
    reasons: dict[str, str] = {}
    for source, group in by_source.items():
        cap = max_per_source
        if isinstance(cap, Mapping):
            cap = cap.get(source, len(group))
        extra = sorted(group, key=lambda r: unit_hash(seed, "cap", r.id))[cap:]
        reasons |= {record.id: f"over {cap} of one source" for record in extra}
    return Filtered([r for r in records if r.id not in reasons], reasons)


def filter_contradictions(pairs: Sequence[PreferencePair]) -> Filtered[PreferencePair]:
    """Drop pairs in which a reply is not what its verdict says.

    It has another verdict than it should, argues for another one, or says that it was told the
    answer.
    """

    def reason(pair: PreferencePair) -> str:
        if is_deduction(pair):  # its replies are responses, not verdicts
            return ""
        for side, text, verdict in (
            ("chosen", pair.chosen, pair.label),
            ("rejected", pair.rejected, pair.rejected_verdict),
        ):
            if parse_verdict(text, pair.task) != Verdict("value", verdict):
                return f"{side}: another verdict than asked"
            if contradiction(reasoning_of(text), verdict, pair.task):
                return f"{side}: contradicts its own verdict"
            if leaks(reasoning_of(text)):
                return f"{side}: says that it was told the answer"
        return ""

    return keep(pairs, reason)


def filter_reward(
    pairs: Sequence[PreferencePair],
    thresholds: Mapping[str, float] | float | None,
    *,
    by: str = "chosen",
) -> Filtered[PreferencePair]:
    """Keep pairs whose reward is at least the threshold of their source.

    `*` is the threshold of all other sources; None keeps all. `by` is `chosen` (reward of the
    chosen side) or `margin` (chosen less rejected). A pair without a reward, or with NaN, is a
    ValueError.
    """
    if by not in ("chosen", "margin"):
        raise ValueError(f"by={by!r} is not one of chosen, margin")

    def reason(pair: PreferencePair) -> str:
        limit = thresholds
        if isinstance(limit, Mapping):
            limit = limit.get(pair.source, limit.get("*"))
        if limit is None:
            return ""
        return f"reward of {by} below {limit:.4g}" if reward_of(pair, by) < limit else ""

    return keep(pairs, reason)


def reward_of(pair: PreferencePair, by: str = "chosen") -> float:
    """The reward that the filter looks at; a ValueError where the pair was not scored."""
    value = pair.chosen_reward
    if value is not None and by == "margin":
        value = None if pair.rejected_reward is None else value - pair.rejected_reward
    if value is None or math.isnan(value):
        raise ValueError(
            f"pair {pair.id} has no reward ({by}): score the pairs first, or set no threshold"
        )
    return float(value)
