"""What tells two sets of weights apart, without reading a hundred gigabytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from selene_lib.files import sha256_file, size_bytes

_FULL_HASH_LIMIT_BYTES = 200_000_000
_SAMPLE_BYTES = 4096


def weights_hash(path: str) -> str:
    """Hash a model folder: in full when small, else its JSON files and samples of its weights.

    A hub id stays as it is.
    """
    folder = Path(path)
    if not folder.is_dir():
        return path
    files = sorted(
        p for p in folder.iterdir() if p.is_file() and p.suffix in (".safetensors", ".json")
    )
    is_small = size_bytes(folder) < _FULL_HASH_LIMIT_BYTES
    parts = []
    for file in files:
        in_full = is_small or file.suffix == ".json"
        parts.append(f"{file.name} {sha256_file(file) if in_full else sampled_hash(file)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sampled_hash(path: Path) -> str:
    """Hash size, header, and the beginning, middle and end of every tensor of a safetensors file.

    Training moves every weight of a tensor that it moves at all, so that two models that differ in
    any tensor differ in its samples. Of another kind of file, samples are taken evenly.
    """
    n_bytes = path.stat().st_size
    digest = hashlib.sha256(str(n_bytes).encode())
    with open(path, "rb") as stream:
        header, spans = _tensors(stream.read(8), path, n_bytes)
        digest.update(header)
        for begin, end in spans:
            middle = (begin + end) // 2
            for place in (begin, middle, max(begin, end - _SAMPLE_BYTES)):
                stream.seek(place)
                digest.update(stream.read(min(_SAMPLE_BYTES, end - place)))
    return digest.hexdigest()


def _tensors(length: bytes, path: Path, n_bytes: int) -> tuple[bytes, list[tuple[int, int]]]:
    """The header of a safetensors file, and where each tensor begins and ends in the file."""
    n_header = int.from_bytes(length, "little")
    if 8 + n_header <= n_bytes:
        with open(path, "rb") as stream:
            stream.seek(8)
            header = stream.read(n_header)
        try:
            tensors = json.loads(header)
            offsets = [t["data_offsets"] for name, t in tensors.items() if name != "__metadata__"]
        except (ValueError, TypeError, KeyError):
            offsets = []
        if offsets:
            first = 8 + n_header
            return header, [(first + begin, first + end) for begin, end in sorted(offsets)]
    step = max(_SAMPLE_BYTES, n_bytes // 1000)
    return b"", [(at, min(at + step, n_bytes)) for at in range(0, n_bytes, step)]
