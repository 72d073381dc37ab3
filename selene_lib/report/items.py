"""The worst disagreements with the gold label, item by item: what was asked, what was replied in
each order, what was right.
"""

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
class Reply:
    """What one judge said in one order; `verdict` is in the sample's own words, whatever order was
    shown.
    """

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
    replies: tuple[Reply, ...]
    texts: Mapping[str, str] = field(default_factory=dict)


def worst_items(result_dir: Path, *, show_texts: bool, n_most: int = 120) -> tuple[list[Item], int]:
    """Return at most `n_most` items of the trained judge's mistakes, worst first within each set,
    and how many there are in all.

    An item is worse the further the verdict lies from the gold (absolute), the surer the judge was
    (else), and if a right base was spoilt. `n_most` is shared among the sets, so that a large set
    does not hide a small one.
    """
    judgements = files.read_judgements(result_dir)
    main = main_judge(j.judge for j in judgements)
    shown = [j for j in judgements if j.judge == main or is_base(j.judge)]
    by_item: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in shown:
        by_item.setdefault((judgement.set, judgement.sample_id), []).append(judgement)
    found: dict[str, list[Item]] = {}
    for name, samples in files.read_samples(result_dir).items():
        items = [
            _item(s, name, by_item[name, s.id], main, show_texts)
            for s in samples
            if s.label is not None and (name, s.id) in by_item
        ]
        found[name] = sorted((i for i in items if i is not None), key=lambda i: (-i.severity, i.id))
    return _shared(found, n_most), sum(len(items) for items in found.values())


def _shared(found: Mapping[str, list[Item]], n_most: int) -> list[Item]:
    """Deal the places out, one a set in turn, and return the chosen items set by set."""
    longest = max((len(items) for items in found.values()), default=0)
    dealt = [
        (name, rank)
        for rank in range(longest)
        for name, items in found.items()
        if rank < len(items)
    ][:n_most]
    return [found[name][rank] for name in found for chosen, rank in dealt if chosen == name]


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
    severity = (
        max(_distance(j, sample) for j in wrong)
        + 0.5 * ("base right" in kinds)
        - 0.25 * ("orders disagree" in kinds)
    )
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
    return (judgement.verdict_probs or {}).get(judgement.verdict, 0.75)


def _reply(judgement: Judgement, sample: Sample, show_texts: bool) -> Reply:
    verdict = judgement.verdict_of_sample
    probability = (judgement.verdict_probs or {}).get(judgement.verdict or "")
    said = judgement.reply if show_texts else ""
    return Reply(
        judge_label(judgement.judge),
        judgement.order,
        judgement.status,
        verdict or judgement.status,
        verdict == sample.label,
        probability,
        said,
    )


def _texts(sample: Sample, judgement: Judgement) -> dict[str, str]:
    """The prompt as the judge was shown it in the order AB, and the rubric; says so where the
    prompt was shortened for the judge.
    """
    family, _, rest = judgement.template.partition("/")
    try:
        prompt = render(
            sample, family=family, escape="+plain" not in rest, critique="+verdict" not in rest
        )
        label = "Prompt (order AB)"
        if judgement.order == "AB" and prompt.sha256 != judgement.prompt_sha256:
            label = "Prompt (order AB; the judge saw a shortened or otherwise formatted one)"
        texts = {label: prompt.text}
    except UserError:
        texts = {
            "Instruction": sample.instruction,
            "Response": sample.response,
            "Response B": sample.response_b or "",
        }
    return {
        k: v
        for k, v in {**texts, "Rubric": sample.rubric, "Reference": sample.reference or ""}.items()
        if v
    }
