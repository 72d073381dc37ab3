"""Near-duplicates inside one set of texts: which record stands for which."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from selene_lib.contamination import minhash
from selene_lib.contamination.words import hash_words, map_batches, text_hashes

ALL_PAIRS_UP_TO = 12
MAX_TURNS = 20


def near_duplicates(texts: Sequence[tuple[str, str]], *, threshold: float = 0.8) -> dict[str, str]:
    """Map each id to the id that stands for it.

    That is itself if it is kept, else a kept one whose text is at least `threshold` alike. Alike is
    the exact Jaccard index of 3-word shingles; MinHash only proposes the pairs (a pair at the
    threshold is proposed with probability 0.93 or more, one at 0.9 practically always). Ids are
    gone through in sorted order and the smallest id of a group is kept, so the result depends
    neither on the order of `texts` nor on a seed, and no chain of small steps joins texts that
    differ.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold} is not in (0, 1]")
    ordered = sorted(texts)
    ids, bodies = [i for i, _ in ordered], [t for _, t in ordered]
    if len(set(ids)) != len(ids):
        twice = next(a for a, b in itertools.pairwise(ids) if a == b)
        raise ValueError(f"id {twice!r} comes twice: give every text its own id")
    if not ids:
        return {}
    hashes, n_words, signature = _describe(bodies)
    first = _same_text(hashes, n_words)
    keeper = np.arange(len(ids))
    distinct = np.flatnonzero((first == keeper) & (n_words > 0))
    for turn in range(1, MAX_TURNS):
        alive = distinct[keeper[distinct] == distinct]
        if len(alive) < 2:
            break
        n_dropped = _drop(keeper, _near_pairs(bodies, signature, alive, threshold, turn))
        if not n_dropped:
            break
        _mend_chains(keeper, bodies, threshold)
    return {ids[i]: ids[k] for i, k in enumerate(keeper[first].tolist())}


def _describe(bodies: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    def work(_: int, batch: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        table = hash_words(batch)
        return text_hashes(table), table.n_words, minhash.signatures(table)

    columns = zip(*map_batches(work, bodies))
    hashes, n_words, signature = (np.concatenate(column) for column in columns)
    return hashes, n_words, signature


def _same_text(hashes: np.ndarray, n_words: np.ndarray) -> np.ndarray:
    """For each text the first one with the same words; a text without words stands for itself."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return np.where(n_words > 0, first[inverse], np.arange(len(hashes)))


def _near_pairs(
    bodies: Sequence[str], signature: np.ndarray, alive: np.ndarray, threshold: float, turn: int
) -> np.ndarray:
    """Return the confirmed pairs among the texts `alive`, shape (n, 2), in order.

    A pair is (smaller index, larger index).
    """
    bands = minhash.band_keys(signature[alive], *minhash.band_shape(threshold))
    neighbours = np.roll(bands, turn, axis=0)
    proposed = [_bucket_pairs(keys, further) for keys, further in zip(bands, neighbours)]
    coded = np.unique(np.concatenate(proposed))
    left, right = np.divmod(coded, len(alive))
    left, right = alive[left], alive[right]
    near = minhash.likely(signature[left], signature[right], threshold)
    left, right = left[near], right[near]
    similarity = minhash.exact_jaccard(
        [bodies[i] for i in left.tolist()], [bodies[i] for i in right.tolist()]
    )
    return np.stack([left, right], axis=1)[similarity >= threshold]


def _bucket_pairs(keys: np.ndarray, further: np.ndarray) -> np.ndarray:
    """Candidate pairs of one band, coded `smaller * n + larger`.

    All pairs of a small bucket; of a large one each member with the first and with the next, those
    that share a `further` band side by side. What a large bucket misses is proposed in a later
    turn, when those found alike are gone and another band sets the order.
    """
    order = np.argsort(keys, kind="stable")
    size = _run_lengths(keys[order])
    if size.max() > ALL_PAIRS_UP_TO:
        order = np.lexsort((further, keys))
    place = np.arange(len(keys)) - np.repeat(np.cumsum(size) - size, size)
    sizes = np.repeat(size, size)
    pairs = []
    for step in range(1, min(ALL_PAIRS_UP_TO, int(size.max()))):
        later = np.flatnonzero((place >= step) & ((sizes <= ALL_PAIRS_UP_TO) | (step == 1)))
        pairs.append(_code(order[later - step], order[later], len(keys)))
    large = np.flatnonzero((sizes > ALL_PAIRS_UP_TO) & (place > 0))
    pairs.append(_code(order[large - place[large]], order[large], len(keys)))
    return np.concatenate(pairs)


def _run_lengths(ordered: np.ndarray) -> np.ndarray:
    begin = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]))
    return np.diff(np.append(begin, len(ordered)))


def _code(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    return np.minimum(a, b) * n + np.maximum(a, b)


def _drop(keeper: np.ndarray, pairs: np.ndarray) -> int:
    """Let each kept text of a pair's smaller index stand for the larger one.

    Return how many were dropped.
    """
    dropped = 0
    for small, large in pairs.tolist():
        if keeper[small] == small and keeper[large] == large:
            keeper[large] = small
            dropped += 1
    return dropped


def _mend_chains(keeper: np.ndarray, bodies: Sequence[str], threshold: float) -> None:
    """Look again at texts whose keeper was dropped itself.

    Its heir stands for those it is like; the rest are kept again.
    """
    orphans = np.flatnonzero(keeper[keeper] != keeper)
    heirs = keeper[keeper[orphans]]
    similarity = minhash.exact_jaccard(
        [bodies[i] for i in orphans.tolist()], [bodies[i] for i in heirs.tolist()]
    )
    keeper[orphans] = np.where(similarity >= threshold, heirs, orphans)
