"""Which model a name means: `embedded` is the tiny base that ships with the project, anything else a folder or a hub id."""

from __future__ import annotations

from pathlib import Path

EMBEDDED = "embedded"


def resolve_model(name: str) -> str:
    """Return the path or hub id that transformers can load for `name`."""
    if name == EMBEDDED:
        from selene_lib.nano import base_path

        return str(base_path())
    return name


def short_name(name: str) -> str:
    """Return a name fit for a table: the last part of a path or hub id."""
    return name if name == EMBEDDED else Path(name).name


def is_embedded(name: str) -> bool:
    """Whether `name`, or the path it was resolved to, is the embedded model."""
    return name == EMBEDDED or name == resolve_model(EMBEDDED)


def use_one_thread() -> None:
    """Compute on one thread from here on: fastest for a model this small, and the same sums on every machine."""
    import torch

    torch.set_num_threads(1)


def silence_missing_4bit_kernel() -> None:
    """bitsandbytes says on import that a CPU kernel is missing, which nothing here uses (see `keep_4bit_weights_unpacked`)."""
    import logging

    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
