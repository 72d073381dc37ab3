"""Rows in the shape each publisher uses, written by the tests themselves: all adapters run without
any data folder or network.

A `Shape` makes record number i, spoils one (which column, and how), and writes records as the
publisher's files.
"""

from __future__ import annotations

import csv
import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    record: Callable[[int], dict]
    spoil: Callable[[dict], dict]
    column: str
    labels: tuple[str | None, ...]  # of the samples of record 0
    write: Callable[[Path, list[dict]], None]


def lines(name: str) -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
        pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(data))

    return write


def array(name: str) -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(records, indent=2), encoding="utf-8")

    return write


def parquet(name: str) -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records), folder / name)

    return write


def table(name: str, delimiter: str = ",") -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        with open(folder / name, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(records[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(records)

    return write


def put(column: str, value: object) -> Callable[[dict], dict]:
    return lambda record: {**record, column: value}


def without(column: str) -> Callable[[dict], dict]:
    return lambda record: {name: value for name, value in record.items() if name != column}


def messages(*texts: str) -> list[dict]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]
