"""Two runs beside each other: scores with intervals, paired differences, the items that flipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import compare as compare_judges
from selene_lib.figures import results as files
from selene_lib.figures.judges import judge_label
from selene_lib.files import write_text
from selene_lib.records import Judgement, Sample
from selene_lib.report.cells import environment
from selene_lib.report.items import ShownReply, anchor, dealt, item_texts, shown_reply, snippet
from selene_lib.report.judged import Judged, read_judged
from selene_lib.report.lead import overall
from selene_lib.report.provenance import run_manifest

MAX_FLIPS = 200
A, B = "A", "B"


@dataclass(frozen=True)
class Side:
    """One of the two runs: its folder, the judge that stands for it, and what it judged."""

    name: str
    folder: Path
    judge: str
    model: str | None
    judged: Judged
    mean: Mapping[str, Any] | None


@dataclass(frozen=True)
class SetRow:
    """One set that both runs judged: score and interval of each, and the paired difference B - A.

    `n` counts the items that both judged under the same gold label; the difference is over those.
    """

    set: str
    task: str
    metric: str
    n: int
    a: Mapping[str, Any] | None
    b: Mapping[str, Any] | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    n_won: int
    n_lost: int


@dataclass(frozen=True)
class Flip:
    """One item that one run got right and the other wrong."""

    set: str
    id: str
    task: str
    gold: str
    kind: str
    replies: tuple[ShownReply, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    snippet: str = ""

    @property
    def anchor(self) -> str:
        return anchor(self.set, self.id)


@dataclass(frozen=True)
class Comparison:
    """What a comparison shows; `only_a` and `only_b` name the sets that one run alone judged."""

    a: Side
    b: Side
    rows: tuple[SetRow, ...]
    flips: tuple[Flip, ...]
    n_flips: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


def read_side(folder: Path) -> Side:
    """Read a run for a comparison; a UserError where it judged nothing with a trained judge."""
    folder = Path(folder)
    judged = read_judged(folder) if folder.is_dir() else Judged()
    if judged.main is None:
        raise UserError(
            f"{folder}: no judgements of a trained judge; "
            f"run `selene reproduce --run {folder.name}` first"
        )
    model = files.base_model(run_manifest(folder))
    mean = overall(folder).rows.get(judged.main)
    return Side(folder.name, folder, judged.main, model, judged, mean)


@dataclass(frozen=True)
class _Shared:
    """An item that both runs judged, with the replies of the judge of each."""

    set: str
    sample: Sample
    a: Sequence[Judgement]
    b: Sequence[Judgement]

    def right(self, judgements: Sequence[Judgement]) -> bool:
        """Right in every order that was asked."""
        return all(j.verdict_of_sample == self.sample.label for j in judgements)


def compare_runs(a: Side, b: Side, *, show_texts: bool, seed: int = 0) -> Comparison:
    """Compare two runs over the items that both judged; the same sample under the same label."""
    shared = _shared_items(a, b)
    flips = [item for item in shared if item.right(item.a) != item.right(item.b)]
    of_a, of_b = (dict.fromkeys(n for n, _, _ in side.judged.items()) for side in (a, b))
    both = {item.set for item in shared}
    by_set: dict[str, list[_Shared]] = {}
    for item in flips:
        by_set.setdefault(item.set, []).append(item)
    return Comparison(
        a,
        b,
        tuple(_rows(a, b, shared, seed)),
        tuple(_flip(item, show_texts) for item in dealt(by_set, MAX_FLIPS)),
        len(flips),
        tuple(name for name in of_a if name not in both),
        tuple(name for name in of_b if name not in both),
    )


def _shared_items(a: Side, b: Side) -> list[_Shared]:
    of_b = {(name, s.id, s.label): found for name, s, found in b.judged.items()}
    shared = []
    for name, sample, found in a.judged.items():
        other = of_b.get((name, sample.id, sample.label), [])
        mine = [j for j in found if j.judge == a.judge]
        theirs = [j for j in other if j.judge == b.judge]
        if mine and theirs:
            shared.append(_Shared(name, sample, mine, theirs))
    return shared


def _rows(a: Side, b: Side, shared: Sequence[_Shared], seed: int) -> list[SetRow]:
    samples: dict[str, list[Sample]] = {}
    for item in shared:
        samples.setdefault(item.set, []).append(item.sample)
    judgements = [replace(j, judge=A) for item in shared for j in item.a]
    judgements += [replace(j, judge=B) for item in shared for j in item.b]
    found = compare_judges(samples, judgements, [(B, A)], seed=seed) if shared else []
    of_a, of_b = _scores(a), _scores(b)
    rows = []
    for one in found:
        mine = [i for i in shared if i.set == one.set and i.sample.task == one.task]
        key = (one.set, one.task)
        rows.append(
            SetRow(
                one.set,
                one.task,
                one.metric,
                len(mine),
                of_a.get(key),
                of_b.get(key),
                _known(one.difference),
                _known(one.ci95_low),
                _known(one.ci95_high),
                _known(one.p),
                n_won=sum(i.right(i.b) and not i.right(i.a) for i in mine),
                n_lost=sum(i.right(i.a) and not i.right(i.b) for i in mine),
            )
        )
    return rows


def _scores(side: Side) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The headline rows of a run's judge, by set and task."""
    table = files.run_table(side.folder, f"{files.EVALUATE}/scores.csv")
    if table is None or table.empty:
        return {}
    rows = files.headline_rows(table)
    mine = rows[rows["judge"] == side.judge].to_dict("records")
    return {(str(row["set"]), str(row["task"])): row for row in mine}


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _flip(item: _Shared, show_texts: bool) -> Flip:
    sample = item.sample
    replies = [shown_reply(j, sample, A, show_texts) for j in item.a]
    replies += [shown_reply(j, sample, B, show_texts) for j in item.b]
    return Flip(
        item.set,
        sample.id,
        sample.task,
        str(sample.label),
        "B right, A wrong" if item.right(item.b) else "A right, B wrong",
        tuple(replies),
        item_texts(sample, item.a[0]) if show_texts else {},
        snippet(sample.instruction) if show_texts else "",
    )


def build_comparison(a: Path, b: Path, out: Path, *, show_texts: bool = False) -> Path:
    """Write the comparison of two runs' folders to `out`; return its path.

    `show_texts=True` shows the items that flipped with their texts: only for generated items or
    your own. Raises `UserError` where a run judged nothing, or the two have no item in common.
    """
    found = compare_runs(read_side(a), read_side(b), show_texts=show_texts)
    if not found.rows:
        raise UserError(
            f"{a} and {b} have no judged item in common; compare runs of the same sets and seed"
        )
    template = environment().get_template("compare.html")
    page = template.render(found=found, show_texts=show_texts, judge_label=judge_label)
    return write_text(out, page)
