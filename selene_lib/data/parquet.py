"""Samples into one Parquet file, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from selene_lib.files import arrow_schema, atomic_path, from_arrow_rows, to_arrow_row
from selene_lib.records import Sample


def write_batches(path: str | Path, samples: Iterable[Sample], batch_rows: int = 2048) -> int:
    """Write samples as Parquet (zstd), holding `batch_rows` of them at a time; return how many.

    The file is whole or absent.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema, n = arrow_schema(Sample), 0
    with (
        atomic_path(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        stream = iter(samples)
        while batch := list(islice(stream, batch_rows)):
            rows = [to_arrow_row(sample) for sample in batch]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            n += len(batch)
    return n


def iter_parquet(path: str | Path, batch_rows: int = 2048) -> Iterator[Sample]:
    """Yield the samples of a Parquet file, holding `batch_rows` of them at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(batch_rows):
            yield from from_arrow_rows(Sample, batch.to_pylist())
