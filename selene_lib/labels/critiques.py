"""Critiques of labelled items by a served model, for pairs that hold reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import Generator, GeneratorSpec
from selene_lib.errors import UserError
from selene_lib.records import Critique, Sample


def write_critiques(
    samples: Sequence[Sample], generator: str, work: Path, family: str, seed: int
) -> list[Critique]:
    """Return two verified critiques for each sample that gets them; replies are kept in `work`, so
    that none is paid for twice. A UserError where no sample got both.
    """
    opened = opener_of(generator)
    store = work / "critiques.jsonl"
    found = generate_critiques(samples, opened, store=store, seed=seed, family=family)
    if not found.critiques:
        raise UserError(
            f"{generator} wrote no pair of usable critiques; look at {store}, give another "
            "--generator, or none for pairs of verdicts"
        )
    return found.critiques


def opener_of(name: str) -> Generator:
    """Open `teacher` (the embedded world's) or `http://host/v1#model`."""
    if name == "teacher":
        spec = GeneratorSpec("teacher")
    else:
        address, _, model = name.partition("#")
        if not model or not address.lower().startswith(("http://", "https://")):
            raise UserError(f"generator {name!r}: give it as http://host/v1#model")
        spec = GeneratorSpec("server", model, address)
    opened = open_generator(spec)
    assert opened is not None  # only `published` is none
    return opened
