"""MinHash signatures of word shingles, and candidate pairs by banding.

The exact Jaccard index confirms them. Broder 1997 (resemblance), Leskovec, Rajaraman & Ullman,
"Mining of Massive Datasets", ch. 3 (banding).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selene_lib.contamination.words import (
    WordTable,
    batches,
    hash_words,
    ngram_hashes,
    spread_bits,
    text_hashes,
)

SHINGLE_WORDS = 3
N_PERMUTATIONS = 64
_SEED = 20250128
_HASH_BITS = 44


def shingles(table: WordTable, n: int = SHINGLE_WORDS) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of the n-word shingles and the text of each, ordered by text.

    A text of 1 to n - 1 words is one shingle.
    """
    hashes, rows = ngram_hashes(table, n)
    short = np.flatnonzero((table.n_words > 0) & (table.n_words < n)).astype(np.int32)
    if not len(short):
        return hashes, rows
    hashes = np.concatenate([hashes, text_hashes(table)[short]])
    rows = np.concatenate([rows, short])
    order = np.argsort(rows, kind="stable")
    return hashes[order], rows[order]


def signatures(table: WordTable, *, n_permutations: int = N_PERMUTATIONS) -> np.ndarray:
    """MinHash signatures, uint32, shape (n_texts, n_permutations).

    A text without words has all slots at the maximum.
    """
    n_texts = len(table.offsets) - 1
    result = np.full((n_permutations, n_texts), np.iinfo(np.uint32).max, dtype=np.uint32)
    hashes, rows = shingles(table)
    if len(rows):
        begin = np.flatnonzero(np.diff(rows, prepend=-1))
        _fill(result, rows[begin], (hashes >> np.uint64(32)).astype(np.uint32), begin)
    return result.T.copy()


def _fill(result: np.ndarray, texts: np.ndarray, values: np.ndarray, begin: np.ndarray) -> None:
    room = np.empty_like(values)
    for i, (flip, factor) in enumerate(_permutations(len(result))):
        np.bitwise_xor(values, flip, out=room)
        np.multiply(room, factor, out=room)
        result[i, texts] = np.minimum.reduceat(room, begin)


def _permutations(n: int) -> np.ndarray:
    """`h -> (h ^ flip) * factor` with odd factors: n bijections of 32 bits, shape (n, 2)."""
    draws = np.random.default_rng(_SEED).integers(0, 2**32, size=(n, 2), dtype=np.uint32)
    draws[:, 1] |= 1
    return draws


def band_shape(
    threshold: float, n_permutations: int = N_PERMUTATIONS, *, recall: float = 0.93
) -> tuple[int, int]:
    """Return (bands, rows), with the most rows a band that keep the recall.

    A pair at `threshold` shares a band with at least `recall` probability.
    """
    for n_rows in range(n_permutations, 1, -1):
        n_bands = n_permutations // n_rows
        if 1 - (1 - threshold**n_rows) ** n_bands >= recall:
            return n_bands, n_rows
    return n_permutations, 1


def band_keys(signature: np.ndarray, n_bands: int, n_rows: int) -> np.ndarray:
    """One 64-bit key for each band of each text, shape (n_bands, n_texts).

    Equal keys make a candidate pair.
    """
    keys = np.zeros((n_bands, len(signature)), dtype=np.uint64)
    for band in range(n_bands):
        key = np.full(len(signature), np.uint64(band + 1))
        for slot in range(band * n_rows, (band + 1) * n_rows):
            key = spread_bits(key ^ signature[:, slot])
        keys[band] = key
    return keys


def estimated_jaccard(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Share of equal slots of paired signatures.

    It estimates the Jaccard index j with standard error sqrt(j(1-j)/slots).
    """
    return (left == right).mean(axis=1, dtype=np.float32)


def likely(left: np.ndarray, right: np.ndarray, threshold: float) -> np.ndarray:
    """Return which pairs need an exact look.

    The others have an estimate more than three standard errors below `threshold`.
    """
    slack = 3 * np.sqrt(threshold * (1 - threshold) / left.shape[1])
    return estimated_jaccard(left, right) >= threshold - slack


def exact_jaccard(left: Sequence[str], right: Sequence[str]) -> np.ndarray:
    """Jaccard index of the shingle sets of paired texts, float64, shape (n_pairs,).

    Two texts without words count 0.
    """
    result = np.zeros(len(left))
    for begin, part in batches([a + "\n" + b for a, b in zip(left, right)]):
        end = begin + len(part)
        result[begin:end] = _jaccard_batch(left[begin:end], right[begin:end])
    return result


def _jaccard_batch(left: Sequence[str], right: Sequence[str]) -> np.ndarray:
    n = len(left)
    a, b = _shingle_keys(left), _shingle_keys(right)
    both = np.concatenate([a, b])
    both.sort()
    n_shared = _count_by_text(both[1:][both[1:] == both[:-1]], n)
    union = _count_by_text(a, n) + _count_by_text(b, n) - n_shared
    return np.divide(n_shared, union, out=np.zeros(n), where=union > 0)


def _shingle_keys(texts: Sequence[str]) -> np.ndarray:
    """Return sorted distinct keys, so that one sort of plain integers serves.

    The text's number stands in the upper 20 bits, 44 bits of the shingle's hash below.
    """
    hashes, rows = shingles(hash_words(texts))
    upper = rows.astype(np.uint64) << np.uint64(_HASH_BITS)
    keys = upper | (hashes >> np.uint64(64 - _HASH_BITS))
    keys.sort()
    return keys[np.diff(keys, prepend=~keys[:1]) != 0]


def _count_by_text(keys: np.ndarray, n: int) -> np.ndarray:
    return np.bincount((keys >> np.uint64(_HASH_BITS)).astype(np.int64), minlength=n)
