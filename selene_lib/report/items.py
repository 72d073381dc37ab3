"""The worst disagreements with the gold label, item by item: asked, replied, and right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.figures import results as files
from selene_lib.figures.judges import judge_label
from selene_lib.judges.names import is_base, main_judge
from selene_lib.prompts.rendering import render
from selene_lib.records import Judgement, Sample


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


def worst_items(result_dir: Path, *, show_texts: bool, n_most: int = 120) -> tuple[list[Item], int]:
    """Return the trained judge's worst mistakes, by set, and how many there are in all.

    An item is worse the further the verdict lies from the gold (absolute), the surer the judge was
    (else), and if a right base was spoilt. `n_most` is shared among the sets, so that a large set
    does not hide a small one.
    """
    judgements = files.run_judgements(result_dir)
    main = main_judge(j.judge for j in judgements)
    shown = [j for j in judgements if j.judge == main or is_base(j.judge)]
    by_item: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in shown:
        by_item.setdefault((judgement.set, judgement.sample_id), []).append(judgement)
    found: dict[str, list[Item]] = {}
    for name, samples in files.run_sets(result_dir).items():
        items = [
            _item(s, name, by_item[name, s.id], main, show_texts)
            for s in samples
            if s.label is not None and (name, s.id) in by_item
        ]
        found[name] = sorted((i for i in items if i is not None), key=lambda i: (-i.severity, i.id))
    return _shared(found, n_most), sum(len(items) for items in found.values())


@dataclass(frozen=True)
class MistakeCount:
    """How many items of a set the trained judge got wrong, and of how many of them each kind is
    said.
    """

    set: str
    n: int
    kinds: Mapping[str, int]


KINDS = ("base right", "base wrong too", "orders disagree", "no verdict read")


def mistake_counts(result_dir: Path) -> list[MistakeCount]:
    """Return a row a set with mistakes of the trained judge: what may be shown of sets whose items
    may not.
    """
    items, _ = worst_items(result_dir, show_texts=False, n_most=1_000_000_000)
    by_set: dict[str, list[Item]] = {}
    for item in items:
        by_set.setdefault(item.set, []).append(item)
    return [
        MistakeCount(name, len(mine), {kind: sum(kind in i.kinds for i in mine) for kind in KINDS})
        for name, mine in by_set.items()
    ]


def _shared(found: Mapping[str, list[Item]], n_most: int) -> list[Item]:
    """Deal the places out, one a set in turn, and return the chosen items set by set."""
    n_of_set = dict.fromkeys(found, 0)
    left = n_most
    while left and any(n < len(found[name]) for name, n in n_of_set.items()):
        for name, items in found.items():
            if left and n_of_set[name] < len(items):
                n_of_set[name] += 1
                left -= 1
    return [item for name, n in n_of_set.items() for item in found[name][:n]]


def _item(
    sample: Sample, name: str, judgements: Iterable[Judgement], main: str | None, show_texts: bool
) -> Item | None:
    judgements = sorted(judgements, key=lambda j: (j.judge != main, j.judge, j.order))
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
    texts = _texts(sample, judgements[0]) if show_texts else {}
    replies = tuple(_reply(j, sample, show_texts) for j in judgements)
    return Item(
        sample.id, name, sample.task, str(sample.label), severity, tuple(kinds), replies, texts
    )


def _distance(judgement: Judgement, sample: Sample) -> float:
    if judgement.verdict is None:
        return 0.5
    if sample.task == "absolute":
        return abs(int(judgement.verdict) - int(sample.label or 0)) / 4
    probability = judgement.verdict_probability
    return 0.75 if probability is None else probability


def _reply(judgement: Judgement, sample: Sample, show_texts: bool) -> ShownReply:
    verdict = judgement.verdict_of_sample
    said = judgement.reply if show_texts else ""
    return ShownReply(
        judge_label(judgement.judge),
        judgement.order,
        judgement.status,
        verdict or judgement.status,
        verdict == sample.label,
        judgement.verdict_probability,
        said,
    )


def _texts(sample: Sample, judgement: Judgement) -> dict[str, str]:
    """The prompt as the judge was shown it in the order AB, the rubric and the reference."""
    texts = _prompt_of(sample, judgement)
    texts |= {"Rubric": sample.rubric, "Reference": sample.reference or ""}
    return {name: text for name, text in texts.items() if text}


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
