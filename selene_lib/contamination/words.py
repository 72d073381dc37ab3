"""Texts as arrays of word hashes: normalisation, words and n-grams of a whole batch at once, without a Python loop over words.

A text is normalised by a table over code points (compatibility form, accents off, case folded, everything but letters, marks
and digits a blank), so "case and punctuation ignored" is one array look-up. A word's hash is a polynomial over its folded code
points modulo 2**64; sums of products with powers are taken once per batch as prefix sums, and the hash of any stretch (word,
n-gram, text) is a difference of two of them times an inverse power (Rabin-Karp). Scripts written without blanks count each
character as a word.
"""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

BATCH_CHARS = 1 << 18
_N_TABLE = 0x20000
_LETTER_BASE = 0x9E3779B97F4A7C15
_WORD_BASE = 0xD1342543DE82EF95
_NO_BLANKS = ((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800), (0x3040, 0x3100), (0x31F0, 0x3200), (0x3400, 0xA000), (0xF900, 0xFB00))
T = TypeVar("T")


@dataclass(frozen=True)
class WordTable:
    """Words of a batch of texts: `hashes` (uint64, one a word), `offsets` (n_texts + 1), `n_chars` of each normalised text."""

    hashes: np.ndarray
    offsets: np.ndarray
    n_chars: np.ndarray

    @property
    def n_words(self) -> np.ndarray:
        """Words of each text, shape (n_texts,)."""
        return np.diff(self.offsets)

    def rows(self) -> np.ndarray:
        """The text each word belongs to, shape (n_words,)."""
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int32), self.n_words)


def mix(values: np.ndarray) -> np.ndarray:
    """Spread every input bit over all 64 output bits (the finaliser of splitmix64, Steele et al. 2014); works in place."""
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def fold_code_point(code: int) -> int:
    """The code point a character counts as: 0 for a separator, else its base letter in lower case (`É` -> `e`, `①` -> `1`)."""
    text = unicodedata.normalize("NFKD", chr(code))[:1].casefold()[:1]
    if not text:
        return 0
    return ord(text) if text.isalnum() or unicodedata.category(text)[0] == "M" else 0


@functools.cache
def _fold_table() -> np.ndarray:
    return np.array([fold_code_point(code) for code in range(_N_TABLE)], dtype=np.uint32)


@functools.cache
def _letter_values() -> np.ndarray:
    """A random 64-bit value for each code point, the same for all that fold together; 0 for separators."""
    folded = _fold_table().astype(np.uint64)
    return np.where(folded == 0, np.uint64(0), mix(folded * np.uint64(_LETTER_BASE)) | np.uint64(1))


@functools.cache
def _lone_letters() -> np.ndarray:
    lone = np.zeros(_N_TABLE, dtype=bool)
    for low, high in _NO_BLANKS:
        lone[low:high] = True
    return lone & (_fold_table() > 0)


@functools.cache
def _powers(base: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """`base**i` and `base**-i` modulo 2**64 for i < n; an odd base has an inverse."""
    inverse = pow(base, -1, 1 << 64)
    return _geometric(base, n), _geometric(inverse, n)


def _geometric(base: int, n: int) -> np.ndarray:
    values = np.full(n, np.uint64(base))
    values[0] = 1
    return np.cumprod(values, dtype=np.uint64)


def _room(n: int) -> int:
    return max(BATCH_CHARS * 2, 1 << int(n).bit_length())


def _code_points(texts: Sequence[str]) -> np.ndarray:
    joined = "\n".join(texts) + "\n"
    if joined.isascii():
        return np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def hash_words(texts: Sequence[str]) -> WordTable:
    """Normalise and hash a batch of texts. Equal words have equal hashes; case, accents and punctuation do not count."""
    texts = [t if t.isascii() else unicodedata.normalize("NFC", t) for t in texts]
    ends = np.cumsum([len(t) + 1 for t in texts])
    codes = _code_points(texts)
    if codes.dtype != np.uint8:
        codes = np.where(codes < _N_TABLE, codes, np.uint32(0x4E00) + codes % np.uint32(0x5000))  # rare ideographs: lone letters
    values = _letter_values().take(codes)
    is_letter = values != 0
    starts = is_letter.copy()
    starts[1:] &= ~is_letter[:-1]
    if codes.dtype != np.uint8:
        lone = _lone_letters().take(codes)
        starts |= lone
        starts[1:] |= is_letter[1:] & lone[:-1]
    first = np.flatnonzero(starts)
    powers, inverses = _powers(_LETTER_BASE, _room(len(codes)))
    values *= powers[: len(values)]
    np.cumsum(values, out=values)
    hashes = _stretches(values, first, np.append(first[1:], len(values)), inverses)
    offsets = np.searchsorted(first, np.concatenate([[0], ends]))
    letters = np.add.reduceat(is_letter, np.concatenate([[0], ends[:-1]]), dtype=np.int64) if len(texts) else np.zeros(0, np.int64)
    return WordTable(hashes, offsets, letters + np.maximum(np.diff(offsets) - 1, 0))


def _stretches(sums: np.ndarray, begin: np.ndarray, end: np.ndarray, inverses: np.ndarray) -> np.ndarray:
    """Hash of each half-open stretch [begin, end) from inclusive prefix sums of value * base**i."""
    padded_begin = np.where(begin > 0, sums[begin - 1], np.uint64(0)) if len(begin) else np.zeros(0, np.uint64)
    padded_end = np.where(end > 0, sums[end - 1], np.uint64(0)) if len(end) else np.zeros(0, np.uint64)
    return mix((padded_end - padded_begin) * inverses[begin])


def text_hashes(table: WordTable) -> np.ndarray:
    """One hash for each text's sequence of words, uint64, shape (n_texts,)."""
    if not len(table.hashes):
        return np.zeros(len(table.offsets) - 1, dtype=np.uint64)
    powers, inverses = _powers(_WORD_BASE, _room(len(table.hashes)))
    sums = np.cumsum(table.hashes * powers[: len(table.hashes)])
    return _stretches(sums, table.offsets[:-1], table.offsets[1:], inverses)


def ngram_hashes(table: WordTable, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all n-grams of words and the text each belongs to; a text of fewer than n words has none."""
    n_grams = len(table.hashes) - n + 1
    if n_grams <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int32)
    powers, inverses = _powers(_WORD_BASE, _room(len(table.hashes)))
    sums = np.zeros(len(table.hashes) + 1, dtype=np.uint64)
    np.cumsum(table.hashes * powers[: len(table.hashes)], out=sums[1:])
    grams = sums[n:] - sums[:-n]
    grams *= inverses[:n_grams]
    rows = table.rows()
    whole = rows[n - 1 :] == rows[:n_grams]
    return mix(grams[whole]), rows[:n_grams][whole]


def batches(texts: Sequence[str], n_chars: int = BATCH_CHARS) -> Iterator[tuple[int, Sequence[str]]]:
    """Cut texts into runs of about `n_chars` characters: (index of the first, texts). Small batches stay in the cache."""
    begin, size = 0, 0
    for i, text in enumerate(texts):
        size += len(text) + 1
        if size >= n_chars:
            yield begin, texts[begin : i + 1]
            begin, size = i + 1, 0
    if begin < len(texts):
        yield begin, texts[begin:]


def map_batches(work: Callable[[int, Sequence[str]], T], texts: Sequence[str], *, n_threads: int | None = None) -> Iterator[T]:
    """Yield `work(first_index, texts)` of every batch, in order. Threads help because numpy lets go of the interpreter lock."""
    n_threads = n_threads or min(4, os.cpu_count() or 1)
    if n_threads == 1:
        yield from (work(begin, part) for begin, part in batches(texts))
        return
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = []
        for begin, part in batches(texts):
            waiting.append(pool.submit(work, begin, part))
            if len(waiting) > 2 * n_threads:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
