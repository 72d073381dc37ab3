"""Contamination on many machines: training texts are parted, and every part is compared with all
benchmark texts by a worker of a Ray cluster.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from selene_lib.contamination.overlaps import Overlap, Thresholds, find_overlaps
from selene_lib.contamination.words import hash_words, text_hashes
from selene_lib.errors import UserError
from selene_lib.files import write_text
from selene_lib.models.cluster import Answer, Cluster, Keep, Row, map_stage

Texts = Sequence[tuple[str, str]]
# what is found of a training text does not depend on the others
PARTED = ("exact", "short", "ngram", "minhash")
TEXTS_AT_ONCE = 20_000


def find_overlaps_on_cluster(
    train: Texts,
    bench: Texts,
    cluster: Cluster,
    *,
    methods: Sequence[str] = PARTED,
    thresholds: Thresholds | None = None,
    n_parts: int | None = None,
) -> list[Overlap]:
    """Return what `find_overlaps` finds, from `n_parts` parts (default: eight a worker).

    `embedding` and `any13` weigh each text by all the others and cannot be parted: a UserError.
    """
    other = [name for name in methods if name not in PARTED]
    if other:
        raise UserError(
            f"method {other[0]} compares all texts at once and cannot be spread over a cluster; "
            f"these can: {', '.join(PARTED)}"
        )
    folder = Path(cluster.folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([list(pair) for pair in bench])
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    against = write_text(folder / f"bench-{name}.json", text)
    limits = thresholds or Thresholds()
    rows = {}
    for part in _parts(train, n_parts or 8 * cluster.n_workers):
        asked = json.dumps([part, list(methods), asdict(limits), name])
        rows[hashlib.sha256(asked.encode()).hexdigest()[:32]] = {"train": part}
    # a part is a batch of its own, so that a node that dies costs one part
    alone = Cluster(folder, cluster.address, cluster.n_workers, 1, cluster.n_gpus_per_worker)
    found = map_stage(rows, _MakeSearch(str(against), tuple(methods), limits), alone)
    if len(found) < len(rows):
        raise UserError(f"{len(rows) - len(found)} parts have no answer; run again to ask for them")
    overlaps = [Overlap(*each) for answer in found.values() for each in answer["overlaps"]]
    return sorted(overlaps, key=lambda o: (o.train_id, o.bench_id, o.method))


def _parts(train: Texts, n_parts: int) -> list[list[list[str]]]:
    """Texts by the hash of their words: equal texts, however spelled, are of one part."""
    parts: list[list[list[str]]] = [[] for _ in range(n_parts)]
    for begin in range(0, len(train), TEXTS_AT_ONCE):
        batch = train[begin : begin + TEXTS_AT_ONCE]
        hashes = text_hashes(hash_words([text for _, text in batch]))
        for pair, number in zip(batch, (hashes % n_parts).tolist(), strict=True):
            parts[number].append(list(pair))
    return [part for part in parts if part]


@dataclass(frozen=True)
class _MakeSearch:
    """Reads the benchmark texts in a worker."""

    bench: str
    methods: tuple[str, ...]
    thresholds: Thresholds

    def __call__(self) -> Answer:
        bench = [(one, text) for one, text in json.loads(Path(self.bench).read_text("utf-8"))]

        def answer(rows: list[Row], keep: Keep) -> None:
            for place, row in enumerate(rows):
                train = [(one, text) for one, text in row["train"]]
                found = find_overlaps(
                    train, bench, methods=self.methods, thresholds=self.thresholds
                )
                keep(place, {"overlaps": [list(asdict(each).values()) for each in found]})

        return answer
