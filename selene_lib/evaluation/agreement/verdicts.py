"""A judged table as arrays: what the judge said beside what people said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from selene_lib.data.own_rows import OwnRows, read_label
from selene_lib.data.tables import Row, is_missing, iterate_rows
from selene_lib.errors import UserError
from selene_lib.judges.asked import kind_of
from selene_lib.records import LABELS, TIE, Sample, Task, labels_of

NONE = ""  # no label, or a reply without a verdict


@dataclass(frozen=True)
class Verdicts:
    """Items of one task with the judge's verdicts; all arrays are [n_items], in file order.

    `verdict` and `gold` are labels of the task, `""` where there is none. `score` is the gold
    number of an absolute item (a mean of people may be 3.67), NaN elsewhere. `confidence` is the
    probability of the verdict, NaN where the judge gives none. `people` holds the labels of each
    further annotator by name, `subset` what each item is scored apart by.
    """

    task: Task
    samples: tuple[Sample, ...]
    verdict: np.ndarray
    gold: np.ndarray
    score: np.ndarray
    confidence: np.ndarray
    groups: np.ndarray
    people: Mapping[str, np.ndarray] = field(default_factory=dict)
    subset: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the task in their order; `tie` only where one occurs."""
        occurs = TIE in self.verdict or TIE in self.gold
        kind = self.samples[0].kind if self.samples else self.task
        return (*labels_of(kind), *((TIE,) if occurs and self.task == "pairwise" else ()))

    @property
    def probability_of_yes(self) -> np.ndarray:
        """Of Yes/No items, from verdict and confidence; NaN where either is missing."""
        said_yes = np.where(self.verdict == "Yes", self.confidence, 1 - self.confidence)
        return np.where(self.verdict == NONE, np.nan, said_yes)

    def where(self, rows: np.ndarray) -> Verdicts:
        """Return the items of a mask or of indices."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            samples=tuple(self.samples[i] for i in chosen),
            **{name: getattr(self, name)[chosen] for name in _ARRAYS},
            people={name: said[chosen] for name, said in self.people.items()},
            subset=None if self.subset is None else self.subset[chosen],
        )


_ARRAYS = ("verdict", "gold", "score", "confidence", "groups")


def verdicts_of(
    samples: Sequence[Sample],
    verdict: Sequence[str | None],
    confidence: Sequence[float | None] | None = None,
    people: Mapping[str, Sequence[str]] | None = None,
) -> Verdicts:
    """Lay verdicts beside labelled samples of one task, both in the same order."""
    tasks = {sample.task for sample in samples}
    if len(tasks) != 1:
        raise ValueError(f"samples of {len(tasks)} tasks; agreement is of one")
    known = confidence or [None] * len(samples)
    gold = [_rounded(sample) for sample in samples]
    return Verdicts(
        samples[0].task,
        tuple(samples),
        np.array([said or NONE for said in verdict], dtype=object),
        np.array(gold, dtype=object),
        np.array([_score(sample) for sample in samples]),
        np.array([np.nan if c is None else float(c) for c in known]),
        np.array([sample.group or sample.id for sample in samples], dtype=object),
        {name: np.array(said, dtype=object) for name, said in (people or {}).items()},
    )


def _rounded(sample: Sample) -> str:
    """The gold label; a mean such as 3.67 counts as the nearest whole score."""
    if sample.label is None and sample.score is not None:
        return str(int(np.floor(sample.score + 0.5)))
    return sample.label or NONE


def _score(sample: Sample) -> float:
    if sample.task != "absolute":
        return float("nan")
    if sample.score is not None:
        return float(sample.score)
    return float(sample.label) if sample.label else float("nan")


def read_verdicts(
    path: str | Path,
    *,
    task: str | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    people: Sequence[str] = (),
    labelled: bool = True,
    by: str = "",
    scale: str | None = None,
) -> Verdicts:
    """Read a judged table (what `selene judge` wrote, or any with a label and a verdict column).

    `columns` maps `label`, `verdict`, `confidence`, `status`, `group` and the texts to the file's
    own names, `labels` its words to the task's; `people` are columns with the labels of further
    annotators. Without `task` the labels decide; `scale` (`1-10`) is that of scores other than 1
    to 5. Rows without a label are kept: they are what a pass rate is wanted of. Every mistake is a
    one-line UserError with its row.
    """
    path, names = Path(path), dict(columns or {})
    chosen = task or ("absolute" if scale else task_of(path, names, labels or {}))
    scale = kind_of(chosen, scale).partition(" ")[2] or None
    rows = OwnRows(
        path,
        cast(Task, chosen),
        "",
        names,
        labels or {},
        judged=False,
        scale=scale,
        beside=("verdict", "confidence", "status", *people, *([by] if by else [])),
    )
    kind = rows.kind
    samples: list[Sample] = []
    said: list[str | None] = []
    confidence: list[float | None] = []
    subset: list[str] = []
    others: dict[str, list[str]] = {person: [] for person in people}
    for one in rows:
        where = f"{path}, row {one.number}"
        if not samples:
            _check_columns(
                path,
                one.row,
                names,
                [*(["label"] if labelled else []), *people, *([by] if by else [])],
            )
        samples.append(one.sample)
        said.append(_verdict(where, one.row, names, kind, labels or {}))
        subset.append(str(one.row.get(by, "")))
        confidence.append(_confidence(where, one.row.get(names.get("confidence", "confidence"))))
        for person, given in others.items():
            label, score = read_label(where, one.row.get(person), kind, labels)
            given.append(label or ("" if score is None else str(int(score + 0.5))))
    found = verdicts_of(samples, said, confidence, others)
    return replace(found, subset=np.array(subset, dtype=object)) if by else found


def _check_columns(path: Path, row: Row, names: Mapping[str, str], people: Sequence[str]) -> None:
    for name in ("verdict", *people):
        own = names.get(name, name)
        if own not in row:
            there = ", ".join(map(str, row))
            raise UserError(
                f"{path} has no column {own!r} (there are: {there}); "
                f"say which one it is: --column {name}=..."
            )


def _verdict(
    where: str, row: Row, names: Mapping[str, str], task: str, labels: Mapping[str, str]
) -> str | None:
    status = row.get(names.get("status", "status"))
    if not is_missing(status) and str(status).strip() not in ("", "value"):
        return None
    own = names.get("verdict", "verdict")
    label, score = read_label(f"{where}, column {own!r}", row.get(own), task, labels)
    return label if score is None else str(int(score + 0.5))


def _confidence(where: str, cell: Any) -> float | None:
    if is_missing(cell) or not str(cell).strip():
        return None
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"{where}: confidence {cell!r} is no probability; give 0 to 1, or empty it")
    return value


def task_of(path: str | Path, columns: Mapping[str, str], labels: Mapping[str, str]) -> Task:
    """Return the task of a table's labels; a UserError where they could be those of two."""
    column, seen = columns.get("label", "label"), set(labels.values())
    mapped = {own.strip().casefold() for own in labels}
    for _, row in iterate_rows(path):
        cell = row.get(column)
        text = "" if is_missing(cell) else str(cell).strip()
        if text and text.casefold() not in mapped:
            seen.add(text)
    fits = [task for task in LABELS if seen and all(_reads(cell, task) for cell in seen)]
    if "absolute" in fits and "classification" in fits and len(seen) > 1:
        fits.remove("absolute")  # 0 and 1
    if len(fits) != 1:
        some = ", ".join(sorted(seen)[:5]) or "no label at all"
        raise UserError(
            f"{path}: the labels ({some}) do not say which task this is; give --task "
            "absolute, classification or pairwise, or say what they mean (--label good=Yes)"
        )
    return cast(Task, fits[0])


def _reads(cell: str, task: str) -> bool:
    try:
        read_label("", cell, cast(Task, task))
    except UserError:
        return False
    return True
