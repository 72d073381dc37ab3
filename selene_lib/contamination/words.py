"""Texts as arrays of word hashes.

Normalisation, words and n-grams of a whole batch at once, without a Python loop over words. A text
is normalised by a table over code points (compatibility form, accents off, case folded, everything
but letters, marks and digits a blank), so "case and punctuation ignored" is one array look-up. A
word's hash is a polynomial over its folded code points modulo 2**64; sums of products with powers
are taken once per batch as prefix sums, and the hash of any stretch (word, n-gram, text) is a
difference of two of them times an inverse power (Rabin-Karp). Scripts written without blanks count
each character as a word.
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

BATCH_CHARS = 1 << 17
_N_TABLE = 0x20000
_LETTER_BASE = 0x9E3779B97F4A7C15
_WORD_BASE = 0xD1342543DE82EF95
_NO_BLANKS = (
    (0x0E00, 0x0F00),
    (0x1000, 0x10A0),
    (0x1780, 0x1800),
    (0x3040, 0x3100),
    (0x31F0, 0x3200),
    (0x3400, 0xA000),
    (0xF900, 0xFB00),
)
T = TypeVar("T")


@dataclass(frozen=True)
class WordTable:
    """Words of a batch of texts.

    `hashes` (uint64) is one a word, `offsets` has n_texts + 1 entries, `n_chars` is that of each
    normalised text.
    """

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


def spread_bits(values: np.ndarray) -> np.ndarray:
    """Spread every input bit over all 64 output bits, in place.

    This is the finaliser of splitmix64 (Steele et al. 2014).
    """
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def fold_code_point(code: int) -> int:
    """Return the code point a character counts as, 0 for a separator.

    That is its base letter in lower case (`É` -> `e`, `①` -> `1`).
    """
    text = unicodedata.normalize("NFKD", chr(code))[:1].casefold()[:1]
    if not text:
        return 0
    return ord(text) if text.isalnum() or unicodedata.category(text)[0] == "M" else 0


@functools.cache
def _fold_table() -> np.ndarray:
    return np.array([fold_code_point(code) for code in range(_N_TABLE)], dtype=np.uint32)


@functools.cache
def _letter_values() -> np.ndarray:
    """Return a random 64-bit value for each code point; 0 for separators.

    It is the same for all that fold together.
    """
    folded = _fold_table()
    return np.where(folded == 0, np.uint64(0), _letter_value(folded))


def _letter_value(codes: np.ndarray) -> np.ndarray:
    return spread_bits(codes.astype(np.uint64) * np.uint64(_LETTER_BASE)) | np.uint64(1)


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
    return max(BATCH_CHARS * 4, 1 << int(n).bit_length())


@dataclass(frozen=True)
class Letters:
    """A batch of texts as one row of folded letters.

    `values` are uint64, 0 between words; `ends` is of each text; `lone` are lone letters or None.
    """

    values: np.ndarray
    ends: np.ndarray
    lone: np.ndarray | None

    @property
    def begins(self) -> np.ndarray:
        """Where each text begins; every text has at least one place, its closing blank."""
        return np.concatenate([[0], self.ends[:-1]]).astype(np.int64)


def fold_letters(texts: Sequence[str]) -> Letters:
    """Normalise a batch of texts.

    Precomposed and decomposed accents are one; rare ideographs count as lone letters.
    """
    texts = [t if t.isascii() else unicodedata.normalize("NFC", t) for t in texts]
    ends = np.cumsum([len(t) + 1 for t in texts], dtype=np.int64)
    joined = "\n".join(texts) + "\n"
    if joined.isascii():
        ascii_codes = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
        return Letters(_letter_values()[:128].take(ascii_codes), ends, None)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    rare = np.flatnonzero(codes >= _N_TABLE)
    rare_codes = codes[rare]
    if len(rare):
        codes = np.minimum(codes, np.uint32(_N_TABLE - 1))
    values, lone = _letter_values().take(codes), _lone_letters().take(codes)
    values[rare] = _letter_value(rare_codes)
    lone[rare] = True
    return Letters(values, ends, lone)


def hash_words(texts: Sequence[str]) -> WordTable:
    """Normalise and hash a batch of texts.

    Equal words have equal hashes; case, accents and punctuation do not count.
    """
    if not len(texts):
        return WordTable(np.zeros(0, np.uint64), np.zeros(1, np.int64), np.zeros(0, np.int64))
    letters = fold_letters(texts)
    is_letter = letters.values != 0
    starts = is_letter.copy()
    starts[1:] &= ~is_letter[:-1]
    if letters.lone is not None:
        starts |= letters.lone
        starts[1:] |= is_letter[1:] & letters.lone[:-1]
    first = np.flatnonzero(starts)
    sums, inverses = _prefix_sums(letters.values, _LETTER_BASE)
    hashes = _stretch_hashes(sums, first, np.append(first[1:], len(sums) - 1), inverses)
    offsets = np.searchsorted(first, np.append(letters.begins, letters.ends[-1]))
    n_letters = np.add.reduceat(is_letter, letters.begins, dtype=np.int64)
    return WordTable(hashes, offsets, n_letters + np.maximum(np.diff(offsets) - 1, 0))


def _prefix_sums(values: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    """Return exclusive prefix sums of values * base**i modulo 2**64, shape (n + 1,).

    The inverse powers they are read with come with them.
    """
    powers, inverses = _powers(base, _room(len(values)))
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(values * powers[: len(values)], out=sums[1:])
    return sums, inverses


def _stretch_hashes(
    sums: np.ndarray, begin: np.ndarray, end: np.ndarray, inverses: np.ndarray
) -> np.ndarray:
    """Return the hash of each half-open stretch [begin, end) of the values under `_prefix_sums`.

    It is the same wherever the stretch stands.
    """
    return spread_bits((sums[end] - sums[begin]) * inverses[begin])


def text_hashes(table: WordTable) -> np.ndarray:
    """One hash for each text's sequence of words, uint64, shape (n_texts,)."""
    sums, inverses = _prefix_sums(table.hashes, _WORD_BASE)
    return _stretch_hashes(sums, table.offsets[:-1], table.offsets[1:], inverses)


def ngram_hashes(table: WordTable, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all n-grams of words and the text each belongs to.

    A text of fewer than n words has none.
    """
    n_grams = len(table.hashes) - n + 1
    if n_grams <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int32)
    sums, inverses = _prefix_sums(table.hashes, _WORD_BASE)
    grams = sums[n:] - sums[:-n]
    grams *= inverses[:n_grams]
    rows = table.rows()
    whole = rows[n - 1 :] == rows[:n_grams]
    return spread_bits(grams[whole]), rows[:n_grams][whole]


def batches(
    texts: Sequence[str], n_chars: int = BATCH_CHARS
) -> Iterator[tuple[int, Sequence[str]]]:
    """Cut texts into runs of about `n_chars` characters: (index of the first, texts).

    Small batches stay in the cache.
    """
    begin, size = 0, 0
    for i, text in enumerate(texts):
        size += len(text) + 1
        if size >= n_chars:
            yield begin, texts[begin : i + 1]
            begin, size = i + 1, 0
    if begin < len(texts):
        yield begin, texts[begin:]


def map_batches(
    work: Callable[[int, Sequence[str]], T], texts: Sequence[str], *, n_threads: int | None = None
) -> Iterator[T]:
    """Yield `work(first_index, texts)` of every batch, in order.

    Threads help because numpy lets go of the interpreter lock.
    """
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
