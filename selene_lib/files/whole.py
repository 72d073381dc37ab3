"""Writes that are whole or absent, records as Parquet, hashes, one lock."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import time
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from selene_lib.errors import UserError
from selene_lib.files.outputs import check_regular

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from _typeshed import DataclassInstance
    from filelock import BaseFileLock

T = TypeVar("T", bound="DataclassInstance")


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`.

    On success it is fsynced and renamed over it, on any error it is removed. A symbolic link stays
    one: the file that it points to is written. A folder, a device or a pipe is a UserError.
    """
    target = Path(path)
    check_regular(target)
    if target.is_symlink():
        target = target.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        _fsync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left below a folder that only one process writes to."""
    for path in folder.rglob(".*.tmp"):
        if path.is_file():
            path.unlink()


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | os.PathLike, text: str) -> Path:
    """Write UTF-8 text whole or not at all; return the path."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def write_json(path: str | os.PathLike, value: Any) -> Path:
    """Write JSON with sorted keys and a final newline, whole or not at all.

    NaN is refused: use None and say why.
    """
    return write_text(
        path,
        json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n",
    )


def read_json(path: str | os.PathLike) -> Any:
    """Read one JSON file; a broken one is a UserError that names it."""
    if is_special(path):
        raise UserError(f"{path}: not a regular file; move it away and run the step again")
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # also not UTF-8, or deep nesting
        raise UserError(f"{path}: not JSON ({error}); delete it and run the step again") from error


def is_special(path: str | os.PathLike) -> bool:
    """Whether a path is there and neither a file nor a folder: a FIFO would be read for ever."""
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def write_csv(path: str | os.PathLike, table: pd.DataFrame | Iterable[Any]) -> Path:
    """Write a table (a DataFrame, or a list of records or dicts) as CSV, whole or not at all.

    Mappings become JSON text. Floats are written in full (`repr`), so that the same numbers give
    the same bytes and are read back unchanged.
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        table = pd.DataFrame([as_dict(row) for row in table])
    text = table.map(_cell)
    return write_text(path, text.to_csv(index=False, lineterminator="\n"))


def as_dict(record: Any) -> dict[str, Any]:
    """Return a record or a dict as a dict."""
    return record if isinstance(record, dict) else to_dict(record)


def _cell(value: Any) -> Any:
    """A value as a CSV cell: what is nested becomes JSON text."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value


def sha256_file(path: str | os.PathLike) -> str:
    """Return the hex SHA-256 of a file; of a folder that of the sorted names and hashes of the
    files below it (`files_below`). What is neither is a UserError.
    """
    path = Path(path)
    if is_special(path):
        raise UserError(f"{path}: not a regular file; move it away")
    if path.is_dir():
        parts = [f"{name} {sha256_file(path / name)}" for name in files_below(path)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_below(folder: Path) -> list[str]:
    """Return the names of the files below a folder, relative to it and sorted.

    Hidden ones are left out: what a killed process left half-written is hidden, and so is what a
    desktop leaves behind (`.DS_Store`).
    """
    names = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            names.append(inside.as_posix())
    return names


def size_bytes(path: str | os.PathLike) -> int:
    """Return the size of a file, or of all files below a folder (`files_below`), in bytes."""
    path = Path(path)
    if path.is_dir():
        return sum((path / name).stat().st_size for name in files_below(path))
    return path.stat().st_size


def to_dict(record: Any) -> dict[str, Any]:
    """A record as a plain dict, one level deep (mappings inside are copied, not rebuilt)."""
    return {f.name: _plain(getattr(record, f.name)) for f in dataclasses.fields(record)}


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def from_dict(cls: type[T], row: Mapping[str, Any]) -> T:
    """Build a record from a dict; an unknown or missing field is a ValueError that names it."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = sorted(set(row) - set(fields))
    if unknown:
        raise ValueError(
            f"{cls.__name__}: unknown field {unknown[0]!r}; "
            "written by another version? run the step again"
        )
    for name, f in fields.items():
        is_required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if is_required and name not in row:
            raise ValueError(f"{cls.__name__}: field {name!r} is missing")
    return cls(**row)


def write_parquet(path: str | os.PathLike, records: Iterable[Any], cls: type) -> Path:
    """Write records of one dataclass as Parquet (zstd).

    Mapping fields are stored as JSON strings; the schema comes from `cls`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(cls)
    rows = [to_arrow_row(record) for record in records]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")
    return Path(path)


def read_parquet(path: str | os.PathLike, cls: type[T]) -> list[T]:
    """Read records written by `write_parquet`."""
    import pyarrow.parquet as pq

    return list(from_arrow_rows(cls, pq.read_table(path).to_pylist()))


def iterate_parquet(path: str | os.PathLike, cls: type[T], n_rows: int = 8192) -> Iterator[T]:
    """Yield records written by `write_parquet`, `n_rows` of them in memory at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(n_rows):
            yield from from_arrow_rows(cls, batch.to_pylist())


def from_arrow_rows(cls: type[T], rows: Iterable[dict[str, Any]]) -> Iterator[T]:
    """Yield the records of rows as Parquet gives them back."""
    mappings = [name for name, kind in _kinds(cls).items() if kind is dict]
    for row in rows:
        for name in mappings:
            if row.get(name) is not None:
                row[name] = json.loads(row[name])
        yield from_dict(cls, row)


def to_arrow_row(record: Any) -> dict[str, Any]:
    """Return a record as a row for `arrow_schema`: mappings become JSON text."""
    row = to_dict(record)
    for name, value in row.items():
        if isinstance(value, dict):
            row[name] = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return row


def arrow_schema(cls: type) -> pa.Schema:
    """The Arrow schema of a record class: str, float, int, bool, and JSON text for mappings."""
    import pyarrow as pa

    arrow = {
        str: pa.string(),
        float: pa.float64(),
        int: pa.int64(),
        bool: pa.bool_(),
        dict: pa.string(),
    }
    return pa.schema([(name, arrow[kind]) for name, kind in _kinds(cls).items()])


def _kinds(cls: type) -> dict[str, type]:
    hints = typing.get_type_hints(cls)
    return {f.name: _kind(hints[f.name]) for f in dataclasses.fields(cls)}


def _kind(hint: Any) -> type:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _kind(next(a for a in typing.get_args(hint) if a is not type(None)))
    if origin is typing.Literal:
        return type(typing.get_args(hint)[0])
    if origin is not None:
        return dict
    return hint


class PathLock:
    """An exclusive lock on a file or folder, held from here until `close`; a context manager.

    The lock is a hidden empty file beside what `path` leads to, and for a file also its inode, so
    that links and other names of it are one lock; it is released when the process ends and the
    hidden file stays. Held by another process for longer than `patience_seconds`, it is a UserError
    that says `busy`.
    """

    _inode: int | None = None
    _owner = 0

    def __init__(
        self, path: str | os.PathLike, *, busy: str, patience_seconds: float = 0.0
    ) -> None:
        from filelock import FileLock, Timeout  # a third of a second, and few callers lock

        path = Path(path).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not thread-local: whoever holds it may close it from another thread.
        self._lock: BaseFileLock = FileLock(
            path.with_name(f".{path.name}.lock"), thread_local=False, poll_interval=0.2
        )
        try:
            self._lock.acquire(timeout=patience_seconds)
            self._lock_inode(path, patience_seconds)
        except (Timeout, BlockingIOError) as error:
            self.close()
            raise UserError(busy) from error

    def _lock_inode(self, path: Path, patience_seconds: float) -> None:
        if fcntl is None or not path.is_file():
            return
        until = time.monotonic() + patience_seconds
        while True:
            try:
                if self._inode is None:
                    self._inode, self._owner = os.open(path, os.O_RDONLY), os.getpid()
                fcntl.flock(self._inode, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise
                time.sleep(0.2)
            except OSError:  # a file system without such locks: the hidden file is all there is
                return

    def close(self) -> None:
        """Release the lock; a second call does nothing."""
        self._unlock_inode()
        self._lock.release()

    def _unlock_inode(self) -> None:
        if self._inode is not None and fcntl is not None:
            if self._owner == os.getpid():  # a forked child has the descriptor, not the lock
                with contextlib.suppress(OSError):
                    fcntl.flock(self._inode, fcntl.LOCK_UN)
            os.close(self._inode)
            self._inode = None

    def __del__(self) -> None:
        """A lock that nobody holds any longer is none; the hidden file's does so by itself."""
        self._unlock_inode()

    def __enter__(self) -> PathLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def copy_folder(source: Path, target: Path, *, leave_out: Sequence[str] = ()) -> None:
    """Copy a folder so that `target` is whole or absent; `leave_out` are patterns of file names."""
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary, ignore=shutil.ignore_patterns(*leave_out))
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
