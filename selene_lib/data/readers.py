"""Read the records of a publisher's file one by one.

JSON Lines, JSON arrays, CSV, Parquet, also gzipped or in xz (workbooks: `workbooks.py`). Every
reader yields `(place, record)`, where the place reads `file, row n`; a record that cannot be
decoded is yielded as a `BrokenRow`, so that one bad line costs one line. A file that is damaged as
a whole (cut off, not UTF-8, a quote that is not closed) is a UserError that names it. Memory holds
one block or one batch, never the file.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

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
        with _open_text(path, errors="surrogateescape") as stream:
            yield from _read_json(stream, name, decoder)
    elif suffix in (".csv", ".tsv"):
        with _open_text(path) as stream:
            yield from _read_csv(stream, path, name, "\t" if suffix == ".tsv" else ",")
    else:
        raise UserError(
            f"{path}: no reader for {suffix or 'a file without suffix'}; "
            "known are .jsonl, .json, .csv, .tsv (also .gz and .xz), .parquet"
        )


class Index(dict[Any, dict[str, Any]]):
    """The records of a file by the value of a column.

    `broken` are those that have none, for `read_rows` to yield: they are counted as broken, not as
    read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[tuple[str, BrokenRow]] = []

    def find(self, key: Any) -> dict[str, Any] | None:
        """Return the record of a key, None where there is none or the key can be none."""
        return self.get(key) if is_key(key) else None


def is_key(value: Any) -> bool:
    """Whether rows can be joined on a value: a text or a number, not null, a list or a record."""
    return isinstance(value, str | int | float)


def index_by(path: Path, column: str, name: str | None = None) -> Index:
    """Return the records of a file by the value of a column, for joins."""
    found = Index()
    for place, record in read_records(path, name):
        if isinstance(record, BrokenRow):
            broken = record
        elif isinstance(record, dict) and is_key(record.get(column)):
            found[record[column]] = record
            continue
        else:
            broken = BrokenRow(place, column, "a value to join on", record)
        found.broken.append((place, broken.beside()))
    return found


@contextmanager
def _open_text(path: Path, errors: str = "strict") -> Iterator[TextIO]:
    """Open a text file, packed (.gz, .xz) or not, as UTF-8.

    A byte-order mark is skipped, line ends are left alone. What cannot be unpacked or decoded while
    the file is open is a UserError.
    """
    try:
        try:
            with _open_bytes(path) as stream:
                yield io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline="")
        except UnicodeDecodeError as error:  # to find the place is to unpack the file again
            raise UserError(f"{path}{where_not_utf8(path)}") from error
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"cannot read {path} ({error.strerror})") from error
        raise UserError(
            f"cannot read {path} ({error}): it is cut off, damaged or not what its name says; "
            "fetch or pack it again"
        ) from error


def _open_bytes(path: Path) -> BinaryIO:
    if path.name.endswith(".gz"):
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.name.endswith(".xz"):
        return cast(BinaryIO, lzma.open(path, "rb"))
    return open(path, "rb")


def where_not_utf8(path: Path) -> str:
    """Where the first bytes stand that are not UTF-8, for the end of a sentence about the file."""
    with _open_bytes(path) as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            return " is UTF-16, not UTF-8 text; save it as UTF-8"
        stream.seek(0)
        for number, line in enumerate(stream, 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = f"0x{line[error.start]:02x}"
                return (
                    f", line {number} is not UTF-8 text (byte {byte}; perhaps Latin-1 or "
                    "Windows-1252); save it as UTF-8"
                )
    return " is not UTF-8 text; save it as UTF-8"


def _read_json(stream: TextIO, name: str, decoder: json.JSONDecoder) -> Iterator[tuple[str, Any]]:
    """Read JSON: lines, one array, or one value over several lines.

    The first characters tell, whatever the suffix says.
    """
    head = stream.readline(BLOCK_CHARACTERS)  # an array may be one line of a gigabyte
    while head and not head.strip():
        head = stream.readline(BLOCK_CHARACTERS)
    if not head:
        return
    if head.lstrip()[:1] == "[" and not _is_line_of_its_own(head, stream):
        yield from _read_array(head, stream, name, decoder)
        return
    if not head.endswith("\n"):
        head += stream.readline()
    if _is_json(head) or _is_json(_peek(stream)):
        yield from _read_lines(head, stream, name, decoder)
    else:
        yield from _read_whole(head, stream, name, decoder)


def _is_line_of_its_own(head: str, stream: TextIO) -> bool:
    """Whether a whole list stands before lines of records: one damaged row, and no array of all."""
    if not head.endswith("\n") or not _peek(stream).lstrip().startswith("{"):
        return False
    try:
        return isinstance(json.loads(head), list)
    except _NOT_READ:
        return False


def _is_utf8(text: str) -> bool:
    """Whether a text was UTF-8: a byte that was not is half of a surrogate pair now."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _utf8(text: str) -> str:
    """Return the text; raise as a strict stream does where it was not UTF-8."""
    return text if _is_utf8(text) else text.encode(errors="surrogateescape").decode()


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
            if not _is_utf8(line):
                yield place, BrokenRow(place, "(whole row)", "UTF-8 text; save it as UTF-8", line)
                line = stream.readline()
                continue
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
    text = _utf8(head + stream.read())
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
    buffer, position, number = _utf8(head).lstrip()[1:], 0, 0
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
            more = _utf8(stream.read(max(BLOCK_CHARACTERS, len(buffer))))
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


def _read_csv(stream: TextIO, path: Path, name: str, delimiter: str) -> Iterator[tuple[str, Any]]:
    """Records of a table with a header; cells over several lines and cells of any length are read.

    A short or long row is broken.
    """
    header: list[str] = []
    for number, _, cells in iterate_cells(stream, path, delimiter):
        place = f"{name}, row {number}"
        if not number:
            header = distinct_names(path, cells)
        elif len(cells) == len(header):
            yield place, dict(zip(header, cells))
        else:
            yield place, BrokenRow(place, "(whole row)", f"{len(header)} cells", cells)


def iterate_cells(
    stream: TextIO, path: Path, delimiter: str = ","
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield `(row, first line, cells)` of a CSV text; the header is row 0, empty lines are none.

    A quote that is not closed, or has text behind it, is a UserError: where the row ends is then a
    guess.
    """
    csv.field_size_limit(1 << 30)
    rows = csv.reader(stream, delimiter=delimiter, strict=True)
    number, line = 0, 1
    while True:
        try:
            cells = next(rows, None)
        except csv.Error as error:
            where = f"row {number}" if number else "the header"
            raise UserError(
                f"{path}, {where} (line {line}): a quote is opened and not closed, or has text "
                f"behind it ({error}); quote the whole cell and double the quotes inside it"
            ) from error
        if cells is None:
            return
        if not number and any("\0" in cell for cell in cells):
            raise UserError(f"{path} holds NULs, as UTF-16 does; save it as UTF-8")
        if cells:
            yield number, line, cells
        number, line = number + bool(cells), rows.line_num + 1


def distinct_names(path: Path, names: list[str]) -> list[str]:
    """Return the names of columns; a UserError where one stands twice."""
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UserError(f"{path}: the column {name!r} stands twice; rename one")
    return names


def read_grid(path: Path) -> list[list[str]]:
    """Return all cells of a CSV file that has no header line, for sheets that run sideways."""
    with _open_text(path) as stream:
        return [cells for _, _, cells in iterate_cells(stream, path)]


def _read_parquet(path: Path, name: str) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            distinct_names(path, table.schema_arrow.names)
            for batch in table.iter_batches(BATCH_ROWS):
                for record in batch.to_pylist():
                    number += 1
                    yield f"{name}, row {number}", record
    except UserError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, NotImplementedError) as error:
        why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(
            f"cannot read {path} as Parquet after row {number} ({why}): it is cut off or damaged; "
            "fetch or write it again"
        ) from error
