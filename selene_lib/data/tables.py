"""A user's tables: rows as dicts from CSV, JSON Lines or Parquet, and back, whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import atomic_path, read_jsonl, write_jsonl


def read_table(path: str | Path) -> list[dict[str, Any]]:
    """Read rows; a missing, empty or unreadable file is a UserError that names it."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no file {path}")
    _check(path)
    try:
        rows = _READERS[path.suffix](path)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except (ValueError, OSError) as error:
        raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if not rows:
        raise UserError(f"{path} is empty: it holds no rows to judge")
    wrong = next((number for number, row in enumerate(rows, 1) if not isinstance(row, dict)), None)
    if wrong:
        raise UserError(f"{path}, row {wrong}: not an object with named fields")
    return rows


def write_table(path: str | Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows in the format of the file's ending, atomically.

    Columns in the order in which they first occur.
    """
    path = Path(path)
    _check(path)
    names = list(dict.fromkeys(name for row in rows for name in row))
    if path.suffix == ".jsonl":
        return write_jsonl(path, rows)
    with atomic_path(path) as temporary:
        if path.suffix == ".csv":
            with open(temporary, "w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, names, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        else:
            _write_parquet(temporary, names, rows)
    return path


def _check(path: Path) -> None:
    if path.suffix not in _READERS:
        raise UserError(f"{path}: {path.suffix or 'no ending'} is not one of {', '.join(_READERS)}")


def _read_csv(path: Path) -> list[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    with open(path, encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    long = next((number for number, row in enumerate(rows, 1) if None in row), None)
    if long:
        raise ValueError(f"row {long} has more fields than the header")
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    return pq.read_table(path).to_pylist()


def _write_parquet(path: Path, names: list[str], rows: Sequence[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    filled = [{name: row.get(name) for name in names} for row in rows]
    pq.write_table(pa.Table.from_pylist(filled), path, compression="zstd")


_READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    ".csv": _read_csv,
    ".jsonl": read_jsonl,
    ".parquet": _read_parquet,
}
