"""Which training text repeats a benchmark text.

Word for word, by 13-grams, nearly, or in other words.

- `exact`: the same normalised text of 60 characters or more; similarity 1.0
- `short`: the same normalised text below that, of two words or more and not a stock phrase
  (`stock_phrases.txt`: refusals, greetings, "yes it is"); similarity 1.0
- `ngram`: at least half of the shorter text's distinct 13-grams (`Thresholds.ngram_share`) stand in
  the other text; similarity is that share
- `any13`: **any** stretch of 13 words in common, as GPT-3 and lm-eval count; similarity is the
  share as for `ngram`. It finds 13 words of 200, which `ngram` does not, and innocent quotations
  too. Each record is named with the one it shares most with, not with all
- `minhash`: nearly the same text; similarity is the exact Jaccard index of 3-word shingles
- `embedding`: light paraphrases; similarity is the cosine of TF-IDF weighted character n-grams
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selene_lib.contamination import minhash
from selene_lib.contamination.ngrams import NgramIndex, ranges
from selene_lib.contamination.paraphrases import cosine_matches
from selene_lib.contamination.words import hash_words, map_batches, text_hashes

METHODS = ("exact", "short", "ngram", "minhash", "embedding", "any13")
"""Every way of comparing; a training item found by several is counted under the first of them."""

REMOVING = ("exact", "ngram", "minhash", "embedding")
"""The findings that take a training item out where nothing else is asked for: the others are
reported. Short texts of a small world coincide by nature, and 13 words may be a quotation."""


@dataclass(frozen=True)
class Overlap:
    """One finding: a training text and a benchmark text that share more than chance.

    `method` found them, with `similarity` in (0, 1].
    """

    train_id: str
    bench_id: str
    method: str
    similarity: float


@dataclass(frozen=True)
class Thresholds:
    """What counts as an overlap.

    `min_chars` is the least length of a normalised text for `exact`, `minhash` and `embedding`;
    `short` looks at those from `min_short_chars` to below it. `ngram_share`, `jaccard` and `cosine`
    are the least similarity of the three graded methods. An n-gram found in more than `max_owners`
    distinct benchmark texts is boilerplate (a prompt template, a licence) and counts for nobody.
    """

    min_chars: int = 60
    min_short_chars: int = 8
    ngram_share: float = 0.5
    jaccard: float = 0.5
    cosine: float = 0.7
    max_owners: int = 50


Found = Iterable[tuple[int, int, float]]
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]
_NO_PAIRS: Pairs = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class _Side:
    """The distinct texts of one side.

    `texts[k]` stands for all records `ids[k]`, whose normalised text is the same.
    """

    ids: list[list[str]]
    texts: list[str]
    hashes: np.ndarray
    n_chars: np.ndarray
    signatures: np.ndarray
    shares: Pairs

    def long(self, limits: Thresholds) -> np.ndarray:
        """Indices of the texts that are long enough to coincide only by copying."""
        return np.flatnonzero(self.n_chars >= limits.min_chars)


def find_overlaps(
    train: Sequence[tuple[str, str]],
    bench: Sequence[tuple[str, str]],
    *,
    methods: Sequence[str] = ("exact", "ngram", "minhash"),
    thresholds: Thresholds | None = None,
    progress: bool = False,
) -> list[Overlap]:
    """Every training text against every benchmark text.

    Each finding names both records, the method and the similarity. `train` and `bench` are (id,
    text) pairs; a record may come with several texts under several ids (`samples.sample_texts`).
    Where n records on one side share one text with m on the other, the finding is stated max(n, m)
    times, so that each record is named at least once, not n * m times. Ordered by training id,
    benchmark id, method. `progress` shows a bar. An unknown method is a ValueError.
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown:
        raise ValueError(f"method {unknown[0]!r} is not one of {', '.join(METHODS)}")
    limits = thresholds or Thresholds()
    if not train or not bench:
        return []
    right = _read_side(bench, sign="minhash" in methods)
    by_ngrams = {"ngram", "any13"} & set(methods)
    index = NgramIndex(right.texts, limits.max_owners) if by_ngrams else None
    least_share = 0.0 if "any13" in methods else limits.ngram_share
    left = _read_side(train, sign="minhash" in methods, index=index, least_share=least_share)
    searches = {
        "exact": _exact,
        "short": _short,
        "ngram": _ngram,
        "any13": _any_ngram,
        "minhash": _minhash,
        "embedding": _embedding,
    }
    found = []
    for method in _with_bar(methods, progress):
        for i, j, similarity in searches[method](left, right, limits):
            found.extend(_name_all(left.ids[i], right.ids[j], method, round(float(similarity), 6)))
    return sorted(found, key=lambda o: (o.train_id, o.bench_id, o.method))


def _with_bar(methods: Sequence[str], progress: bool) -> Iterable[str]:
    from tqdm.auto import tqdm

    return tqdm(methods, desc="ways of comparing", disable=not progress)


def _name_all(
    train_ids: list[str], bench_ids: list[str], method: str, similarity: float
) -> list[Overlap]:
    found = []
    for k in range(max(len(train_ids), len(bench_ids))):
        train_id, bench_id = train_ids[k % len(train_ids)], bench_ids[k % len(bench_ids)]
        found.append(Overlap(train_id, bench_id, method, similarity))
    return found


def _read_side(
    records: Sequence[tuple[str, str]],
    *,
    sign: bool,
    index: NgramIndex | None = None,
    least_share: float = 0.0,
) -> _Side:
    """One pass over the texts for all methods.

    Texts without a word are left out, since nothing can be said of them.
    """
    ids, texts = zip(*records)

    def work(begin: int, batch: Sequence[str]) -> tuple[np.ndarray, ...]:
        table = hash_words(batch)
        i, j, share = index.shares(table) if index else _NO_PAIRS
        keep = share >= least_share
        signed = minhash.signatures(table) if sign else np.zeros((len(batch), 0), np.uint32)
        return text_hashes(table), table.n_chars, signed, i[keep] + begin, j[keep], share[keep]

    columns = zip(*map_batches(work, texts))
    hashes, n_chars, signed, i, j, share = (np.concatenate(column) for column in columns)
    first, group = _first_of_each(hashes, n_chars > 0)
    groups: list[list[str]] = [[] for _ in first]
    for record_id, k in zip(ids, group.tolist()):
        if k >= 0:
            groups[k].append(record_id)
    leads = first[group[i]] == i
    shares = (group[i[leads]], j[leads], share[leads])
    return _Side(
        groups,
        [texts[k] for k in first.tolist()],
        hashes[first],
        n_chars[first],
        signed[first],
        shares,
    )


def _first_of_each(hashes: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the first text of each distinct hash, in order, and whose each text is.

    A text that is not counted is -1 there.
    """
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    order = order[counted[first[order]]]
    rank = np.full(len(first), -1)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def _exact(train: _Side, bench: _Side, limits: Thresholds) -> Found:
    _, i, j = np.intersect1d(train.hashes, bench.hashes, assume_unique=True, return_indices=True)
    long = train.n_chars[i] >= limits.min_chars
    return [(a, b, 1.0) for a, b in zip(i[long].tolist(), j[long].tolist())]


def _short(train: _Side, bench: _Side, limits: Thresholds) -> Found:
    _, i, j = np.intersect1d(train.hashes, bench.hashes, assume_unique=True, return_indices=True)
    n_chars = train.n_chars[i]
    short = (n_chars < limits.min_chars) & (n_chars >= limits.min_short_chars)
    i, j = i[short], j[short]
    if not len(i):
        return []
    table = hash_words([train.texts[k] for k in i.tolist()])
    telling = (table.n_words > 1) & ~np.isin(text_hashes(table), stock_phrase_hashes())
    return [(a, b, 1.0) for a, b in zip(i[telling].tolist(), j[telling].tolist())]


@functools.cache
def stock_phrase_hashes() -> np.ndarray:
    """Hashes of the short texts that say nothing of copying."""
    lines = (Path(__file__).parent / "stock_phrases.txt").read_text(encoding="utf-8").splitlines()
    return text_hashes(hash_words([line for line in lines if not line.startswith("#")]))


def _ngram(train: _Side, bench: _Side, limits: Thresholds) -> Found:
    i, j, share = train.shares
    some = share >= limits.ngram_share
    return zip(i[some].tolist(), j[some].tolist(), share[some].tolist())


def _any_ngram(train: _Side, bench: _Side, limits: Thresholds) -> Found:
    """Every text that shares a 13-gram, on either side, with the one it shares most with."""
    i, j, share = train.shares
    best = np.unique(np.concatenate([_best_of(i, share), _best_of(j, share)]))
    return zip(i[best].tolist(), j[best].tolist(), share[best].tolist())


def _best_of(owner: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The place of the largest share of each owner; of equals the first."""
    order = np.lexsort((np.arange(len(owner)), -share, owner))
    _, first = np.unique(owner[order], return_index=True)
    return order[first]


def _minhash(train: _Side, bench: _Side, limits: Thresholds) -> Found:
    left, right = train.long(limits), bench.long(limits)
    shape = minhash.band_shape(limits.jaccard)
    i, j = _join_bands(train.signatures[left], bench.signatures[right], *shape)
    i, j = left[i], right[j]
    near = minhash.likely(train.signatures[i], bench.signatures[j], limits.jaccard)
    i, j = i[near], j[near]
    similarity = minhash.exact_jaccard(
        [train.texts[k] for k in i.tolist()], [bench.texts[k] for k in j.tolist()]
    )
    keep = similarity >= limits.jaccard
    return zip(i[keep].tolist(), j[keep].tolist(), similarity[keep].tolist())


def _join_bands(
    left: np.ndarray, right: np.ndarray, n_bands: int, n_rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct candidate pairs (i, j) of signatures that agree in at least one band."""
    found = [np.zeros(0, np.int64)]
    left_keys = minhash.band_keys(left, n_bands, n_rows)
    right_keys = minhash.band_keys(right, n_bands, n_rows)
    for a, b in zip(left_keys, right_keys):
        order = np.argsort(b, kind="stable")
        low = np.searchsorted(b[order], a, side="left")
        high = np.searchsorted(b[order], a, side="right")
        i = np.repeat(np.arange(len(a)), high - low)
        found.append(i * len(b) + order[ranges(low, high - low)])
    return np.divmod(np.unique(np.concatenate(found)), max(len(right), 1))


def _embedding(train: _Side, bench: _Side, limits: Thresholds) -> Found:
    left, right = train.long(limits).tolist(), bench.long(limits).tolist()
    found = cosine_matches(
        [train.texts[k] for k in left], [bench.texts[k] for k in right], threshold=limits.cosine
    )
    return [(left[i], right[j], cosine) for i, j, cosine in found]
