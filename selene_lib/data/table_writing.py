"""Write a user's rows back in blocks, whole or not at all; what cannot be written is told first."""

from __future__ import annotations

import csv
import datetime
import decimal
import glob
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from selene_lib.data.tables import Row, is_missing
from selene_lib.errors import UserError
from selene_lib.files import atomic_path

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
WRITABLE = (".csv", ".tsv", ".jsonl", ".parquet")
# What a spreadsheet takes for a formula at the beginning of a cell.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MADE_TEXT = (datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)


def write_table(path: str | Path, rows: Sequence[Row]) -> Path:
    """Write rows in the format of the file's ending, atomically.

    Columns in the order in which they first occur.
    """
    path = Path(path)
    shape = TableShape(path)
    shape.see(rows)
    with open_table(path, shape) as table:
        table.write(rows)
    return path


class TableShape:
    """The columns of an output, and for Parquet their types, learned from the rows block by block.

    `see` and `settle` raise a UserError for a value that the format cannot hold, so that it is
    known before anything was paid for. With a `schema` (that of a Parquet input) nothing is
    learned.
    """

    def __init__(self, path: Path, schema: pa.Schema | None = None) -> None:
        self.suffix = path.suffix.lower()
        if self.suffix not in WRITABLE:
            ending = path.suffix or "no ending"
            raise UserError(f"{path}: {ending} is not one of {', '.join(WRITABLE)} for an output")
        self.path, self.schema = path, schema
        self._is_given = schema is not None
        self.names: dict[str, None] = dict.fromkeys(schema.names if schema is not None else ())
        # rows that were seen before the types that they will be written with were known
        self.is_unsettled = False

    def see(self, rows: Sequence[Row]) -> None:
        """Learn from a block of rows."""
        for row in rows:
            self.names.update(dict.fromkeys(row))
            if self.suffix != ".parquet":
                for name, cell in row.items():
                    if isinstance(cell, float) or not isinstance(cell, str | int | None):
                        self._check(name, cell)
        if self.suffix == ".parquet":
            self._learn(rows)

    def settle(self, rows: Iterable[Sequence[Row]]) -> None:
        """Try the types that were learned on all rows, in blocks, where they changed on the way,
        and whether a file can have them.
        """
        if self.suffix != ".parquet" or self.schema is None:
            return
        import pyarrow as pa

        try:
            with ParquetTable(pa.BufferOutputStream(), self.schema):
                pass
            is_nested = any(pa.types.is_nested(kind) for kind in self.schema.types)
            for block in rows if self.is_unsettled or is_nested else ():
                with ParquetTable(pa.BufferOutputStream(), self.schema) as table:
                    table.write(block)
        except _not_arrow() as error:
            raise self._misfit(error) from error

    def add(self, kinds: Mapping[str, type]) -> None:
        """Put columns of text, whole numbers or numbers behind the learned ones."""
        import pyarrow as pa

        arrow = {str: pa.string(), int: pa.int64(), float: pa.float64()}
        self.names.update(dict.fromkeys(kinds))
        if self.suffix == ".parquet" and self.schema is not None:
            for name, kind in kinds.items():
                self.schema = self.schema.append(pa.field(name, arrow[kind]))

    def _check(self, name: str, cell: Any) -> None:
        try:
            _as_json(cell, allow_nan=self.suffix != ".jsonl")
        except TypeError as error:
            raise UserError(
                f"{self.path}: the column {name!r} holds {type(cell).__name__} values, which "
                f"{self.suffix} cannot hold; write .parquet, or leave the column out"
            ) from error
        except ValueError as error:
            raise UserError(
                f"{self.path}: the column {name!r} holds an infinite number, which {self.suffix} "
                "cannot hold; write .csv or .parquet, or empty the cell"
            ) from error

    def _learn(self, rows: Sequence[Row]) -> None:
        import pyarrow as pa

        try:
            if self._is_given:
                _as_arrow(rows, self.schema)
                return
            names = list(self.names)
            whole = [{name: _or_none(row.get(name)) for name in names} for row in rows]
            found = pa_schema(whole, names)
            if self.schema is not None:
                found = pa.unify_schemas([self.schema, found], promote_options="permissive")
                self.is_unsettled = self.is_unsettled or found != self.schema
            pa.Table.from_pylist(whole, schema=found)
        except _not_arrow() as error:
            raise self._misfit(error) from error
        self.schema = found

    def _misfit(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path}: a column mixes kinds of values, or holds one that .parquet cannot hold "
            f"({str(error).splitlines()[0]}); write .jsonl"
        )


def _not_arrow() -> tuple[type[Exception], ...]:
    """What Arrow raises for values that it has no type for."""
    import pyarrow as pa

    return (pa.ArrowException, OverflowError, ValueError, TypeError)


def _as_arrow(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    whole = [{name: _or_none(row.get(name)) for name in schema.names} for row in rows]
    return pa.Table.from_pylist(whole, schema=schema)


def pa_schema(rows: Sequence[Row], names: Sequence[str]) -> pa.Schema:
    """Return the Arrow schema of rows; columns without a value have the type null."""
    import pyarrow as pa

    return pa.schema([(name, pa.array([row[name] for row in rows]).type) for name in names])


def schema_of(source: Path, output: Path) -> pa.Schema | None:
    """The schema of a Parquet file whose rows go into Parquet again, None for other files."""
    if {source.suffix.lower(), output.suffix.lower()} != {".parquet"} or not source.is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(source).remove_metadata()
    except pa.ArrowInvalid as error:
        raise UserError(f"cannot read {source}: {str(error).splitlines()[0]}") from error


def blocks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`, the last one shorter."""
    block: list[T] = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def remove_leftovers(*paths: Path) -> None:
    """Remove what a killed process left of outputs that it was writing; the caller holds a lock."""
    for path in paths:
        path = path.resolve()
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
            left.unlink(missing_ok=True)


class Table(Protocol):
    """An output that takes rows."""

    def write(self, rows: Sequence[Row]) -> None: ...


@contextmanager
def open_table(
    path: Path, shape: TableShape, finish: Callable[[Path], None] | None = None
) -> Iterator[Table]:
    """Open an output for rows of a shape; it stands under its name once the block ends well.

    `finish` is called with the whole file just before it gets its name.
    """
    with atomic_path(path) as temporary:
        with _open_as(temporary, shape) as table:
            yield table
        if finish is not None:
            finish(temporary)


@contextmanager
def open_parquet(path: Path, schema: pa.Schema) -> Iterator[ParquetTable]:
    """Open a Parquet file that can hold notes beside its rows."""
    with atomic_path(path) as temporary, ParquetTable(temporary, schema) as table:
        yield table


@contextmanager
def _open_as(path: Path, shape: TableShape) -> Iterator[Table]:
    if shape.suffix == ".parquet":
        import pyarrow as pa

        schema = shape.schema if shape.schema is not None else pa.schema([])
        with ParquetTable(path, schema) as parquet:
            yield parquet
        return
    with open(path, "w", encoding="utf-8", newline="") as stream:
        if shape.suffix == ".jsonl":
            yield _JsonTable(stream)
        else:
            yield _CsvTable(stream, list(shape.names), "," if shape.suffix == ".csv" else "\t")


class _JsonTable:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            plain = {name: _or_none(cell) for name, cell in row.items()}
            self._stream.write(_as_json(plain) + "\n")


class _CsvTable:
    def __init__(self, stream: Any, names: list[str], delimiter: str) -> None:
        self._names = names
        self._writer = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
        self._writer.writerow(map(csv_cell, names))

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self._writer.writerow([csv_cell(row.get(name)) for name in self._names])


class ParquetTable:
    """A Parquet file that takes rows, and notes about them."""

    def __init__(self, path: Any, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, rows: Sequence[Row]) -> None:
        """Write a block of rows."""
        self._writer.write_table(_as_arrow(rows, self._schema))

    def note(self, notes: Mapping[str, str]) -> None:
        """Put notes into the file's metadata."""
        self._writer.add_key_value_metadata(dict(notes))

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()


def csv_cell(value: Any) -> str:
    """Return a value as the text of a CSV cell.

    Nested values become JSON; text that a spreadsheet would run as a formula gets an apostrophe in
    front (numbers keep their sign).
    """
    if is_missing(value):
        return ""
    if isinstance(value, dict | list | tuple):
        return _as_json(value, allow_nan=True)  # an infinity as Python's JSON reads it
    text = str(value)
    if text.startswith(_FORMULA) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _or_none(cell: Any) -> Any:
    return None if is_missing(cell) else cell


def _as_json(value: Any, *, allow_nan: bool = False) -> str:
    plain = _without_nan(value)
    return json.dumps(plain, ensure_ascii=False, default=_as_text, allow_nan=allow_nan)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return _or_none(value)


def _as_text(value: Any) -> str:
    if isinstance(value, _MADE_TEXT):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def columns_beside(names: Iterable[str], taken: Iterable[str], prefix: str) -> dict[str, str]:
    """Return the name in the output for each added column; a user's column is never written over.

    Without a prefix, `selene_` stands before all of them as soon as one is taken.
    """
    names, taken = list(names), set(taken)
    for tried in [prefix] if prefix else ["", "selene_"]:
        clashes = [name for name in names if f"{tried}{name}" in taken]
        if not clashes:
            return {name: f"{tried}{name}" for name in names}
    raise UserError(
        f"the input has columns of its own called {tried}{clashes[0]}; "
        "choose other names for the added ones with --prefix"
    )
