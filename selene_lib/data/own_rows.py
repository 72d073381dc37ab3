"""Rows of a user's file as samples to judge: texts, conversations, rubrics and gold labels.

Everything is read strictly: a cell that could mean two things is a UserError with its row.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.data.conversations import is_conversation, split_conversation, text_of
from selene_lib.data.tables import Row, is_missing, iterate_rows
from selene_lib.errors import UserError, did_you_mean
from selene_lib.prompts.rubrics import check_own
from selene_lib.records import TIE, Sample, Task, labels_of, stable_id

TEXT_COLUMNS = ("instruction", "response", "response_b", "rubric", "reference", "context")
# a whole conversation, whose last turn is the response
MESSAGES = "messages"
_MANY_RUBRICS = 1_000  # whose fit is remembered
COLUMNS = (*TEXT_COLUMNS, MESSAGES, "label", "group", "id")
_WORDS = {
    "classification": {
        **dict.fromkeys(("yes", "y", "true", "t", "1", "1.0"), "Yes"),
        **dict.fromkeys(("no", "n", "false", "f", "0", "0.0"), "No"),
    },
    "pairwise": {
        **dict.fromkeys(("a", "response a", "response_a"), "A"),
        **dict.fromkeys(("b", "response b", "response_b"), "B"),
        **dict.fromkeys(("tie", "tied", "draw", "equal", "a tie"), TIE),
    },
}


@dataclass(frozen=True)
class OwnRow:
    """A row as it stands in the file (`number` from 1), and the sample that it is."""

    number: int
    row: Row
    sample: Sample


@dataclass
class OwnRows:
    """The rows of a file as samples, each time they are iterated over.

    `rubric` is for all rows without one of their own; `columns` maps our names to the file's own
    and `labels` the file's own labels to the task's (`{"good": "Yes"}`). Without `judged` the rows
    are not to be shown to a judge, so that no rubric is needed. A row's group is that of a `group`
    column, else its instruction: answers to one instruction are alike. Ids are those of an `id`
    column, else made from the texts (equal rows are counted), so that a row inserted elsewhere or
    another file name changes none. Without an `instruction` and a `response`, a `messages` column
    is read: a conversation whose last turn is judged. `scale` names another scale than 1-5, `needs`
    texts that no row may lack (`reference`, `context`), `beside` further names that `columns` may
    map, `given` which of `columns` the file must have (all, unless some were written for another
    file). `takes` says which ids are given out: all rows are read and checked. Every mistake is a
    one-line UserError.
    """

    path: Path
    task: Task
    rubric: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    judged: bool = True
    scale: str | None = None
    needs: Collection[str] = ()
    beside: Collection[str] = ()
    given: Collection[str] | None = None
    takes: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        self._fitting: set[str] = set()
        self.kind = f"{self.task} {self.scale}" if self.scale else self.task
        check_labels(self.labels, self.kind)
        self.mapped = dict(self.columns)
        if self.given is not None:
            self.mapped = {name: self.columns[name] for name in self.given}
        check_column_names(self.mapped, (*COLUMNS, *self.beside))
        # a name in another encoding than the system's holds half surrogates: no text of a record
        self.source = os.fsencode(self.path.stem).decode("utf-8", "replace")

    def __iter__(self) -> Iterator[OwnRow]:
        n_alike: Counter[str] = Counter()
        row_of_id: dict[str, int] = {}
        n_with_rubric = 0
        names: dict[str, None] = {}  # rows of JSON need not all have the same
        for n_before, (number, row) in enumerate(iterate_rows(self.path)):
            if n_before == 0:
                self._check_columns(row)
            names.update(dict.fromkeys(row))
            sample = self._sample(number, row, n_alike)
            n_with_rubric += bool(sample.rubric)
            if n_with_rubric not in (0, n_before + 1):
                where = number if not sample.rubric else "before this one"
                raise UserError(
                    f"{self.path}, row {where}: the rubric is empty, and other rows have one; "
                    "fill it in, or give a rubric file for the rows without"
                )
            if sample.id in row_of_id:
                raise UserError(
                    f"{self.path}, row {number}: the id {sample.id!r} stands in row "
                    f"{row_of_id[sample.id]} already; make ids unique, or leave the column out"
                )
            row_of_id[sample.id] = number
            if self.takes is None or self.takes(sample.id):
                yield OwnRow(number, row, sample)
        self._check_mapped(list(map(str, names)))

    def _check_columns(self, row: Row) -> None:
        needed = [] if self._has_messages(row) or not self.judged else ["instruction", "response"]
        if self.task == "pairwise" and self.judged:
            needed.append("response_b")
        elif self.judged and not self.rubric:
            needed.append("rubric")
        for name in (*needed, *self.needs):
            if self._column(name) not in row:
                there = ", ".join(map(str, row))
                remedy = "give a rubric (--rubric), or " if name == "rubric" else ""
                raise UserError(
                    f"{self.path} has no column {self._column(name)!r} (there are: {there}); "
                    f"{remedy}say which one it is: --column {name}=..."
                )

    def _check_mapped(self, there: list[str]) -> None:
        for name, own in self.mapped.items():
            if own not in there:
                hint = did_you_mean(own, there)
                raise UserError(
                    f"{self.path} has no column {own!r}, which is to be {name}: {hint}there are "
                    f"{', '.join(there)}"
                )

    def _has_messages(self, row: Row) -> bool:
        """Whether a conversation stands in place of instruction and response."""
        if self.task == "pairwise" or self._column(MESSAGES) not in row:
            return False
        return self._column("instruction") not in row and self._column("response") not in row

    def _column(self, name: str) -> str:
        return self.columns.get(name, name)

    def _sample(self, number: int, row: Row, n_alike: Counter[str]) -> Sample:
        where = f"{self.path}, row {number}"
        texts = self._texts(where, row)
        needed = ["instruction", "response"] if self.judged else []
        if self.task == "pairwise" and self.judged:
            needed.append("response_b")
        for name in (*needed, *self.needs):
            if texts[name] is None:
                raise UserError(f"{where}: {name} is missing")
        rubric = (texts["rubric"] or "").strip() or self.rubric
        if self.judged and not rubric and self.task != "pairwise":
            raise UserError(
                f"{where}: the rubric is empty; fill it in, or give a rubric file for all rows"
            )
        self._check_rubric(where, rubric)
        cell = row.get(self._column("label"))
        label, score = read_label(where, cell, self.kind, self.labels)
        shown = {"context": texts["context"], "scale": self.scale}
        return Sample(
            id=self._id(row, texts, n_alike),
            source=self.source,
            task=self.task,
            instruction=texts["instruction"] or "",
            response=texts["response"] or "",
            response_b=(texts["response_b"] or "") if self.task == "pairwise" else None,
            rubric=rubric,
            reference=texts["reference"] or None,
            label=label,
            score=score,
            group=self._group(row, texts["instruction"] or ""),
            meta={name: value for name, value in shown.items() if value},
        )

    def _check_rubric(self, where: str, rubric: str) -> None:
        if rubric in self._fitting:
            return
        try:
            check_own(rubric, self.kind)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if len(self._fitting) < _MANY_RUBRICS:
            self._fitting.add(rubric)

    def _texts(self, where: str, row: Row) -> dict[str, str | None]:
        texts = {name: self._text(where, row, name) for name in TEXT_COLUMNS}
        if self._has_messages(row):
            cell = row[self._column(MESSAGES)]
            if not is_conversation(cell):
                raise UserError(
                    f"{where}, column {self._column(MESSAGES)!r}: no list of messages that have "
                    "role and content"
                )
            try:
                texts["instruction"], texts["response"] = split_conversation(cell)
            except ValueError as error:
                raise UserError(f"{where}, column {self._column(MESSAGES)!r}: {error}") from error
        return texts

    def _group(self, row: Row, instruction: str) -> str:
        own = row.get(self._column("group"))
        if not is_missing(own) and str(own).strip():
            return str(own).strip()
        return stable_id("group", instruction) if instruction.strip() else ""

    def _id(self, row: Row, texts: Mapping[str, str | None], n_alike: Counter[str]) -> str:
        own = row.get(self._column("id"))
        if not is_missing(own) and str(own).strip():
            return str(own).strip()
        # a text that few rows have takes no part in the ids of the others
        parts = [text for name, text in texts.items() if text or name != "context"]
        made = stable_id("row", *parts)
        n_alike[made] += 1
        return made if n_alike[made] == 1 else f"{made}-{n_alike[made]}"

    def _text(self, where: str, row: Row, name: str) -> str | None:
        cell = row.get(self._column(name))
        if is_missing(cell):
            return None
        if name == "context" and isinstance(cell, list) and all(isinstance(c, str) for c in cell):
            return "\n\n".join(cell)  # passages, as retrieval gives them
        try:
            return text_of(cell, alone="assistant" if name.startswith("response") else "user")
        except ValueError as error:
            raise UserError(f"{where}, column {self._column(name)!r}: {error}") from error


def check_column_names(columns: Mapping[str, str], known: Collection[str]) -> None:
    """Raise UserError where a mapping of columns names one of ours that there is not."""
    for name in columns:
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(
                f"column {name}={columns[name]}: nothing is called {name!r} here: {hint}there are "
                f"{', '.join(known)}"
            )


def check_labels(labels: Mapping[str, str], task: str) -> None:
    """Raise UserError where a mapping of labels names one that the task does not have, or says two
    things of one word (words are read without regard to case).
    """
    allowed = [*labels_of(task), *([TIE] if task == "pairwise" else [])]
    words = [own.strip().casefold() for own in labels]
    for own in labels:
        if words.count(own.strip().casefold()) > 1:
            raise UserError(f"label {own!r} is mapped twice (case does not count); give it once")
    for own, ours in labels.items():
        if ours not in allowed:
            raise UserError(
                f"label {own}={ours}: the labels of a {task} task are {', '.join(allowed)}"
            )


def read_label(
    where: str, cell: Any, task: str, labels: Mapping[str, str] | None = None
) -> tuple[str | None, float | None]:
    """Return the gold label and, of an absolute item, the gold score of a cell; both may be None.

    Spellings that can mean one thing only are read (`yes`, `True`, `1`, ` 4 `, `5.00`, `Tie`); a
    mean such as 3.67 is a score without a label. `labels` says what other words mean, `task` may
    name a scale (`absolute 1-10`). Anything else is a UserError.
    """
    known = labels_of(task)
    text = "" if is_missing(cell) else str(cell).strip()
    if not text:
        return None, None
    for own, ours in (labels or {}).items():
        if text.casefold() == own.strip().casefold():
            return ours, None
    if task not in _WORDS:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if int(known[0]) <= value <= int(known[-1]) and not isinstance(cell, bool):
            return (str(int(value)), None) if value == int(value) else (None, value)
        allowed = f"{known[0]} to {known[-1]}"
    else:
        label = _WORDS[task].get(text.rstrip(".").casefold())
        if label is not None:
            return label, None
        allowed = ", ".join([*known, *([TIE] if task == "pairwise" else [])])
    raise UserError(
        f"{where}: label {text[:60]!r} is not one of {allowed}; mend or empty it, "
        f"or say what it means ({text[:30]}={known[0]})"
    )
