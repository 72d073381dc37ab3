"""What tells two models apart: every byte of what decides their answers."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from selene_lib.files import sha256_file

# Weights, configuration, tokenizer and chat template; a card or a log changes no answer.
_DECISIVE = {".safetensors", ".bin", ".pt", ".json", ".jinja", ".model", ".txt", ".tiktoken"}


def weights_hash(path: str) -> str:
    """Hash all that decides a model's answers: weights, configuration, tokenizer, chat template.

    `path` is a folder or a hub id, of which the files on this machine are hashed; an id of which
    none are here stays as it is. In full: two models that differ in one weight are two models. A
    model of 16 GB takes some ten seconds, once a process.
    """
    folder = model_folder(path)
    if folder is None:
        return path
    found = sorted(p for p in folder.iterdir() if p.suffix in _DECISIVE and p.is_file())
    return _hash_of(tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in found))


def model_folder(name: str, revision: str | None = None) -> Path | None:
    """Return the folder of a model's files on this machine, None where it has none."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # no name of the hub: a path that is not there
        return None
    return Path(found).parent if isinstance(found, str) else None


@functools.lru_cache(maxsize=64)
def _hash_of(state: tuple[tuple[str, int, int], ...]) -> str:
    parts = [f"{Path(path).name} {sha256_file(path)}" for path, _, _ in state]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
