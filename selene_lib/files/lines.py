"""JSON Lines: whole files, and append-only stores whose every line proves itself.

What arrives one by one and was paid for is appended line by line. Each line ends in a checksum over
itself, so that a flipped bit is found and named, and never read as another verdict.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selene_lib.errors import UserError
from selene_lib.files.outputs import check_regular
from selene_lib.files.whole import as_dict, atomic_path, from_dict, write_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
# How a line of an append-only store ends: a checksum over everything before it.
_SEAL = b"line_blake2b"
_SEALED = re.compile(rb', "%s": "([0-9a-f]{16})"\}$' % _SEAL)
_SEAL_WIDTH = 64


def append_jsonl(path: str | os.PathLike, records: Iterable[Any]) -> int:
    """Append records (dataclasses or dicts) as sealed lines and fsync; return how many.

    A line half-written by a killed process is closed off first, so that it costs that one line and
    not the next.
    """
    rows = list(records)
    with LineAppender(path) as lines:
        lines.write(rows)
    return len(rows)


class LineAppender:
    """Appends records to a JSON Lines store, each line sealed with a checksum over it.

    When `write` returns, the lines are with the operating system: a killed process loses none of
    them. They are forced onto the disk at most `SYNC_SECONDS` later, and by `sync` and `close`, so
    that a thousand small replies a second cost two fsyncs and not a thousand.
    """

    SYNC_SECONDS = 0.5

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        check_regular(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = open(self.path, "ab+", buffering=0)  # noqa: SIM115 (closed by `close`)
        self._end = self._stream.seek(0, os.SEEK_END)
        self._synced_at, self._is_dirty = time.monotonic(), False
        if self._end and not _ends_in_newline(self._stream):
            self._put(b"\n")

    def write(self, records: Iterable[Any]) -> list[int]:
        """Append records; return where each line begins, in bytes.

        What does not fit on the disk is taken back whole and is a UserError.
        """
        lines = [sealed_line(record) for record in records]
        begin = self._end
        self._put(b"".join(lines))
        if time.monotonic() - self._synced_at > self.SYNC_SECONDS:
            self.sync()
        starts = []
        for line in lines:
            starts.append(begin)
            begin += len(line)
        return starts

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._stream.write(rest) :]
        except OSError as error:
            self._stream.truncate(self._end)
            raise UserError(
                f"cannot write {self.path} ({error.strerror}); make room and run again: "
                "what stands there already is kept"
            ) from error
        self._end += len(data)
        self._is_dirty = True

    def sync(self) -> None:
        """Force everything written so far onto the disk."""
        if self._is_dirty:
            os.fsync(self._stream.fileno())
        self._synced_at, self._is_dirty = time.monotonic(), False

    def close(self) -> None:
        """Sync and close; a second call does nothing."""
        if not self._stream.closed:
            self.sync()
            self._stream.close()

    def __enter__(self) -> LineAppender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ends_in_newline(stream: typing.BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def sealed_line(record: Any) -> bytes:
    """Return a record as one JSON line that ends in a checksum over all before it."""
    text = _json_line(record)
    try:
        body = text.encode()[:-2]
    except UnicodeEncodeError:  # half a surrogate pair has no UTF-8, but an escape
        body = json.dumps(as_dict(record), sort_keys=True).encode()[:-1]
    if body == b"{":
        raise ValueError("a record without fields cannot be stored")
    return body + b', "%s": "%s"}\n' % (_SEAL, _checksum(body))


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()


def write_jsonl(path: str | os.PathLike, records: Iterable[Any]) -> Path:
    """Write a whole JSON Lines file at once, atomically."""
    return write_text(path, "".join(_json_line(record) for record in records))


def _json_line(record: Any) -> str:
    return json.dumps(as_dict(record), ensure_ascii=False, sort_keys=True) + "\n"


@dataclass(frozen=True)
class StoredLine:
    """One line of a JSON Lines file as it was found.

    `begin` is its place in bytes. `fault` is empty for a good line; else `row` is None. `is_half`
    marks what a killed writer leaves: it was never acknowledged, so it is no damage.
    """

    number: int
    begin: int
    raw: bytes
    row: dict[str, Any] | None
    fault: str = ""
    is_half: bool = False


def scan_jsonl(path: str | os.PathLike) -> Iterator[StoredLine]:
    """Yield every line of a JSON Lines store, in order; blank ones are left out.

    A line is at fault that is not UTF-8, not a JSON object, whose checksum does not fit, or that
    has none although a line before it has one (stores of older versions have none at all).
    """
    begin, is_sealed = 0, False
    with open(path, "rb") as stream:
        for number, raw in enumerate(stream, 1):
            if raw.strip():
                line = _stored_line(number, begin, raw, is_sealed)
                is_sealed = is_sealed or (not line.fault and _sealed(raw.rstrip()) is not None)
                yield line
            begin += len(raw)


def _stored_line(number: int, begin: int, raw: bytes, must_be_sealed: bool) -> StoredLine:
    text = raw.rstrip()
    try:
        row = parse_line(text)
    except ValueError as error:
        opened = text.startswith(b"{")
        is_half = opened and not (text.endswith(b"}") and raw.endswith(b"\n"))
        return StoredLine(number, begin, raw, None, str(error), is_half)
    if must_be_sealed and _sealed(text) is None:
        return StoredLine(number, begin, raw, None, "its checksum is missing")
    return StoredLine(number, begin, raw, row)


def _sealed(text: bytes) -> re.Match[bytes] | None:
    return _SEALED.search(text, max(0, len(text) - _SEAL_WIDTH))


def parse_line(text: bytes) -> dict[str, Any]:
    """Return the record of one line, its checksum (where it has one) compared and taken off.

    A ValueError says what is wrong with it.
    """
    found = _sealed(text)
    if found is not None and _checksum(text[: found.start()]) != found.group(1):
        raise ValueError("its checksum does not fit")
    body = text if found is None else text[: found.start()] + b"}"
    try:
        row = json.loads(body.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:  # also deep nesting
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise ValueError("not JSON of an object with named fields")
    return row


def read_jsonl(
    path: str | os.PathLike, cls: type[T] | None = None, *, skip_broken: bool = False
) -> list[Any]:
    """Read JSON lines as dicts, or as `cls`. A broken line is a ValueError with its number.

    `skip_broken=True` is for append-only stores, where a kill may leave half a line: such a line
    was never acknowledged and is passed over. Damage is not: it is a UserError that names the line.
    """
    rows = []
    for line in scan_jsonl(path):
        if line.row is not None:
            rows.append(from_dict(cls, line.row) if cls else line.row)
        elif not skip_broken:
            raise ValueError(f"{path}, line {line.number}: {line.fault}")
        elif not line.is_half:
            raise UserError(
                f"{path}, line {line.number} is damaged ({line.fault}): run the step that wrote "
                "the file again, or take the line out"
            )
    return rows


def iterate_jsonl(path: str | os.PathLike, cls: type[T]) -> Iterator[T]:
    """Yield the records of JSON lines; a broken line is a ValueError with its number."""
    for line in scan_jsonl(path):
        if line.row is None:
            raise ValueError(f"{path}, line {line.number}: {line.fault}")
        yield from_dict(cls, line.row)


def mend_jsonl(
    path: str | os.PathLike, is_good: Callable[[dict[str, Any]], bool] = lambda _: True
) -> list[int]:
    """Move damaged lines of a store into `<path>.damaged`; return their numbers.

    Half a line of a killed writer was never acknowledged and goes without a word. The caller holds
    the store's lock. A file of which no line is good, and none bears a checksum of ours, is a
    UserError: it is no store, and stays as it is.
    """
    path = Path(path)
    damaged, halves, n_good = [], set(), 0
    for line in scan_jsonl(path):
        if line.row is not None and is_good(line.row):
            n_good += 1
        elif line.is_half:
            halves.add(line.number)
        else:
            damaged.append(line)
    if damaged and not n_good and not any(_was_ours(line) for line in damaged):
        fault = damaged[0].fault or "its fields are not those of a store"
        raise UserError(
            f"{path} is not a store of replies (line {damaged[0].number}: {fault}); "
            "give another path, or move it away"
        )
    if damaged or (halves and n_good):
        numbers = halves | {line.number for line in damaged}
        _move_aside(path, numbers, b"".join(line.raw for line in damaged))
    return [line.number for line in damaged]


def _was_ours(line: StoredLine) -> bool:
    """Whether a line that does not prove itself was written here all the same."""
    return line.row is None and _SEAL in line.raw[-2 * _SEAL_WIDTH :]


def _move_aside(path: Path, numbers: set[int], raw: bytes) -> None:
    """Damaged lines are on the disk in their new place before they leave the old one."""
    if raw:
        with open(path.with_name(f"{path.name}.damaged"), "ab") as aside:
            aside.write(raw)
            aside.flush()
            os.fsync(aside.fileno())
    with atomic_path(path) as temporary, open(temporary, "wb") as kept, open(path, "rb") as stream:
        kept.writelines(raw for number, raw in enumerate(stream, 1) if number not in numbers)
