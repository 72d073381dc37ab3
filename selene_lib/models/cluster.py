"""Work spread over many machines, with Ray Data (extra `scale`).

On one machine this is never the faster way (Ray takes seconds to start); it is for a cluster with a
folder that all nodes see. What is asked is written there as Parquet, so that nothing passes through
the driver's memory; each batch's answers go to a file of their own the moment they come. A batch
that is tried again because its worker or its node died looks there first, so a death costs at most
what was in flight, and a second run asks for nothing that stands in the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from selene_lib.errors import UserError
from selene_lib.files import LineAppender, parse_line, scan_jsonl

Row = dict[str, Any]
Keep = Callable[[int, Row], None]
# Rows in, and each answer handed to `keep` with the row's place as soon as it is there.
Answer = Callable[[list[Row], Keep], None]
ASKED_IN_A_FILE = 64  # batches of one Parquet file
BLOCKS_A_WORKER = 32  # so many turns a worker takes at most


@dataclass(frozen=True)
class Cluster:
    """Where stages run.

    `address` is that of a Ray cluster (None: one is started here); `folder` must be visible to all
    of its nodes, and belongs to one stage of one run.
    """

    folder: str | Path
    address: str | None = None
    n_workers: int = 2
    batch_size: int = 16
    n_gpus_per_worker: float = 0.0


def map_stage(
    rows: Mapping[str, Row], make_answer: Callable[[], Answer], cluster: Cluster
) -> dict[str, Row]:
    """Return the answers to `rows`, by key and in their order; see `spread` and `StoredAnswers`.

    A row that no worker answered is left out.
    """
    spread(rows.items(), make_answer, cluster)
    with StoredAnswers(cluster.folder) as found:
        answers = {key: found.get(key) for key in rows}
    return {key: answer for key, answer in answers.items() if answer is not None}


def spread(
    rows: Iterable[tuple[str, Row]], make_answer: Callable[[], Answer], cluster: Cluster
) -> int:
    """Have every `(key, row)` answered that the cluster's folder has no answer to; return how many
    that were.

    `make_answer` is pickled and called once in each worker (it loads the model there); rows and
    answers are JSON values. An answer whose `error` time may mend (no `is_final`) is not kept.
    Raises UserError where Ray is not installed.
    """
    folder = Path(cluster.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with StoredAnswers(folder) as found:
        missing = ((key, row) for key, row in rows if key not in found)
        asked = folder / f"asked-{uuid.uuid4().hex}"
        batches = _write_asked(missing, asked, cluster.batch_size)
    try:
        if batches:
            _run(batches, make_answer, cluster, folder)
    finally:
        shutil.rmtree(asked, ignore_errors=True)
    return sum(batch["n"] for batch in batches)


def _write_asked(
    rows: Iterable[tuple[str, Row]], folder: Path, batch_size: int
) -> list[dict[str, Any]]:
    """Write rows as Parquet files of `ASKED_IN_A_FILE` batches; equal keys are written once.

    Returns where each batch stands: file, row group, number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir()
    seen: set[bytes] = set()
    batches: list[dict[str, Any]] = []

    def once() -> Iterator[tuple[str, str]]:
        for key, row in rows:
            if (short := _short(key)) not in seen:
                seen.add(short)
                yield key, json.dumps(row)

    distinct = once()
    while part := list(islice(distinct, batch_size * ASKED_IN_A_FILE)):
        keys, texts = zip(*part)
        file = folder / f"{len(batches):09d}.parquet"
        table = pa.table({"key": list(keys), "row": list(texts)})
        pq.write_table(table, file, row_group_size=batch_size)
        for group, begin in enumerate(range(0, len(part), batch_size)):
            n = min(batch_size, len(part) - begin)
            batches.append({"file": str(file), "group": group, "n": n})
    return batches


def _short(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


class StoredAnswers:
    """The answers in a cluster's folder, found by key and read from disk when asked for."""

    def __init__(self, folder: str | Path) -> None:
        self._files = sorted(Path(folder).glob("answers/**/*.jsonl"))
        self._places: dict[bytes, tuple[int, int]] = {}
        for number, file in enumerate(self._files):
            for line in scan_jsonl(file):
                # half a line is one that a worker was killed at; a damaged one is answered again
                if line.row is not None and _is_answer(line.row):
                    self._places.setdefault(_short(line.row["key"]), (number, line.begin))
        self._number = -1
        self._stream: BinaryIO | None = None

    def __contains__(self, key: str) -> bool:
        return _short(key) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: str) -> Row | None:
        """Return the answer to a key, None where there is none."""
        place = self._places.get(_short(key))
        if place is None:
            return None
        number, begin = place
        if self._stream is None or number != self._number:
            self.close()  # one file at a time: answers are asked for in the order of the batches
            self._stream = open(self._files[number], "rb")  # noqa: SIM115 (closed by `close`)
            self._number = number
        self._stream.seek(begin)
        return dict(parse_line(self._stream.readline().rstrip())["row"])

    def close(self) -> None:
        """Close the file that is open."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> StoredAnswers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_answer(line: Mapping[str, Any]) -> bool:
    return isinstance(line.get("key"), str) and isinstance(line.get("row"), dict)


def open_ray(address: str | None) -> Any:
    """Return Ray, connected: to a running cluster, or to one started on this machine."""
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "Ray is not installed: pip install 'selene_lib[scale]', or run without it; "
            "it is for many machines only"
        ) from error
    if not ray.is_initialized():
        # workers import this library as the driver does
        paths = os.pathsep.join(path for path in sys.path if path)
        ray.init(
            address=address,
            include_dashboard=False,
            log_to_driver=False,
            runtime_env={"env_vars": {"PYTHONPATH": paths}},
        )
    return ray


def _run(
    batches: list[dict[str, Any]], make_answer: Callable[[], Answer], cluster: Cluster, folder: Path
) -> None:
    """Let workers answer batches, of which only the places pass through Ray.

    An object that lies on a node is lost with it, and so are actors of Ray that read files for it.
    """
    ray = open_ray(cluster.address)
    n_blocks = min(len(batches), BLOCKS_A_WORKER * cluster.n_workers)
    data = ray.data.from_items(batches, override_num_blocks=n_blocks).map_batches(
        _Worker,
        fn_constructor_args=(make_answer, str(folder)),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=cluster.n_workers),
        num_gpus=cluster.n_gpus_per_worker or None,
        # a worker or a node that dies is replaced, and its batch tried again
        max_restarts=-1,
        max_task_retries=-1,
    )
    for _ in data.iter_batches(batch_size=None):
        pass


class _Worker:
    """Runs in a Ray actor and answers what the file of its batch does not hold yet."""

    def __init__(self, make_answer: Callable[[], Answer], folder: str) -> None:
        self._answer, self._folder = make_answer(), Path(folder)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for file, group in zip(batch["file"].tolist(), batch["group"].tolist(), strict=True):
            self._work(file, group)
        return {"n": batch["n"]}

    def _work(self, file: str, group: int) -> None:
        import pyarrow.parquet as pq

        asked = pq.ParquetFile(file).read_row_group(group).to_pydict()
        path = answers_path(self._folder, asked["key"])
        known = _keys_in(path)
        rows = zip(asked["key"], asked["row"], strict=True)
        todo = [(key, json.loads(text)) for key, text in rows if key not in known]
        if not todo:
            return
        with LineAppender(path) as lines:

            def keep(place: int, answer: Row) -> None:
                if not answer.get("error") or answer.get("is_final"):
                    lines.write([{"key": todo[place][0], "row": answer}])

            self._answer([row for _, row in todo], keep)


def answers_path(folder: Path, keys: list[str]) -> Path:
    """Return the file of a batch: the same keys have the same file, whichever worker has them."""
    name = hashlib.sha256("\x1f".join(keys).encode()).hexdigest()
    return folder / "answers" / name[:2] / f"{name[:32]}.jsonl"


def _keys_in(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    rows = (line.row for line in scan_jsonl(path))
    return {row["key"] for row in rows if row is not None and _is_answer(row)}


def hand_over(answers: Iterable[Row], keep: Keep) -> None:
    """Give the answers of a whole batch to `keep`, in their order."""
    for place, answer in enumerate(answers):
        keep(place, answer)
