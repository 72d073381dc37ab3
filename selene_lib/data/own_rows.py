"""Rows of a user's file as samples to judge: texts, conversations, rubrics and gold labels.

Everything is read strictly: a cell that could mean two things is a UserError with its row.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.data.tables import Row, is_missing, iterate_rows
from selene_lib.errors import UserError
from selene_lib.prompts.rubrics import misfit_of
from selene_lib.records import LABELS, TIE, Sample, Task, stable_id

TEXT_COLUMNS = ("instruction", "response", "response_b", "rubric", "reference")
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
    another file name changes none. Every mistake is a one-line UserError.
    """

    path: Path
    task: Task
    rubric: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    judged: bool = True

    def __post_init__(self) -> None:
        check_labels(self.labels, self.task)
        # a name in another encoding than the system's holds half surrogates: no text of a record
        self.source = os.fsencode(self.path.stem).decode("utf-8", "replace")

    def __iter__(self) -> Iterator[OwnRow]:
        n_alike: Counter[str] = Counter()
        row_of_id: dict[str, int] = {}
        n_with_rubric = 0
        for n_before, (number, row) in enumerate(iterate_rows(self.path)):
            if n_before == 0:
                self._check_columns(row)
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
            yield OwnRow(number, row, sample)

    def _check_columns(self, row: Row) -> None:
        needed = ["instruction", "response"] if self.judged else []
        if self.task == "pairwise" and self.judged:
            needed.append("response_b")
        elif self.judged and not self.rubric:
            needed.append("rubric")
        for name in needed:
            if self._column(name) not in row:
                there = ", ".join(map(str, row))
                remedy = "give a rubric file, or " if name == "rubric" else ""
                raise UserError(
                    f"{self.path} has no column {self._column(name)!r} (there are: {there}); "
                    f"{remedy}rename it or map it with columns"
                )

    def _column(self, name: str) -> str:
        return self.columns.get(name, name)

    def _sample(self, number: int, row: Row, n_alike: Counter[str]) -> Sample:
        where = f"{self.path}, row {number}"
        texts = {name: self._text(where, row, name) for name in TEXT_COLUMNS}
        needed = ["instruction", "response"] if self.judged else []
        if self.task == "pairwise" and self.judged:
            needed.append("response_b")
        for name in needed:
            if texts[name] is None:
                raise UserError(f"{where}: {name} is missing")
        rubric = (texts["rubric"] or "").strip() or self.rubric
        if self.judged and not rubric and self.task != "pairwise":
            raise UserError(
                f"{where}: the rubric is empty; fill it in, or give a rubric file for all rows"
            )
        if misfit := misfit_of(rubric, self.task):
            raise UserError(f"{where}: the rubric {misfit}")
        cell = row.get(self._column("label"))
        label, score = read_label(where, cell, self.task, self.labels)
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
        )

    def _group(self, row: Row, instruction: str) -> str:
        own = row.get(self._column("group"))
        if not is_missing(own) and str(own).strip():
            return str(own).strip()
        return stable_id("group", instruction) if instruction.strip() else ""

    def _id(self, row: Row, texts: Mapping[str, str | None], n_alike: Counter[str]) -> str:
        own = row.get(self._column("id"))
        if not is_missing(own) and str(own).strip():
            return str(own).strip()
        made = stable_id("row", *texts.values())
        n_alike[made] += 1
        return made if n_alike[made] == 1 else f"{made}-{n_alike[made]}"

    def _text(self, where: str, row: Row, name: str) -> str | None:
        cell = row.get(self._column(name))
        if is_missing(cell):
            return None
        try:
            return text_of(cell, alone="assistant" if name.startswith("response") else "user")
        except ValueError as error:
            raise UserError(f"{where}, column {self._column(name)!r}: {error}") from error


def text_of(cell: Any, *, alone: str = "user") -> str:
    """Return a cell as the text that is judged.

    A conversation (a list of messages with `role` and `content`) is written as turns, `User: ...`;
    a single message of the role `alone` is its content. A ValueError says what cannot be read.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | int | float):
        return str(cell)
    if isinstance(cell, Mapping) and "role" in cell:
        cell = [cell]
    if not isinstance(cell, list) or not cell or not all(map(_is_message, cell)):
        raise ValueError(
            f"a {type(cell).__name__} is no text; give text, "
            "or a list of messages that have role and content"
        )
    if len(cell) == 1 and cell[0]["role"] == alone:
        return _said(cell[0])
    return "\n\n".join(f"{str(turn['role']).capitalize()}: {_said(turn)}" for turn in cell)


def _is_message(turn: Any) -> bool:
    if not isinstance(turn, Mapping) or "role" not in turn:
        return False
    return "content" in turn or bool(_calls(turn))


def _calls(turn: Mapping[str, Any]) -> list[Any]:
    return turn.get("tool_calls") or []


def _said(turn: Mapping[str, Any]) -> str:
    """The content of a message as text; calls of tools follow it as `[calls name(arguments)]`."""
    content = turn.get("content")
    said: list[str] = []
    if isinstance(content, str):
        said.append(content)
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            kind = part.get("type", "part") if isinstance(part, Mapping) else type(part).__name__
            raise ValueError(f"a message holds a part that is no text ({kind}); remove it")
        said.append(part["text"])
    if not isinstance(content, str | list | None):
        raise ValueError(f"the content of a message is a {type(content).__name__}, not text")
    for call in _calls(turn):
        called = call.get("function", call) if isinstance(call, Mapping) else {}
        arguments = called.get("arguments", "")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False, default=str)
        said.append(f"[calls {called.get('name', 'a tool')}({arguments})]")
    return "\n".join(said)


def check_labels(labels: Mapping[str, str], task: Task) -> None:
    """Raise UserError where a mapping of labels names one that the task does not have."""
    allowed = [*LABELS[task], *([TIE] if task == "pairwise" else [])]
    for own, ours in labels.items():
        if ours not in allowed:
            raise UserError(
                f"label {own}={ours}: the labels of a {task} task are {', '.join(allowed)}"
            )


def read_label(
    where: str, cell: Any, task: Task, labels: Mapping[str, str] | None = None
) -> tuple[str | None, float | None]:
    """Return the gold label and, of an absolute item, the gold score of a cell; both may be None.

    Spellings that can mean one thing only are read (`yes`, `True`, `1`, ` 4 `, `5.00`, `Tie`); a
    mean such as 3.67 is a score without a label. `labels` says what other words mean. Anything else
    is a UserError.
    """
    text = "" if is_missing(cell) else str(cell).strip()
    if not text:
        return None, None
    for own, ours in (labels or {}).items():
        if text.casefold() == own.strip().casefold():
            return ours, None
    if task == "absolute":
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if 1 <= value <= 5 and not isinstance(cell, bool):
            return (str(int(value)), None) if value == int(value) else (None, value)
        allowed = "1 to 5"
    else:
        label = _WORDS[task].get(text.rstrip(".").casefold())
        if label is not None:
            return label, None
        allowed = ", ".join([*LABELS[task], *([TIE] if task == "pairwise" else [])])
    raise UserError(
        f"{where}: label {text[:60]!r} is not one of {allowed}; mend or empty it, "
        f"or say what it means ({text[:30]}={LABELS[task][0]})"
    )
