"""Read the records of a publisher's file one by one.

JSON Lines, JSON arrays, CSV, Parquet, workbooks, also gzipped or in xz. Every reader yields
`(place, record)`, where the place reads `file, row n`; a record that cannot be decoded is yielded
as a `BrokenRow`, so that one bad line costs one line. Memory holds one block or one batch, never
the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from selene_lib.data.spec import BrokenRow
from selene_lib.errors import UserError

BLOCK_CHARACTERS = 1 << 20
BATCH_ROWS = 1024
# not JSON; a number of 5,000 digits; nested too deeply
_NOT_READ = (ValueError, RecursionError)
_ANY_JSON = json.JSONDecoder()
_GAP = re.compile(r"[\s,]*")


def read_records(
    path: Path, name: str | None = None, decoder: json.JSONDecoder = _ANY_JSON
) -> Iterator[tuple[str, Any]]:
    """Yield `(place, record)` for every record of a file.

    The format comes from the name, and for `.json` from the content. `decoder` reads JSON, and may
    refuse more than is no JSON.
    """
    name = name or path.name
    suffix = Path(path.name.removesuffix(".gz").removesuffix(".xz")).suffix.lower()
    if suffix == ".parquet":
        yield from _read_parquet(path, name)
    elif suffix in (".jsonl", ".json"):
        with _open_text(path) as stream:
            yield from _read_json(stream, name, decoder)
    elif suffix in (".csv", ".tsv"):
        with _open_text(path) as stream:
            yield from _read_csv(stream, name, "\t" if suffix == ".tsv" else ",")
    else:
        raise UserError(
            f"{path}: no reader for {suffix or 'a file without suffix'}; "
            "known are .jsonl, .json, .csv, .tsv (also .gz and .xz), .parquet"
        )


def index_by(path: Path, column: str, name: str | None = None) -> dict[Any, dict[str, Any]]:
    """Return the records of a file by the value of a column, for joins.

    A record without it is a ValueError that names the place.
    """
    found: dict[Any, dict[str, Any]] = {}
    for place, record in read_records(path, name):
        if isinstance(record, BrokenRow):
            raise record
        if not isinstance(record, dict) or record.get(column) is None:
            raise BrokenRow(place, column, "a value to join on", record)
        found[record[column]] = record
    return found


def _open_text(path: Path) -> TextIO:
    """Open a text file, packed (.gz, .xz) or not, as UTF-8.

    A byte-order mark is skipped, line ends are left alone.
    """
    if path.name.endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    if path.name.endswith(".xz"):
        return io.TextIOWrapper(lzma.open(path, "rb"), encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _read_json(stream: TextIO, name: str, decoder: json.JSONDecoder) -> Iterator[tuple[str, Any]]:
    """Read JSON: lines, one array, or one value over several lines.

    The first characters tell, whatever the suffix says.
    """
    head = stream.readline(BLOCK_CHARACTERS)  # an array may be one line of a gigabyte
    while head and not head.strip():
        head = stream.readline(BLOCK_CHARACTERS)
    if not head:
        return
    if head.lstrip()[:1] == "[":
        yield from _read_array(head, stream, name, decoder)
        return
    if not head.endswith("\n"):
        head += stream.readline()
    if _is_json(head) or _is_json(_peek(stream)):
        yield from _read_lines(head, stream, name, decoder)
    else:
        yield from _read_whole(head, stream, name, decoder)


def _peek(stream: TextIO) -> str:
    position = stream.tell()
    line = stream.readline()
    stream.seek(position)
    return line


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except _NOT_READ:
        return False


def _read_lines(
    head: str, stream: TextIO, name: str, decoder: json.JSONDecoder
) -> Iterator[tuple[str, Any]]:
    line, number = head, 0
    while line:
        if line.strip():
            number += 1
            place = f"{name}, row {number}"
            try:
                yield place, decoder.decode(line)
            except _NOT_READ as error:
                expected = f"JSON ({_said(error)})"
                yield place, BrokenRow(place, "(whole row)", expected, line)
        line = stream.readline()


def _read_whole(
    head: str, stream: TextIO, name: str, decoder: json.JSONDecoder
) -> Iterator[tuple[str, Any]]:
    place = f"{name}, row 1"
    text = head + stream.read()
    try:
        yield place, decoder.decode(text)
    except _NOT_READ as error:
        yield place, BrokenRow(place, "(whole file)", f"JSON ({error})", text[:200])


def _read_array(
    head: str, stream: TextIO, name: str, decoder: json.JSONDecoder
) -> Iterator[tuple[str, Any]]:
    """Members of one JSON array, decoded block by block.

    What follows a broken member cannot be found again: the rest is one broken row, and so is what
    follows the array.
    """
    buffer, position, number = head.lstrip()[1:], 0, 0
    while True:
        gap = _GAP.match(buffer, position)
        position = gap.end() if gap else position
        place = f"{name}, row {number + 1}"
        if buffer[position : position + 1] == "]":
            behind = _next_text(buffer[position + 1 :], stream)
            if behind:
                yield place, BrokenRow(place, "(whole row)", "nothing behind the array", behind)
            return
        try:
            record, end = decoder.raw_decode(buffer, position)
            if end == len(buffer) and not isinstance(record, (dict, list, str)):
                raise json.JSONDecodeError("the file ends inside the array", buffer, end)
        except json.JSONDecodeError as error:
            buffer, position = buffer[position:], 0
            more = stream.read(max(BLOCK_CHARACTERS, len(buffer)))
            if not more:
                yield place, BrokenRow(place, "(whole row)", f"JSON ({error.msg})", buffer[:200])
                return
            buffer += more
            continue
        except _NOT_READ as error:
            yield place, BrokenRow(place, "(whole row)", f"JSON ({_said(error)})", buffer[:200])
            return
        number, position = number + 1, end
        yield place, record


def _next_text(text: str, stream: TextIO) -> str:
    """The beginning of what is left to read, empty where it is only blank."""
    while not text.strip():
        text = stream.read(BLOCK_CHARACTERS)
        if not text:
            return ""
    return text.strip()[:200]


def _said(error: Exception) -> str:
    """What is wrong with a text that is no JSON, and where."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error)


def _read_csv(stream: TextIO, name: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    """Records of a table with a header; cells over several lines and cells of any length are read.

    A short or long row is broken.
    """
    csv.field_size_limit(1 << 30)
    rows = csv.reader(stream, delimiter=delimiter)
    header = next(rows, [])
    for number, cells in enumerate(rows, 1):
        place = f"{name}, row {number}"
        if len(cells) == len(header):
            yield place, dict(zip(header, cells))
        elif cells:
            yield place, BrokenRow(place, "(whole row)", f"{len(header)} cells", cells)


def read_grid(path: Path) -> list[list[str]]:
    """Return all cells of a CSV file that has no header line, for sheets that run sideways."""
    with _open_text(path) as stream:
        return list(csv.reader(stream))


def _read_parquet(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    import pyarrow.parquet as pq

    number = 0
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(BATCH_ROWS):
            for record in batch.to_pylist():
                number += 1
                yield f"{name}, row {number}", record


def read_sheets(path: Path) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield `(sheet name, rows of cell values)` of a workbook; empty rows are left out."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            rows = []
            for row in sheet.iter_rows(values_only=True):
                if any(cell is not None for cell in row):
                    rows.append(row)
            yield sheet.title, rows
    finally:
        book.close()
