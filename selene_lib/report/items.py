"""The worst disagreements with the gold label, item by item: asked, replied, and right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from selene_lib.errors import UserError
from selene_lib.figures.judges import judge_label
from selene_lib.prompts.rendering import render
from selene_lib.records import Judgement, Sample
from selene_lib.report.judged import Judged

MAX_CHARACTERS = 3000  # of one text: 120 items of long replies stay a page that opens
SNIPPET = 110
T = TypeVar("T")


@dataclass(frozen=True)
class ShownReply:
    """What one judge said in one order; `verdict` is in the words of the sample as it stands."""

    judge: str
    order: str
    status: str
    verdict: str
    right: bool
    probability: float | None
    text: str
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0


@dataclass(frozen=True)
class Item:
    """One item that the trained judge got wrong; texts are empty where they must not be shown."""

    id: str
    set: str
    task: str
    gold: str
    severity: float
    kinds: tuple[str, ...]
    replies: tuple[ShownReply, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    snippet: str = ""

    @property
    def anchor(self) -> str:
        """The item's place on a page, the same in every report of the same items."""
        return anchor(self.set, self.id)


def anchor(name: str, sample_id: str) -> str:
    """Return the fragment of a link to an item of a set."""
    return "item-" + re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{name}-{sample_id}")


def worst_items(judged: Judged, *, show_texts: bool, n_most: int = 120) -> tuple[list[Item], int]:
    """Return the trained judge's worst mistakes, by set, and how many there are in all.

    An item is worse the further the verdict lies from the gold (absolute), the surer the judge was
    (else), and if a right base was spoilt. `n_most` is shared among the sets, so that a large set
    does not hide a small one.
    """
    found = _mistakes(judged)
    shown = [_item(m, judged.main, show_texts) for m in dealt(found, n_most)]
    return shown, sum(len(mistakes) for mistakes in found.values())


@dataclass(frozen=True)
class _Mistake:
    """An item that the trained judge got wrong, before its texts are made."""

    set: str
    sample: Sample
    judgements: Sequence[Judgement]
    kinds: tuple[str, ...]
    severity: float


def _mistakes(judged: Judged) -> dict[str, list[_Mistake]]:
    """By set, the worst first."""
    found: dict[str, list[_Mistake]] = {name: [] for name in judged.sets}
    for name, sample, judgements in judged.items():
        mistake = _mistake(name, sample, judgements, judged.main)
        if mistake is not None:
            found[name].append(mistake)
    for mistakes in found.values():
        mistakes.sort(key=lambda m: (-m.severity, m.sample.id))
    return found


@dataclass(frozen=True)
class MistakeCount:
    """How many items of a set the trained judge got wrong, and of how many of them each kind is
    said.
    """

    set: str
    n: int
    kinds: Mapping[str, int]


KINDS = ("base right", "base wrong too", "orders disagree", "no verdict read")


def mistake_counts(judged: Judged) -> list[MistakeCount]:
    """Return a row a set with mistakes of the trained judge: what may be shown of sets whose items
    may not.
    """
    return [
        MistakeCount(name, len(mine), {kind: sum(kind in m.kinds for m in mine) for kind in KINDS})
        for name, mine in _mistakes(judged).items()
        if mine
    ]


def dealt(found: Mapping[str, Sequence[T]], n_most: int) -> list[T]:
    """Deal `n_most` places out, one a set in turn, and return the chosen ones set by set."""
    n_of_set = dict.fromkeys(found, 0)
    left = n_most
    while left and any(n < len(found[name]) for name, n in n_of_set.items()):
        for name, mine in found.items():
            if left and n_of_set[name] < len(mine):
                n_of_set[name] += 1
                left -= 1
    return [one for name, n in n_of_set.items() for one in found[name][:n]]


def _mistake(
    name: str, sample: Sample, judgements: Sequence[Judgement], main: str | None
) -> _Mistake | None:
    mine = [j for j in judgements if j.judge == main]
    wrong = [j for j in mine if j.verdict_of_sample != sample.label]
    if not wrong:
        return None
    base_right = [j.verdict_of_sample == sample.label for j in judgements if j.judge != main]
    kinds = ["trained wrong"]
    if base_right:
        kinds.append("base right" if all(base_right) else "base wrong too")
    if len({j.verdict_of_sample for j in mine}) > 1:
        kinds.append("orders disagree")
    if any(j.verdict is None for j in mine):
        kinds.append("no verdict read")
    severity = max(_distance(j, sample) for j in wrong)
    if "base right" in kinds:
        severity += 0.5
    if "orders disagree" in kinds:
        severity -= 0.25
    return _Mistake(name, sample, judgements, tuple(kinds), severity)


def _item(mistake: _Mistake, main: str | None, show_texts: bool) -> Item:
    sample = mistake.sample
    judgements = sorted(mistake.judgements, key=lambda j: (j.judge != main, j.judge, j.order))
    return Item(
        sample.id,
        mistake.set,
        sample.task,
        str(sample.label),
        mistake.severity,
        mistake.kinds,
        tuple(shown_reply(j, sample, judge_label(j.judge), show_texts) for j in judgements),
        item_texts(sample, judgements[0]) if show_texts else {},
        snippet(sample.instruction) if show_texts else "",
    )


def snippet(text: str, most: int = SNIPPET) -> str:
    """Return the beginning of a text in one line."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _distance(judgement: Judgement, sample: Sample) -> float:
    if judgement.verdict is None:
        return 0.5
    if sample.task == "absolute":
        return abs(int(judgement.verdict) - int(sample.label or 0)) / 4
    probability = judgement.verdict_probability
    return 0.75 if probability is None else probability


def shown_reply(judgement: Judgement, sample: Sample, judge: str, show_texts: bool) -> ShownReply:
    """Return one reply as a page shows it, under the name `judge`."""
    verdict = judgement.verdict_of_sample
    return ShownReply(
        judge,
        judgement.order,
        judgement.status,
        verdict or judgement.status,
        verdict == sample.label,
        judgement.verdict_probability,
        _whole_or_cut(judgement.reply) if show_texts else "",
        judgement.n_prompt_tokens,
        judgement.n_reply_tokens,
    )


def item_texts(sample: Sample, judgement: Judgement) -> dict[str, str]:
    """The prompt as the judge was shown it in the order AB, the rubric and the reference."""
    texts = _prompt_of(sample, judgement)
    texts |= {"Rubric": sample.rubric, "Reference": sample.reference or ""}
    return {name: _whole_or_cut(text) for name, text in texts.items() if text}


def _whole_or_cut(text: str) -> str:
    left = len(text) - MAX_CHARACTERS
    return text if left <= 0 else f"{text[:MAX_CHARACTERS]}\n[{left:,} more characters]"


def _prompt_of(sample: Sample, judgement: Judgement) -> dict[str, str]:
    """The prompt under a label that says whether the judge saw another one.

    The parts of the sample where the templates of the judgement are not here.
    """
    family, _, rest = judgement.template.partition("/")
    escape, critique = "+plain" not in rest, "+verdict" not in rest
    try:
        prompt = render(sample, family=family, escape=escape, critique=critique)
    except UserError:
        return {
            "Instruction": sample.instruction,
            "Response": sample.response,
            "Response B": sample.response_b or "",
        }
    if judgement.order == "AB" and prompt.sha256 != judgement.prompt_sha256:
        label = "Prompt (order AB; the judge saw a shortened or otherwise formatted one)"
    else:
        label = "Prompt (order AB)"
    return {label: prompt.text}
