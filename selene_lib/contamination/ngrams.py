"""The 13-grams of all benchmark texts, and what share of them a training text holds.

Thirteen words are the stretch that Brown et al. 2020 (arXiv 2005.14165, appendix C) count as a
collision.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selene_lib.contamination.words import WordTable, hash_words, map_batches, ngram_hashes

NGRAM_WORDS = 13


class NgramIndex:
    """Sorted distinct n-gram hashes of some texts and who owns each.

    Two tables of bits say "none" quickly. Hash and owner are packed into one integer, so that a
    single plain sort orders and joins them: with 20,000 texts 49 bits are left to the hash, and
    among 80 million n-grams of training text less than one is expected to meet a wrong one. An
    n-gram with more than `max_owners` distinct owners is boilerplate and is left out of the index
    (not of the counts).
    """

    def __init__(self, texts: Sequence[str], max_owners: int) -> None:
        self._owner_bits = np.uint64(max(1, len(texts).bit_length()))
        keys = _packed_ngrams(texts, self._owner_bits)
        self.owners = (keys & ((np.uint64(1) << self._owner_bits) - np.uint64(1))).astype(np.int64)
        self.n_of_text = np.bincount(self.owners, minlength=len(texts))
        keys >>= self._owner_bits
        begin = np.flatnonzero(np.diff(keys, prepend=~keys[:1]))
        counts = np.diff(np.append(begin, len(keys)))
        rare = counts <= max_owners
        self.hashes, self.begin, self.counts = keys[begin[rare]], begin[rare], counts[rare]
        self._n_bits = max(16, min(26, int(len(self.hashes) * 4).bit_length()))
        self._high = np.zeros(1 << self._n_bits, dtype=bool)
        self._low = np.zeros(1 << self._n_bits, dtype=bool)
        self._high[self._high_bits(self.hashes)] = True
        self._low[self._low_bits(self.hashes)] = True

    def _high_bits(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes >> (np.uint64(64 - self._n_bits) - self._owner_bits)).view(np.int64)

    def _low_bits(self, hashes: np.ndarray) -> np.ndarray:
        return (hashes & np.uint64((1 << self._n_bits) - 1)).view(np.int64)

    def shares(self, table: WordTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(text of the table, indexed text, share) of all pairs with an n-gram in common.

        The share is the number of distinct n-grams in common over that of the text that has fewer.
        """
        hashes, rows = ngram_hashes(table, NGRAM_WORDS)
        hashes >>= self._owner_bits
        where, _ = self._hits(hashes)
        touched = np.zeros(len(table.offsets) - 1, dtype=bool)
        touched[rows[where]] = True
        some = touched[rows]
        hashes, rows = _distinct_pairs(hashes[some], rows[some])
        n_of_row = np.bincount(rows, minlength=len(touched))
        where, places = self._hits(hashes)
        owners = self.owners[ranges(self.begin[places], self.counts[places])]
        n_texts = max(len(self.n_of_text), 1)
        row_of_each = np.repeat(rows[where], self.counts[places]).astype(np.int64)
        keys, n_shared = np.unique(row_of_each * n_texts + owners, return_counts=True)
        i, j = np.divmod(keys, n_texts)
        return i, j, n_shared / np.minimum(n_of_row[i], self.n_of_text[j])

    def _hits(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(positions in `hashes`, positions in the index) of those the index holds."""
        if not len(self.hashes):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        candidates = np.flatnonzero(self._high.take(self._high_bits(hashes)))
        candidates = candidates[self._low.take(self._low_bits(hashes[candidates]))]
        # Sorted questions meet warm memory: twice as fast.
        candidates = candidates[np.argsort(hashes[candidates])]
        places = np.searchsorted(self.hashes, hashes[candidates])
        places[places == len(self.hashes)] = 0
        real = self.hashes[places] == hashes[candidates]
        return candidates[real], places[real]


def _packed_ngrams(texts: Sequence[str], owner_bits: np.uint64) -> np.ndarray:
    """Sorted distinct `leading bits of an n-gram's hash | its owner` of all texts."""

    def work(begin: int, batch: Sequence[str]) -> np.ndarray:
        hashes, rows = ngram_hashes(hash_words(batch), NGRAM_WORDS)
        return ((hashes >> owner_bits) << owner_bits) | (rows + np.int64(begin)).astype(np.uint64)

    keys = np.concatenate([np.zeros(0, np.uint64), *map_batches(work, texts)])
    keys.sort()
    return keys[np.diff(keys, prepend=~keys[:1]) != 0]


def _distinct_pairs(values: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (value, row) pairs, ordered by row and value."""
    order = np.lexsort((values, rows))
    values, rows = values[order], rows[order]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (values[1:] != values[:-1]) | (rows[1:] != rows[:-1])
    return values[new], rows[new]


def ranges(begin: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate arange(b, b + c) of each b, c."""
    if not len(begin):
        return np.zeros(0, dtype=np.int64)
    return np.repeat(begin - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
