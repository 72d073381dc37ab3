"""Samples in and out of the contamination check.

Which of their texts are compared, and which of them go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from selene_lib.contamination.overlaps import METHODS, REMOVING, Overlap
from selene_lib.records import Sample

PARTS = ("instruction", "response", "response_b", "reference")


@dataclass(frozen=True)
class Removal:
    """What is left of a training set, and how many samples went.

    They are counted by the method that found them first (a ledger row each).
    """

    kept: list[Sample]
    n_dropped: dict[str, int]


def sample_texts(sample: Sample, parts: Sequence[str] = PARTS) -> list[tuple[str, str]]:
    """The texts of a sample that are compared, as (`<id>#<part>`, text).

    `parts=("instruction",)` for the overlap of prompts alone.
    """
    texts = [(part, getattr(sample, part)) for part in parts]
    return [(f"{sample.id}#{part}", text) for part, text in texts if text and text.strip()]


def all_texts(samples: Iterable[Sample], parts: Sequence[str] = PARTS) -> list[tuple[str, str]]:
    """`sample_texts` of many samples, in one list."""
    return [pair for sample in samples for pair in sample_texts(sample, parts)]


def sample_id(text_id: str) -> str:
    """The sample's id in a text's id (`<id>#<part>`)."""
    return text_id.rpartition("#")[0] or text_id


def remove_contaminated(
    samples: Sequence[Sample],
    overlaps: Iterable[Overlap],
    *,
    methods: Sequence[str] = REMOVING,
) -> Removal:
    """Take out the training samples that `overlaps` names by one of `methods`.

    Counted once each, under the first of `METHODS` that found them.
    """
    order = {name: place for place, name in enumerate(METHODS)}  # the strictest first
    method: dict[str, str] = {}
    for overlap in overlaps:
        if overlap.method not in methods:
            continue
        name = sample_id(overlap.train_id)
        known = method.get(name)
        if known is None or order[overlap.method] < order[known]:
            method[name] = overlap.method
    n_dropped: dict[str, int] = {}
    for sample in samples:
        if sample.id in method:
            n_dropped[method[sample.id]] = n_dropped.get(method[sample.id], 0) + 1
    return Removal([s for s in samples if s.id not in method], n_dropped)


def clean_part(
    samples: Sequence[Sample],
    overlaps: Iterable[Overlap],
    *,
    methods: Sequence[str] = REMOVING,
) -> list[Sample]:
    """Return the samples of a benchmark that no training text repeats by one of `methods`.

    The score on the clean part is taken over them; `methods=METHODS` is the strict part.
    """
    dirty = {sample_id(o.bench_id) for o in overlaps if o.method in methods}
    return [s for s in samples if s.id not in dirty]
