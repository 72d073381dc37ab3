"""A user's tables: rows from CSV, TSV, JSON Lines, JSON, Parquet or a workbook, one by one.

Nothing is guessed that could be wrong: an unclosed quote, a column that stands twice, a row of
another length or text that is not UTF-8 is a UserError with the row and the remedy. Rows without
any content are left out (the numbers of the others stay those of the file).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from selene_lib.data.readers import (
    distinct_names,
    iterate_cells,
    read_records,
    where_not_utf8,
)
from selene_lib.data.spec import BrokenRow
from selene_lib.data.workbooks import read_sheets
from selene_lib.errors import UserError
from selene_lib.files.yaml_text import distinct_keys

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
READABLE = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx")
_DELIMITERS = {";": "semicolons", "\t": "tabs"}
# what writes a row again goes down into it, and Python by some hundred steps at most
_MOST_LEVELS = 100


def read_table(path: str | Path) -> list[Row]:
    """Return all rows with content; see `iterate_rows`."""
    return [row for _, row in iterate_rows(path)]


def iterate_rows(path: str | Path) -> Iterator[tuple[int, Row]]:
    """Yield `(number, row)`, numbered from 1 as in the file.

    A missing, empty or unreadable file, or one of an unknown kind, is a UserError that names it.
    """
    path = Path(path)
    _check(path)
    n_rows = 0
    try:
        for number, row in _READERS[path.suffix.lower()](path):
            if any(not is_missing(cell) and str(cell).strip() for cell in row.values()):
                n_rows += 1
                yield number, row
    except UnicodeDecodeError as error:
        raise UserError(f"{path}{where_not_utf8(path)}") from error
    except UserError:
        raise
    except (ValueError, OSError) as error:
        raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if not n_rows:
        raise UserError(f"{path} is empty: it holds no rows to judge")


def is_missing(cell: Any) -> bool:
    """Whether a cell holds no value: None, or the NaN that tables write for it."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _check(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the file with the rows to judge")
    if not path.is_file():
        raise UserError(f"no file {path}")
    if path.suffix.lower() not in READABLE:
        ending = path.suffix or "no ending"
        raise UserError(f"{path}: {ending} is not one of {', '.join(READABLE)}")


def _read_csv(path: Path) -> Iterator[tuple[int, Row]]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        names: list[str] = []
        for number, line, cells in iterate_cells(stream, path, _delimiter(path, stream)):
            if not number:
                names = distinct_names(path, cells)
            else:
                check_length(path, number, line, cells, names)
                yield number, dict(zip(names, cells, strict=True))


def _delimiter(path: Path, stream: TextIO) -> str:
    """The character between cells: a comma, or what the header shows where it has no comma."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = stream.readline()
    stream.seek(0)
    if "," not in header:
        for delimiter in _DELIMITERS:
            if delimiter in header:
                return delimiter
    return ","


def check_length(path: Path, number: int, line: int, cells: list[str], names: list[str]) -> None:
    """Raise a UserError for a row of more or fewer cells than the header has names."""
    if len(cells) != len(names):
        more = "more" if len(cells) > len(names) else "fewer"
        raise UserError(
            f"{path}, row {number} (line {line}) has {more} fields than the header "
            f"({len(cells)}, not {len(names)}); quote cells that hold the delimiter or a line break"
        )


def _read_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    with open(path, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _object(path, number, line)


def _object(path: Path, number: int, line: str) -> Row:
    try:
        row = decode_strictly(line)
    except json.JSONDecodeError as error:
        raise UserError(f"cannot read {path}: line {number}: not JSON ({error})") from error
    except ValueError as error:
        raise UserError(f"{path}, row {number}: {error}") from error
    except RecursionError as error:
        raise UserError(f"{path}, row {number}: nested too deeply to be read") from error
    if not isinstance(row, dict):
        raise UserError(f"{path}, row {number}: not an object with named fields")
    if "\\ud" in line or "\\uD" in line:
        _check_pairs(path, number, row)
    _check_levels(path, number, row)
    return row


def _constant(name: str) -> None:
    """NaN is how some writers say "no value"; an infinity is a value that JSON does not have."""
    if name != "NaN":
        raise ValueError(f"{name} is not JSON; write a number or null")


STRICT_JSON = json.JSONDecoder(object_pairs_hook=distinct_keys, parse_constant=_constant)


def decode_strictly(text: str) -> Any:
    """Return the value of a JSON text; a ValueError for a field that stands twice in an object, and
    for an infinity. NaN is no value.
    """
    return STRICT_JSON.decode(text)


def _check_levels(path: Path, number: int, row: Row) -> None:
    if any(_is_deeper(cell, _MOST_LEVELS) for cell in row.values()):
        raise UserError(
            f"{path}, row {number}: nested too deeply to be read (over {_MOST_LEVELS} levels); "
            "write what is nested as a text, or leave the column out"
        )


def _is_deeper(value: Any, n_levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return n_levels == 0 or any(_is_deeper(one, n_levels - 1) for one in inside)


def _check_pairs(path: Path, number: int, row: Row) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{path}, row {number}: half of a surrogate pair (\\ud800 to \\udfff) is no character; "
            "remove it, or write the pair whole"
        ) from error


def _read_json(path: Path) -> Iterator[tuple[int, Row]]:
    for number, (_, record) in enumerate(read_records(path, decoder=STRICT_JSON), 1):
        if isinstance(record, BrokenRow):
            raise UserError(f"cannot read {path}: {record}; mend it, or write one JSON array")
        if not isinstance(record, dict):
            raise UserError(f"{path}, row {number}: not an object with named fields")
        _check_levels(path, number, record)
        _check_pairs(path, number, record)
        yield number, record


def _read_parquet(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow.parquet as pq

    number = 0
    with pq.ParquetFile(path) as table:
        distinct_names(path, table.schema_arrow.names)
        for batch in table.iter_batches(4096):
            for row in _rows_of(path, batch):
                number += 1
                yield number, row


def _rows_of(path: Path, batch: pa.RecordBatch) -> list[Row]:
    try:
        rows: list[Row] = batch.to_pylist()
    except (OverflowError, ValueError, NotImplementedError):
        for name, column in zip(batch.schema.names, batch.columns):
            try:
                column.to_pylist()
            except (OverflowError, ValueError, NotImplementedError) as error:
                raise UserError(
                    f"{path}: the column {name!r} holds {column.type} values that cannot be read "
                    f"({str(error).splitlines()[0]}), such as a date beyond the year 9999; mend "
                    "them, or leave the column out"
                ) from error
        raise
    return rows


def _read_workbook(path: Path) -> Iterator[tuple[int, Row]]:
    sheets = [(title, rows) for title, rows in read_sheets(path) if rows]
    if len(sheets) > 1:
        titles = ", ".join(title for title, _ in sheets)
        raise UserError(f"{path} has {len(sheets)} sheets ({titles}); save the one to judge alone")
    for _, rows in sheets:
        names = distinct_names(path, ["" if cell is None else str(cell) for cell in rows[0]])
        for number, cells in enumerate(rows[1:], 1):
            yield number, dict(zip(names, cells, strict=True))


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".xlsx": _read_workbook,
}
