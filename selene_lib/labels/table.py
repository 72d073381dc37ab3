"""A labelled table, read and checked before anything is written or loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from selene_lib.data.own_rows import OwnRow, OwnRows
from selene_lib.errors import UserError
from selene_lib.prompts.presets import rubric_of
from selene_lib.records import LABELS, TASKS, TIE, Sample, Task

LEAST_ROWS = 20
LEAST_GROUPS = 4


@dataclass(frozen=True)
class LabelTable:
    """Labelled samples of one task, each once, and what was found on the way.

    `n_unlabelled` rows had no label, `n_ties` a tie, `n_duplicates` repeated another row with the
    same label: all three are left out. `rubric` is the text for all rows, empty where the table has
    a column of its own.
    """

    task: Task
    samples: tuple[Sample, ...]
    rubric: str
    n_rows: int
    n_unlabelled: int
    n_ties: int
    n_duplicates: int

    def describe(self) -> list[str]:
        """Lines for a reader: balance, groups, what was left out."""
        counts = Counter(sample.label for sample in self.samples)
        balance = ", ".join(
            f"{label} {counts[label]}" for label in LABELS[self.task] if counts[label]
        )
        n_groups = len({sample.group for sample in self.samples})
        lines = [f"{len(self.samples)} labelled items in {n_groups} groups: {balance}"]
        for n, what in (
            (self.n_unlabelled, "without a label"),
            (self.n_ties, "labelled as ties"),
            (self.n_duplicates, "that repeat another row"),
        ):
            if n:
                lines.append(f"{n} rows {what}: left out")
        return lines


def read_labels(
    path: str | Path,
    task: str,
    *,
    rubric: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> LabelTable:
    """Read a labelled table; see `data.own_rows` for columns, labels and groups.

    Rows that share a group or an instruction are of one group in the result. Raises a one-line
    UserError with row and remedy for what `OwnRows` refuses, a missing label column, fewer than
    `LEAST_ROWS` labelled rows, labels of one class, fewer than `LEAST_GROUPS` groups, and the same
    item with two labels.
    """
    if task not in TASKS:
        raise UserError(f"task {task!r} is not one of {', '.join(TASKS)}")
    kind: Task = task
    text = rubric_of(rubric, kind) if rubric is not None else ""
    rows = OwnRows(Path(path), kind, text, columns or {}, labels or {})
    found: dict[tuple[object, ...], OwnRow] = {}
    n_rows = n_unlabelled = n_ties = n_duplicates = 0
    for one in rows:
        if not n_rows:
            _check_label_column(rows, one)
        n_rows += 1
        label, key = _label(one.sample), _texts(one.sample)
        if label is None or label == TIE:
            n_unlabelled, n_ties = n_unlabelled + (label is None), n_ties + (label == TIE)
            continue
        before = found.setdefault(key, one)
        if before is not one:
            _check_same(rows, before, one)
            n_duplicates += 1
    samples = with_groups([replace(o.sample, label=_label(o.sample)) for o in found.values()])
    _check_enough(rows.path, samples)
    own = text if any(o.sample.rubric == text for o in found.values()) else ""
    return LabelTable(kind, samples, own, n_rows, n_unlabelled, n_ties, n_duplicates)


def _label(sample: Sample) -> str | None:
    """The label; a mean of people such as 3.67 is trained towards its nearest whole score."""
    if sample.label is None and sample.score is not None:
        return str(int(sample.score + 0.5))
    return sample.label


def _texts(sample: Sample) -> tuple[object, ...]:
    texts = (sample.instruction, sample.response, sample.response_b or "", sample.reference or "")
    shown = (*texts, str(sample.meta.get("context", "")))
    return (*(" ".join(text.split()).casefold() for text in shown), sample.rubric)


def _check_label_column(rows: OwnRows, one: OwnRow) -> None:
    name = rows.columns.get("label", "label")
    if name not in one.row:
        there = ", ".join(map(str, one.row))
        raise UserError(
            f"{rows.path} has no column {name!r} (there are: {there}); "
            "say which one holds the labels: --column label=..."
        )


def _check_same(rows: OwnRows, before: OwnRow, one: OwnRow) -> None:
    first, second = _label(before.sample), _label(one.sample)
    if first != second:
        raise UserError(
            f"{rows.path}, row {one.number}: the same item as row {before.number} has the label "
            f"{second} here and {first} there; decide which is right and remove the other row"
        )


def _check_enough(path: Path, samples: tuple[Sample, ...]) -> None:
    if len(samples) < LEAST_ROWS:
        raise UserError(
            f"{path}: {len(samples)} labelled rows are too few to train and to measure a judge; "
            f"label at least {LEAST_ROWS}, better 200"
        )
    counts = Counter(sample.label for sample in samples)
    if len(counts) < 2:
        raise UserError(
            f"{path}: every label is {next(iter(counts))}, so there is nothing to tell apart; "
            "add rows of another label"
        )
    n_groups = len({sample.group for sample in samples})
    if n_groups == 1:
        raise UserError(
            f"{path}: every row has the same instruction, so nothing could be held out that was "
            "not trained on; add a column 'group' (customer, document, day ...) to split by"
        )
    if n_groups < LEAST_GROUPS:
        raise UserError(
            f"{path}: {n_groups} groups are too few to hold one out; add rows with other "
            f"instructions (at least {LEAST_GROUPS}), or a finer column 'group'"
        )


def with_groups(samples: list[Sample]) -> tuple[Sample, ...]:
    """Join groups that share an instruction, and give the others their own name.

    A group column alone may put one instruction into two groups, and then into training and test.
    A constant instruction with a group column says nothing, and joins none.
    """
    instructions = {sample.instruction.strip() for sample in samples}
    joined: dict[str, str] = {}

    def root(name: str) -> str:
        while joined.get(name, name) != name:
            name = joined[name]
        return name

    for sample in samples if len(instructions) > 1 else ():
        names = [f"g {sample.group or sample.id}"]
        if sample.instruction.strip():
            names.append(f"i {sample.instruction.strip()}")
        first = root(names[0])
        for name in names:
            joined[root(name)] = first
    return tuple(
        replace(sample, group=root(f"g {sample.group or sample.id}")[2:]) for sample in samples
    )
