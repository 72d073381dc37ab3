"""Which training text repeats a benchmark text: word for word, by 13-grams, nearly, or in other words.

| method    | finds                                    | similarity is                                                            |
|-----------|------------------------------------------|--------------------------------------------------------------------------|
| exact     | the same normalised text                 | 1.0                                                                      |
| ngram     | a stretch of 13 words in common          | share of the shorter text's distinct 13-grams that the other one holds   |
| minhash   | nearly the same text                     | exact Jaccard index of 3-word shingles                                   |
| embedding | light paraphrases                        | cosine of TF-IDF weighted character n-grams                              |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from selene_lib.contamination import minhash
from selene_lib.contamination.paraphrases import cosine_matches
from selene_lib.contamination.words import WordTable, hash_words, map_batches, ngram_hashes, text_hashes

NGRAM_WORDS = 13
METHODS = ("exact", "ngram", "minhash", "embedding")


@dataclass(frozen=True)
class Overlap:
    """One finding: a training text and a benchmark text that share more than chance, by `method`, with `similarity` in (0, 1]."""

    train_id: str
    bench_id: str
    method: str
    similarity: float


@dataclass(frozen=True)
class Thresholds:
    """What counts as an overlap.

    `min_chars` is the least length of a normalised text for `exact`, `minhash` and `embedding` (shorter ones coincide by nature).
    `ngram_share`, `jaccard` and `cosine` are the least similarity of the three graded methods. An n-gram found in more than
    `max_owners` distinct benchmark texts is boilerplate (a prompt template, a licence) and counts for nobody.
    """

    min_chars: int = 60
    ngram_share: float = 0.5
    jaccard: float = 0.5
    cosine: float = 0.7
    max_owners: int = 50


@dataclass
class _Side:
    """The distinct texts of one side: `texts[i]` stands for all records `ids[i]` (same normalised text)."""

    ids: list[list[str]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    hashes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    n_chars: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def find_overlaps(
    train: Sequence[tuple[str, str]],
    bench: Sequence[tuple[str, str]],
    *,
    methods: Sequence[str] = ("exact", "ngram", "minhash"),
    thresholds: Thresholds | None = None,
) -> list[Overlap]:
    """Every training text against every benchmark text; each finding names both records, the method and the similarity.

    `train` and `bench` are (id, text) pairs; a record may come with several texts under several ids (`samples.sample_texts`).
    Where n records on one side share one text with m on the other, the finding is stated max(n, m) times, so that each record is
    named at least once, not n * m times. Ordered by training id, benchmark id, method. An unknown method is a ValueError.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ValueError(f"method {unknown[0]!r} is not one of {', '.join(METHODS)}")
    limits = thresholds or Thresholds()
    sides = _distinct(train), _distinct(bench)
    searches: dict[str, Callable[..., Iterable]] = {"exact": _exact, "ngram": _ngram, "minhash": _minhash, "embedding": _embedding}
    found = []
    for method in methods:
        for i, j, similarity in searches[method](*sides, limits):
            found.extend(_name_all(sides[0].ids[i], sides[1].ids[j], method, round(float(similarity), 6)))
    return sorted(found, key=lambda o: (o.train_id, o.bench_id, o.method))


def _name_all(train_ids: list[str], bench_ids: list[str], method: str, similarity: float) -> list[Overlap]:
    n = max(len(train_ids), len(bench_ids))
    return [Overlap(train_ids[k % len(train_ids)], bench_ids[k % len(bench_ids)], method, similarity) for k in range(n)]


def _distinct(records: Sequence[tuple[str, str]]) -> _Side:
    """Group records by normalised text; texts without a word are left out, since nothing can be said of them."""
    if not records:
        return _Side()
    ids, texts = zip(*records)
    parts = list(map_batches(_measure, texts))
    hashes, n_chars = (np.concatenate(column) for column in zip(*parts))
    kept, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    order = order[n_chars[first[order]] > 0]
    rank = np.full(len(kept), -1)
    rank[order] = np.arange(len(order))
    groups: list[list[str]] = [[] for _ in order]
    for record_id, group in zip(ids, rank[inverse].tolist()):
        if group >= 0:
            groups[group].append(record_id)
    return _Side(groups, [texts[i] for i in first[order].tolist()], kept[order], n_chars[first[order]])


def _measure(_: int, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    table = hash_words(texts)
    return text_hashes(table), table.n_chars


def _exact(train: _Side, bench: _Side, limits: Thresholds) -> Iterable[tuple[int, int, float]]:
    _, i, j = np.intersect1d(train.hashes, bench.hashes, assume_unique=True, return_indices=True)
    long = train.n_chars[i] >= limits.min_chars
    return [(a, b, 1.0) for a, b in zip(i[long].tolist(), j[long].tolist())]


class _NgramIndex:
    """The n-grams of the benchmark texts: sorted distinct hashes, who owns each, and a bit table that says no quickly."""

    def __init__(self, texts: Sequence[str], max_owners: int) -> None:
        parts = list(map_batches(lambda begin, batch: (begin, *_distinct_ngrams(hash_words(batch))), texts))
        hashes = np.concatenate([p[1] for p in parts] or [np.zeros(0, np.uint64)])
        owners = np.concatenate([p[2] + p[0] for p in parts] or [np.zeros(0, np.int64)])
        self.n_of_text = np.bincount(owners, minlength=len(texts))
        order = np.argsort(hashes, kind="stable")
        hashes, owners = hashes[order], owners[order]
        begin = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])) if len(hashes) else np.zeros(0, np.int64)
        counts = np.diff(np.append(begin, len(hashes)))
        rare = counts <= max_owners
        self.hashes, self.begin, self.counts, self.owners = hashes[begin[rare]], begin[rare], counts[rare], owners
        self.n_bits = max(20, min(27, int(len(hashes) * 16).bit_length()))
        self.maybe = np.zeros(1 << self.n_bits, dtype=bool)
        self.maybe[self.hashes >> np.uint64(64 - self.n_bits)] = True

    def hits(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(positions in `hashes`, positions in the index) of those that some benchmark text holds."""
        candidates = np.flatnonzero(self.maybe.take(hashes >> np.uint64(64 - self.n_bits)))
        places = np.searchsorted(self.hashes, hashes[candidates])
        places[places == len(self.hashes)] = 0
        real = self.hashes[places] == hashes[candidates] if len(self.hashes) else np.zeros(0, dtype=bool)
        return candidates[real], places[real]


def _distinct_ngrams(table: WordTable) -> tuple[np.ndarray, np.ndarray]:
    hashes, rows = ngram_hashes(table, NGRAM_WORDS)
    return _distinct_pairs(hashes, rows)


def _distinct_pairs(hashes: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.lexsort((hashes, rows))
    hashes, rows = hashes[order], rows[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    return hashes[new], rows[new].astype(np.int64)


def _ngram(train: _Side, bench: _Side, limits: Thresholds) -> Iterable[tuple[int, int, float]]:
    index = _NgramIndex(bench.texts, limits.max_owners)
    if not len(index.hashes):
        return
    for pairs in map_batches(lambda begin, texts: _ngram_batch(index, begin, texts), train.texts):
        i, j, share = pairs
        keep = share >= limits.ngram_share
        yield from zip(i[keep].tolist(), j[keep].tolist(), share[keep].tolist())


def _ngram_batch(index: _NgramIndex, begin: int, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hashes, rows = ngram_hashes(hash_words(texts), NGRAM_WORDS)
    where, _ = index.hits(hashes)
    touched = np.zeros(len(texts), dtype=bool)
    touched[rows[where]] = True
    some = touched[rows]
    hashes, rows = _distinct_pairs(hashes[some], rows[some])
    n_of_text = np.bincount(rows, minlength=len(texts))
    where, places = index.hits(hashes)
    counts = index.counts[places]
    owners = index.owners[_ranges(index.begin[places], counts)]
    keys, n_shared = np.unique(np.repeat(rows[where], counts) * len(index.n_of_text) + owners, return_counts=True)
    i, j = np.divmod(keys, len(index.n_of_text))
    return i + begin, j, n_shared / np.minimum(n_of_text[i], index.n_of_text[j])


def _ranges(begin: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate arange(b, b + c) for each b, c."""
    if not len(begin):
        return np.zeros(0, dtype=np.int64)
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(begin, counts) + steps


def _minhash(train: _Side, bench: _Side, limits: Thresholds) -> Iterable[tuple[int, int, float]]:
    left, right = (np.flatnonzero(side.n_chars >= limits.min_chars) for side in (train, bench))
    if not len(left) or not len(right):
        return
    signed = [_signatures([side.texts[k] for k in chosen.tolist()]) for side, chosen in ((train, left), (bench, right))]
    i, j = join_bands(*signed, *minhash.band_shape(limits.jaccard))
    near = minhash.likely(signed[0][i], signed[1][j], limits.jaccard)
    i, j = left[i[near]], right[j[near]]
    similarity = minhash.exact_jaccard([train.texts[k] for k in i.tolist()], [bench.texts[k] for k in j.tolist()])
    keep = similarity >= limits.jaccard
    yield from zip(i[keep].tolist(), j[keep].tolist(), similarity[keep].tolist())


def _signatures(texts: Sequence[str]) -> np.ndarray:
    return np.concatenate(list(map_batches(lambda _, batch: minhash.signatures(hash_words(batch)), texts)))


def join_bands(left: np.ndarray, right: np.ndarray, n_bands: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct candidate pairs (i, j) of two tables of signatures that agree in at least one band."""
    found = []
    for a, b in zip(minhash.band_keys(left, n_bands, n_rows), minhash.band_keys(right, n_bands, n_rows)):
        order = np.argsort(b, kind="stable")
        low, high = (np.searchsorted(b[order], a, side=side) for side in ("left", "right"))
        i = np.repeat(np.arange(len(a)), high - low)
        found.append(i * len(b) + order[_ranges(low, high - low)])
    return np.divmod(np.unique(np.concatenate(found)), len(right))


def _embedding(train: _Side, bench: _Side, limits: Thresholds) -> Iterable[tuple[int, int, float]]:
    left, right = (np.flatnonzero(side.n_chars >= limits.min_chars) for side in (train, bench))
    found = cosine_matches([train.texts[k] for k in left], [bench.texts[k] for k in right], threshold=limits.cosine)
    return [(left[i], right[j], cosine) for i, j, cosine in found]
