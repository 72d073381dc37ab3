"""Encoded pairs on disk: made once, in parallel, for every arm and seed of the same pairs.

A set lies in a folder named by what it was made of: the texts, the tokenizer, the limits and the
encoder's own source. `tokens.bin` is read as a memory map, so several processes of one machine
share one copy of it and none holds the whole set.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.files import (
    DamagedError,
    move_aside,
    read_proven,
    sha256_file,
    write_proven,
)
from selene_lib.prompts import chat, control_tokens, rendering
from selene_lib.records import PreferencePair
from selene_lib.training import encoding
from selene_lib.training.encoding import EncodedPairs, EncodedSet, OverlongPolicy, encode_pairs

# large enough that sending the tokenizer along (9 MB for Llama-3) is nothing beside the encoding
PAIRS_A_PART = 2048
_TOKENS, _LENGTHS, _ABOUT = "tokens.bin", "lengths.npy", "about.json"
_KINDS = {"ids": list, "n_dropped": dict, "shortened_ids": list, "sha256": dict}


def encode_once(
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    folder: str | Path,
    *,
    max_length_tokens: int,
    overlong: OverlongPolicy = "drop",
    n_jobs: int | None = None,
) -> EncodedSet:
    """Return what `encode_pairs` returns, from `folder` where it stands there already.

    More than `PAIRS_A_PART` pairs are encoded by `n_jobs` processes (default: one a core). Equal
    input gives equal files whatever their number. A damaged set is made again.
    """
    key = encoding_key(tokenizer, pairs, max_length_tokens, overlong)
    place = Path(folder) / key[:32]
    found = _read(place)
    if found is None:
        parts = _encode_parts(tokenizer, pairs, max_length_tokens, overlong, n_jobs)
        _write(parts, place)
        found = _read(place)
    if found is None:
        raise OSError(f"{place} cannot be read back right after it was written: check the disk")
    return found


def encoding_key(
    tokenizer: Any, pairs: Sequence[PreferencePair], max_length_tokens: int, overlong: str
) -> str:
    """SHA-256 of everything that token ids depend on."""
    digest = hashlib.sha256(_tokenizer_text(tokenizer).encode())
    for module in (encoding, chat, control_tokens, rendering):
        digest.update(sha256_file(str(module.__file__)).encode())
    digest.update(f"\x1e{max_length_tokens}\x1e{overlong}\x1e".encode())
    for pair in pairs:
        elastic = json.dumps(pair.meta.get("elastic"))
        parts = (pair.id, pair.task, pair.prompt, pair.chosen, pair.rejected, elastic, "\x1e")
        digest.update("\x1f".join(parts).encode())
    return digest.hexdigest()


def _tokenizer_text(tokenizer: Any) -> str:
    """The tokenizer as text: its whole pipeline where it is a fast one, else its vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    pipeline = backend.to_str() if backend else json.dumps(sorted(tokenizer.get_vocab().items()))
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.chat_template]
    return json.dumps([type(tokenizer).__name__, pipeline, special])


def _encode_parts(
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    max_length_tokens: int,
    overlong: OverlongPolicy,
    n_jobs: int | None,
) -> Iterator[EncodedSet]:
    """Encode the pairs part by part, in order, on several cores where there are several parts."""
    encode = partial(encode_pairs, max_length_tokens=max_length_tokens, overlong=overlong)
    parts = [pairs[i : i + PAIRS_A_PART] for i in range(0, len(pairs), PAIRS_A_PART)]
    if len(parts) < 2 or n_jobs == 1:
        return (encode(tokenizer, part) for part in parts)
    from joblib import Parallel, cpu_count, delayed

    running = Parallel(n_jobs=min(n_jobs or cpu_count(), len(parts)), return_as="generator")
    return running(delayed(encode)(tokenizer, part) for part in parts)


def _write(parts: Iterator[EncodedSet], place: Path) -> None:
    """Write a set beside its place and move it there whole; somebody else may have been first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        _write_files(parts, work)
        shutil.rmtree(place, ignore_errors=True)  # a damaged one
        if os.path.lexists(place):
            move_aside(place)  # no folder at all
        os.replace(work, place)
    except OSError:
        if _read(place) is None:
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_files(parts: Iterator[EncodedSet], work: Path) -> None:
    ids: list[str] = []
    lengths = [np.zeros((0, 3), np.int32)]
    dropped: dict[str, int] = {}
    shortened: list[str] = []
    with open(work / _TOKENS, "wb") as stream:
        for part in parts:
            part.pairs.tokens.tofile(stream)
            lengths.append(part.pairs.lengths)
            ids += part.pairs.ids
            shortened += part.shortened_ids
            for reason, n in part.n_dropped.items():
                dropped[reason] = dropped.get(reason, 0) + n
        stream.flush()
        os.fsync(stream.fileno())
    np.save(work / _LENGTHS, np.concatenate(lengths))
    hashes = {name: sha256_file(work / name) for name in (_TOKENS, _LENGTHS)}
    about = {"ids": ids, "n_dropped": dropped, "shortened_ids": shortened, "sha256": hashes}
    write_proven(work / _ABOUT, about)


def _read(place: Path) -> EncodedSet | None:
    """The set that stands at a place; None where there is none or its files are damaged."""
    if not (place / _ABOUT).is_file():
        return None
    try:
        about = read_proven(place / _ABOUT)
    except DamagedError:
        return None
    if {name: type(value) for name, value in about.items()} != _KINDS:
        return None
    for name in (_TOKENS, _LENGTHS):
        sha256 = about["sha256"].get(name)
        if not (place / name).is_file() or sha256_file(place / name) != sha256:
            return None
    path = place / _TOKENS
    # an empty file cannot be mapped
    tokens = np.memmap(path, np.int32, "r") if path.stat().st_size else np.zeros(0, np.int32)
    pairs = EncodedPairs(about["ids"], np.load(place / _LENGTHS), tokens)
    return EncodedSet(pairs, about["n_dropped"], tuple(about["shortened_ids"]))
