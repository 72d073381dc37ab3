"""Load a data set through its spec: from a folder of the publisher's own files, or from the hub.

As a list, or streamed into Parquet. Strict by default: a row that is not of the published shape
goes to the quarantine with the column and what was expected, more than 1 % of such rows stop the
load, and a count other than the published one is an error.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selene_lib.data.hub import read_hub
from selene_lib.data.local import is_present, local_files, read_local
from selene_lib.data.revisions import LOCK_FILE, local_revision, revision_of
from selene_lib.data.spec import ROW_FAULTS, BrokenRow, DataSpec, DropRow, Row, broken_by
from selene_lib.errors import shown
from selene_lib.files import read_jsonl, sha256_file, write_jsonl
from selene_lib.records import TASKS, Sample, stable_id, unit_hash

MAX_BROKEN_SHARE = 0.01
CHECK_EVERY_ROWS = 1000


@dataclass
class LoadResult:
    """What came of a load.

    Samples (in file order), rows read, rows dropped by reason, and where they came from. A row may
    make several samples: `n_made` counts the samples made, `n_samples` those kept by a limit (all,
    without one), `n_items` what was there to be made or dropped, so that a ledger balances: n_items
    = n_made + dropped, n_made = n_samples + left out by the limit. `n_dropped` counts rows (or
    parts of rows, where one row makes several samples); a reason that starts with `broken` is a
    quarantined row. `rows` are the plain rows of a set that has no samples. `files` maps each file
    read to its SHA-256 (empty for the hub). `path` is the Parquet file of a streamed load, whose
    `samples` stay empty.
    """

    name: str
    samples: list[Sample] = field(default_factory=list)
    n_read: int = 0
    n_made: int = 0
    n_samples: int = 0
    n_dropped: dict[str, int] = field(default_factory=dict)
    present: bool = False
    revision: str = ""
    licence: str = ""
    files: dict[str, str] = field(default_factory=dict)
    path: Path | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def n_items(self) -> int:
        """Samples made, and rows or parts of rows dropped."""
        return self.n_made + sum(self.n_dropped.values())


def load(
    spec: DataSpec | str,
    *,
    data_dir: Path | str | None,
    limit: int | None = None,
    seed: int = 0,
    quarantine: Path | None = None,
    progress: bool = False,
    max_broken_share: float = MAX_BROKEN_SHARE,
    lock_file: Path = LOCK_FILE,
) -> LoadResult:
    """Load a set (a spec or its name) into memory; `data_dir=None` reads the hub.

    Absent local files give `present=False` and no samples. `limit` takes the samples with the
    smallest `unit_hash(seed, id)`, in file order, so that a smaller limit is a part of a larger
    one. Raises ValueError on schema drift, on more than `max_broken_share` broken rows and on a
    count other than the published one.
    """
    spec = _named(spec)
    if data_dir is not None and not is_present(spec, data_dir):
        return LoadResult(spec.name, revision=local_revision(spec), licence=spec.licence)
    walk = Walk(spec, data_dir, seed, max_broken_share, lock_file, quarantine, progress)
    samples = list(walk.samples()) if limit is None else _smallest(walk.samples(), limit, seed)
    return walk.result(samples=samples, n_samples=len(samples))


def load_to_parquet(
    spec: DataSpec | str,
    path: Path,
    *,
    data_dir: Path | str | None,
    seed: int = 0,
    quarantine: Path | None = None,
    progress: bool = False,
    max_broken_share: float = MAX_BROKEN_SHARE,
    lock_file: Path = LOCK_FILE,
    batch_rows: int = 2048,
) -> LoadResult:
    """Load a set of any size into a Parquet file of samples.

    It is read with `files.read_parquet`; never more than a batch is held in memory.
    """
    from selene_lib.data.parquet import write_batches

    spec = _named(spec)
    if data_dir is not None and not is_present(spec, data_dir):
        return LoadResult(spec.name, revision=local_revision(spec), licence=spec.licence)
    walk = Walk(spec, data_dir, seed, max_broken_share, lock_file, quarantine, progress)
    n_samples = write_batches(path, walk.samples(), batch_rows)
    return walk.result(path=Path(path), n_samples=n_samples)


@dataclass
class Walk:
    """One pass over a set: yields its samples and keeps the books."""

    spec: DataSpec
    data_dir: Path | str | None
    seed: int = 0
    max_broken_share: float = MAX_BROKEN_SHARE
    lock_file: Path = LOCK_FILE
    quarantine: Path | None = None
    progress: bool = False
    n_read: int = 0
    n_dropped: Counter[str] = field(default_factory=Counter)
    broken: list[dict[str, Any]] = field(default_factory=list)
    n_by_file: Counter[str] = field(default_factory=Counter)
    rows: list[dict[str, Any]] = field(default_factory=list)
    n_made: int = 0

    def samples(self) -> Iterator[Sample]:
        """Yield the samples, each with an id of its own.

        The checks that need the whole set (broken share, published count) are made at the end.
        """
        seen: Counter[str] = Counter()
        try:
            for place, record in self._records():
                for sample in self._adapt(place, record):
                    self.n_made += 1
                    seen[sample.id] += 1
                    n = seen[sample.id]
                    if n > 1:
                        sample = replace(sample, id=stable_id(self.spec.name, sample.id, n))
                    yield sample
            self._check_broken()
        finally:
            self._write_quarantine()
        self._check_counts()

    def result(
        self, *, n_samples: int, samples: Sequence[Sample] = (), path: Path | None = None
    ) -> LoadResult:
        """Return the books of the pass, with the samples or the file they were written to."""
        files = {}
        if self.data_dir is None:
            revision = revision_of(self.spec, self.lock_file)
        else:
            revision = local_revision(self.spec)
            for name, file in local_files(self.spec, self.data_dir).items():
                files[name] = sha256_file(file)
        return LoadResult(
            self.spec.name,
            samples=list(samples),
            n_read=self.n_read,
            n_made=self.n_made,
            n_samples=n_samples,
            n_dropped=dict(self.n_dropped),
            present=True,
            revision=revision,
            licence=self.spec.licence,
            files=files,
            path=path,
            rows=self.rows,
        )

    def _records(self) -> Iterator[tuple[str, Any]]:
        if self.data_dir is None:
            source = read_hub(self.spec, lock_file=self.lock_file)
        else:
            source = read_local(self.spec, self.data_dir)
        for place, record in _with_progress(source, self.spec) if self.progress else source:
            if isinstance(record, BrokenRow) and record.is_beside:
                yield place, record
                continue
            self.n_read += 1
            self.n_by_file[place.rpartition(", row ")[0]] += 1
            yield place, record
            if self.n_read % CHECK_EVERY_ROWS == 0:
                self._check_broken()

    def _adapt(self, place: str, record: Any) -> list[Sample]:
        try:
            row = _check_columns(self.spec, place, record, self.seed)
            made = self.spec.to_samples(row)
            if self.spec.task not in TASKS:
                self.rows.append(dict(row.values))
            return self._sort_out([made] if isinstance(made, Sample) else list(made))
        except DropRow as drop:
            self.n_dropped[str(drop)] += 1
        except ROW_FAULTS as error:
            self._quarantine(broken_by(error, place, record), record)
        return []

    def _sort_out(self, made: list[Sample | DropRow]) -> list[Sample]:
        self.n_dropped.update(str(item) for item in made if isinstance(item, DropRow))
        return [item for item in made if isinstance(item, Sample)]

    def _quarantine(self, error: BrokenRow, record: Any) -> None:
        self.n_dropped[f"broken: {error.column} is not {error.expected}"] += 1
        self.broken.append(
            {
                "set": self.spec.name,
                "where": error.where,
                "column": error.column,
                "expected": error.expected,
                "found": error.found,
                "record": None if isinstance(record, BrokenRow) else _whole(record),
            }
        )

    def _check_broken(self) -> None:
        if len(self.broken) <= self.max_broken_share * self.n_read:
            return
        first = self.broken[0]
        shape = ", ".join(f"{column}: {kind}" for column, kind in self.spec.columns.items())
        kept = "name a quarantine file to see them"
        if self.quarantine:
            kept = f"the rows are in {self.quarantine}"
        raise ValueError(
            f"{self.spec.name}: {len(self.broken)} of {self.n_read} rows are not of the published "
            f"shape, more than {self.max_broken_share:.0%}; {kept}. "
            f"First: {first['where']}, column {first['column']!r}: "
            f"expected {first['expected']}, found {first['found']}. "
            f"Expected shape: {shape} (known from: {self.spec.shape_known_from})"
        )

    def _check_counts(self) -> None:
        spec = self.spec
        for file, n in self.n_by_file.items():
            if spec.n_rows.get(file, n) != n:
                raise ValueError(
                    f"{spec.name}: {file} holds {n} rows where {spec.n_rows[file]} are published; "
                    "fetch it again"
                )
        known = self.n_by_file and set(self.n_by_file) <= set(spec.n_rows)
        if spec.published_n is not None and not known and self.n_read != spec.published_n:
            raise ValueError(
                f"{spec.name}: {self.n_read} rows were read where {spec.published_n} are "
                "published; fetch the whole set again"
            )

    def _write_quarantine(self) -> None:
        if self.quarantine is None:
            return
        path = Path(self.quarantine)
        others = []
        if path.is_file():
            others = [row for row in read_jsonl(path) if row["set"] != self.spec.name]
        if self.broken or path.is_file():
            write_jsonl(path, [*others, *self.broken])


def _whole(record: Any) -> str:
    try:
        return repr(record)[:4000]
    except RecursionError:
        return shown(record, 4000)


def _check_columns(spec: DataSpec, place: str, record: Any, seed: int) -> Row:
    """Return the record as a `Row`.

    Raises BrokenRow naming the first of the spec's columns that it lacks.
    """
    if isinstance(record, BrokenRow):
        raise record
    if not isinstance(record, Mapping):
        raise BrokenRow(place, "(whole row)", "a record", record)
    for column, kind in spec.columns.items():
        if column not in record:
            raise BrokenRow(place, column, kind, f"only {', '.join(map(str, record))}"[:200])
    return Row(record, spec, place, seed)


def _named(spec: DataSpec | str) -> DataSpec:
    # Here, since the catalogue imports all sets, and they this package.
    from selene_lib.data.catalogue import find_spec

    return find_spec(spec)


def _smallest(stream: Iterable[Sample], limit: int, seed: int) -> list[Sample]:
    ranked = ((unit_hash(seed, sample.id), i, sample) for i, sample in enumerate(stream))
    best = heapq.nsmallest(limit, ranked, key=lambda entry: entry[:2])
    return [sample for _, _, sample in sorted(best, key=lambda entry: entry[1])]


def _with_progress(records: Iterator[tuple[str, Any]], spec: DataSpec) -> Iterable[tuple[str, Any]]:
    from tqdm.auto import tqdm

    return tqdm(records, desc=spec.name, unit=" rows", total=spec.published_n, dynamic_ncols=True)
