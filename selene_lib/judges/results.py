"""What a judge said of one item, as numbers and words that can be used without reading replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from selene_lib.prompts.additions import CANNOT_TELL
from selene_lib.prompts.labels import read_label
from selene_lib.prompts.verdicts import reasoning_of
from selene_lib.records import Judgement, Sample, labels_of, swap_verdict

# statuses of an item beside those of one reply
INCONSISTENT, TIED = "inconsistent", "tied"


@dataclass(frozen=True)
class ItemResult:
    """What a judge said of one item.

    `label` is the verdict in the task's own words (`"4"`, `"Yes"`, `"A"`), None where there is
    none; `status` then says why, with `reason`. A pairwise item is judged in both orders: where the
    two name different responses the status is `inconsistent`. A judge that may abstain and does has
    the status `cannot tell`. `score` is the verdict as a number (Yes and A are 1, No and B are 0;
    of several replies their mean), `spread` the standard deviation of several. `probabilities` are
    those of the labels and `confidence` that of the verdict, None where the judge gives none; of
    several replies `confidence` is the share that agree. `parts` are the replies, criteria or
    judges that the verdict was put together from, by name; `raw` is the reply (of the order AB, and
    of several one that gave this verdict).
    """

    kind: str
    label: str | None
    status: str
    reason: str
    raw: str
    confidence: float | None
    probabilities: Mapping[str, float] | None = field(default=None, hash=False)
    score: float | None = None
    spread: float | None = None
    judgements: tuple[Judgement, ...] = field(default=(), repr=False)
    parts: Mapping[str, ItemResult] = field(default_factory=dict, repr=False, hash=False)

    @property
    def verdict(self) -> int | bool | str | None:
        """The verdict as a value: a whole number, True or False, `"A"` or `"B"`; None for none."""
        if self.label is None:
            return CANNOT_TELL if self.status == CANNOT_TELL else None
        if self.kind == "classification":
            return self.label == "Yes"
        return self.label if self.kind == "pairwise" else int(self.label)

    @property
    def expected_score(self) -> float | None:
        """The score that the probabilities expect, None without them."""
        if self.probabilities is None:
            return None
        return sum(p * number_of(label, self.kind) for label, p in self.probabilities.items())

    @property
    def reasoning(self) -> str:
        """The reply's reasons, without markers and verdict; empty for a verdict alone."""
        reasons = reasoning_of(self.raw)
        return "" if read_label(reasons, self.kind) else reasons

    @property
    def critique(self) -> str:
        """The reply as it came, under its older name."""
        return self.raw

    @property
    def is_readable(self) -> bool:
        """Whether the judge said something that can be used: a verdict, or that there is none."""
        return self.label is not None or self.status in (INCONSISTENT, TIED, CANNOT_TELL)

    @property
    def n_tokens(self) -> tuple[int, int]:
        """Tokens of all prompts and of all replies."""
        return (
            sum(j.n_prompt_tokens for j in self.judgements),
            sum(j.n_reply_tokens for j in self.judgements),
        )


def number_of(label: str, kind: str) -> float:
    """Return a label as a number: a score itself, 1 for Yes and A, 0 for No and B."""
    if kind in ("classification", "pairwise"):
        return float(label == labels_of(kind)[0])
    return float(label)


def item_results(
    samples: Sequence[Sample], judgements: Sequence[Judgement], *, may_abstain: bool = False
) -> list[ItemResult]:
    """One result a sample, from one reply of one judge in each order that it was asked in."""
    by_id: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        by_id.setdefault(judgement.sample_id, []).append(judgement)
    return [
        item_result(sample.kind, sorted(by_id[sample.id], key=lambda j: j.order), may_abstain)
        for sample in samples
    ]


def item_result(kind: str, mine: Sequence[Judgement], may_abstain: bool = False) -> ItemResult:
    """The result of one item from the judgements of its orders."""
    raw, judgements = mine[0].reply, tuple(mine)
    broken = next((j for j in mine if j.status != "value"), None)
    if broken is not None:
        status: str = broken.status
        if may_abstain and all(j.status == "abstained" for j in mine):
            status = CANNOT_TELL
        reason = str(broken.meta.get("reason", ""))
        return ItemResult(kind, None, status, reason, raw, None, judgements=judgements)
    labels = [j.verdict_of_sample for j in mine]
    if len(set(labels)) > 1:
        reason = f"the two orders name different responses: {labels[0]} then {labels[1]}"
        return ItemResult(kind, None, INCONSISTENT, reason, raw, None, judgements=judgements)
    label = str(labels[0])
    return ItemResult(
        kind,
        label,
        "value",
        "",
        raw,
        _confidence(mine),
        _probabilities(mine),
        number_of(label, kind),
        judgements=judgements,
    )


def _confidence(mine: Sequence[Judgement]) -> float | None:
    """Mean probability of the verdict over the orders, None where it is not known in one."""
    known = [j.verdict_probability for j in mine if j.verdict_probability is not None]
    return round(sum(known) / len(known), 6) if len(known) == len(mine) else None


def _probabilities(mine: Sequence[Judgement]) -> dict[str, float] | None:
    """Mean probabilities over the orders, in the words of the sample."""
    rows = [j.verdict_probs for j in mine]
    if not all(rows):
        return None
    mean: dict[str, float] = {}
    for judgement in mine:
        for label, p in (judgement.verdict_probs or {}).items():
            ours = str(swap_verdict(label) if judgement.order == "BA" else label)
            mean[ours] = mean.get(ours, 0.0) + p / len(mine)
    return {label: round(mean.get(label, 0.0), 6) for label in labels_of(mine[0].kind)}
