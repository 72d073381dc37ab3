"""What is declared of a data set.

Where it lies, what its rows look like, what its label means, and how we know. A set is one file
with one `DataSpec` and one function that turns a `Row` into samples. A row that cannot be read
raises `BrokenRow` (quarantined, counted, at most 1 % of a set); a row that is left out on purpose
raises `DropRow` (counted under its reason).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from selene_lib.errors import shown
from selene_lib.records import Sample, Task, stable_id, unit_hash

Role = Literal[
    "source", "benchmark", "domain", "component", "extra", "after", "reference", "shifted"
]
ShapeKnownFrom = Literal["real rows", "dataset card", "public code", "assumed"]
Training = Literal["yes", "non-commercial", "not stated", "no"]

HUB_FILES = ("**/*.parquet | **/*.jsonl | **/*.jsonl.gz | **/*.json | **/*.csv",)


class BrokenRow(ValueError):
    """A row that is not of the publisher's shape: which column, what was expected and found.

    One that `is_beside` is of a table that is only joined to the rows: counted as broken, not as
    read.
    """

    is_beside = False

    def __init__(self, where: str, column: str, expected: str, found: object):
        self.where, self.column, self.expected, self.found = where, column, expected, shown(found)
        super().__init__(f"{where}, column {column!r}: expected {expected}, found {self.found}")

    def beside(self) -> BrokenRow:
        """Mark the row as one of a joined table, and return it."""
        self.is_beside = True
        return self


# what code that takes a row for one of the publisher's shape raises where it is of another
ROW_FAULTS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def broken_by(error: Exception, place: str, record: object) -> BrokenRow:
    """Return the row as a broken one, by what was raised on it (one of `ROW_FAULTS`)."""
    if isinstance(error, BrokenRow):
        return error
    if isinstance(error, ValueError):
        return BrokenRow(place, "(sample)", str(error), record)
    kind = f"values of the kinds that make one ({type(error).__name__}: {error})"
    return BrokenRow(place, "(sample)", kind, record)


class DropRow(Exception):
    """A sound row that the set leaves out on purpose.

    The message is the reason it is counted under.
    """


def row_or_broken(place: str, record: Any, make: Callable[[Any], Any]) -> Any:
    """Return the row that `make` makes of a record, or the broken one that it is; for `rows`."""
    try:
        return make(record)
    except ROW_FAULTS as error:
        return broken_by(error, place, record)


@dataclass(frozen=True)
class Row:
    """One record of a publisher's file with the place it came from.

    The accessors check the kind and name the column when it is wrong. A column may be dotted
    (`score_rubric.criteria`) to reach into nested records.
    """

    values: Mapping[str, Any]
    spec: DataSpec
    where: str
    seed: int = 0

    def has(self, column: str) -> bool:
        return _is_there(self._find(column))

    def broken(self, column: str, expected: str, found: object) -> BrokenRow:
        return BrokenRow(self.where, column, expected, found)

    def get(self, column: str, expected: str = "a value") -> Any:
        """Return what stands in `column`; absent, null and NaN are broken."""
        value = self._find(column)
        if not _is_there(value):
            raise self.broken(column, expected, "nothing" if value is _ABSENT else value)
        return value

    def text(self, column: str, *, may_be_empty: bool = False) -> str:
        """Return a string; one of only white space counts as missing unless `may_be_empty`."""
        value = self.get(column, "text")
        if not isinstance(value, str) or not (may_be_empty or value.strip()):
            raise self.broken(column, "text", value)
        return value

    def text_or_none(self, column: str) -> str | None:
        """Return a string, or None where the column is absent, null, NaN or blank."""
        value = self._find(column)
        if not _is_there(value):
            return None
        if not isinstance(value, str):
            raise self.broken(column, "text or null", value)
        return value if value.strip() else None

    def number(self, column: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a finite number within [low, high].

        Numbers in quotes are read, booleans are not numbers.
        """
        value = self.get(column, "a number")
        number = math.nan
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if is_number or (isinstance(value, str) and "_" not in value):  # Python reads 1_0 as 10
            with contextlib.suppress(ValueError, OverflowError):  # 400 digits are too many
                number = float(value)
        if not low <= number <= high or not math.isfinite(number):
            bounds = "" if low == -math.inf and high == math.inf else f" in {low:g}..{high:g}"
            raise self.broken(column, f"a number{bounds}", value)
        return number

    def choice(self, column: str, mapping: Mapping[Any, Any]) -> Any:
        """Return what `mapping` has for the value.

        This is the one visible place where a set's labels are mapped.
        """
        value = self.get(column, f"one of {_names(mapping)}")
        for key, meaning in mapping.items():
            # True equals 1 in Python, not in a publisher's file.
            if key == value and isinstance(key, bool) == isinstance(value, bool):
                return meaning
        raise self.broken(column, f"one of {_names(mapping)}", value)

    def choice_of(self, column: str, key: str) -> Any:
        """Return what the record in `column` has under `key`: the rubric of a named skill, say."""
        options = self.record(column).values
        if key not in options:
            raise self.broken(column, f"one of {_names(options)}", key)
        return options[key]

    def items(
        self, column: str, kind: type | tuple[type, ...] = str, *, n: int | None = None
    ) -> list[Any]:
        """Return a list whose members are all of `kind` (and `n` of them, if given)."""
        value = self.get(column, "a list")
        is_list = isinstance(value, list | tuple)
        is_right = is_list and all(isinstance(item, kind) for item in value)
        if not is_right or n not in (None, len(value)):
            name = getattr(kind, "__name__", "values")
            raise self.broken(column, f"a list of {'' if n is None else f'{n} '}{name}", value)
        return list(value)

    def record(self, column: str) -> Row:
        """Return a nested record as a row of its own."""
        value = self.get(column, "a record")
        if not isinstance(value, Mapping):
            raise self.broken(column, "a record", value)
        return Row(value, self.spec, f"{self.where}, {column}", self.seed)

    def records(self, column: str) -> list[Row]:
        """Return a list of nested records as rows of their own."""
        found = []
        for i, value in enumerate(self.items(column, dict)):
            found.append(Row(value, self.spec, f"{self.where}, {column}[{i}]", self.seed))
        return found

    def sample(
        self,
        task: Task,
        instruction: str,
        response: str,
        *,
        response_b: str | None = None,
        rubric: str = "",
        reference: str | None = None,
        label: str | None = None,
        score: float | None = None,
        key: tuple[Any, ...] = (),
        group: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Sample:
        """Build a sample of this set.

        Its id is a hash of its texts (and `key`), its group one of the instruction (or of `group`).
        """
        texts = (instruction, response, response_b or "", rubric)
        return Sample(
            id=stable_id(self.spec.name, task, *texts, *key),
            source=self.spec.name,
            task=task,
            instruction=instruction,
            response=response,
            response_b=response_b,
            rubric=rubric,
            reference=reference,
            label=label,
            score=score,
            licence=self.spec.licence,
            group=stable_id("prompt", instruction if group is None else group),
            meta=meta or {},
        )

    def pair(
        self,
        instruction: str,
        better: str,
        worse: str,
        *,
        models: tuple[str, str] | None = None,
        rubric: str = "",
        key: tuple[Any, ...] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Sample:
        """Build a pairwise sample from (better, worse).

        Which stands first is a hash of (seed, id), never a global random state. `models` names who
        wrote (better, worse); it is kept in `meta["models"]` in the order of the responses.
        """
        sample = self.sample(
            "pairwise",
            instruction,
            better,
            response_b=worse,
            rubric=rubric,
            label="A",
            key=key,
            meta=meta,
        )
        is_swapped = unit_hash(self.seed, sample.id, "position") < 0.5
        if models is not None:
            shown = list(reversed(models)) if is_swapped else list(models)
            sample = replace(sample, meta={**sample.meta, "models": shown})
        return sample.swap() if is_swapped else sample

    def _find(self, column: str) -> Any:
        if column in self.values:
            return self.values[column]
        head, _, tail = column.partition(".")
        inner = self.values.get(head)
        if not tail or not isinstance(inner, Mapping):
            return _ABSENT
        return Row(inner, self.spec, self.where, self.seed)._find(tail)


Samples = Sample | Iterable[Sample | DropRow]
ReadFolder = Callable[[Path, "DataSpec"], Iterator[tuple[str, Any]]]


@dataclass(frozen=True)
class DataSpec:
    """The declaration of one data set.

    `files` are patterns below `<data_dir>/<folder or name>`; all are needed; in one entry,
    alternatives stand apart by ` | ` and the first that matches is read; an alternative may be
    several patterns, apart by ` + `, of which all matches are read. `columns` are the fields a
    row must have, with the kind in words. `n_rows` counts known files one by one, `published_n` the
    rows of the whole set as published: either differing from what is read is an error that names
    both; `expected_n` holds counts of single files that we know second hand: the listing compares
    with them and nothing stops. `rows` reads the folder where a row is not simply one record of one
    file. `hub_config` and `hub_split` go to `datasets`; `hub_revision` is set only where the
    published numbers belong to one revision, which is then read and never the newest; with
    `hub_files` those files of the hub repository are fetched instead and read as local files are. A
    set whose task is `votes`, `models` or `counts` is a table of plain rows: its `to_samples`
    checks a row and makes none. `stand_in` marks our choice for the sixteen unpublished sources;
    `training` says whether the licence allows training on the set.
    """

    name: str
    role: Role
    task: Task | Literal["votes", "models", "counts"]
    title: str
    licence: str
    label: str
    columns: Mapping[str, str]
    to_samples: Callable[[Row], Samples]
    shape_known_from: ShapeKnownFrom
    files: tuple[str, ...] = HUB_FILES
    hub_id: str | None = None
    hub_config: str | None = None
    hub_split: str = "train"
    hub_revision: str | None = None
    hub_files: tuple[str, ...] = ()
    hub_shape_known_from: ShapeKnownFrom | None = None
    repository: str | None = None
    repository_path: str = ""
    repository_commit: str | None = None
    published_n: int | None = None
    n_rows: Mapping[str, int] = field(default_factory=dict)
    expected_n: Mapping[str, int] = field(default_factory=dict)
    gated: bool = False
    training: Training = "no"
    stand_in: bool = False
    folder: str = ""
    notes: str = ""
    rows: ReadFolder | None = None


def specs_by_name(*modules: Any) -> dict[str, DataSpec]:
    """Return the `SPEC` of each module, by the set's name."""
    return {module.SPEC.name: module.SPEC for module in modules}


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_ABSENT = _Absent()


def _is_there(value: Any) -> bool:
    if value is _ABSENT or value is None:
        return False
    return not (isinstance(value, float) and math.isnan(value))


def _names(mapping: Mapping[Any, Any]) -> str:
    return ", ".join(repr(key) for key in mapping)
