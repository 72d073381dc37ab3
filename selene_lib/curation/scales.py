"""Absolute samples put on other scales than 1-5, so that a judge reads the scale in its prompt.

A scale is named by its ends. `1-3` keeps the rubric's lines of 1, 3 and 5 and merges the scores
between; `0-1` asks whether the score is 4 or 5 and is answered with No and Yes, since the labels of
our prompts are words. Relatives train on several scales (FARE: 0-1, 1-3, 1-5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from selene_lib.errors import UserError
from selene_lib.prompts.rubrics import split_rubric, write_rubric
from selene_lib.records import Sample, unit_hash

SCALE = "scale"
"""In `meta`: the highest score of a sample whose scale is not 1-5."""


@dataclass(frozen=True)
class Scale:
    """`lines` are the scores of the 1-5 rubric whose descriptions stay, `merged` where each of the
    five scores goes.
    """

    lines: tuple[int, ...]
    merged: Mapping[int, int]


SCALES: Mapping[str, Scale | None] = {
    "1-5": None,
    "1-3": Scale((1, 3, 5), {1: 1, 2: 1, 3: 2, 4: 3, 5: 3}),
    "1-2": Scale((1, 5), {1: 1, 2: 1, 3: 1, 4: 2, 5: 2}),
    "0-1": None,
}


def scales_of(text: str) -> tuple[str, ...]:
    """Read a comma separated list of scales; an unknown one is a UserError."""
    names = tuple(name.strip() for name in text.split(",") if name.strip()) or ("1-5",)
    unknown = next((name for name in names if name not in SCALES), None)
    if unknown is not None:
        raise UserError(f"no scale {unknown!r}; there are {', '.join(SCALES)}")
    return names


def on_scales(samples: Sequence[Sample], scales: Sequence[str], seed: int) -> list[Sample]:
    """Return the samples, each absolute one on one of the scales, by a hash of its id.

    A sample whose rubric does not describe all five scores stays as it is.
    """
    found = []
    for sample in samples:
        if sample.task == "absolute" and sample.label is not None and len(scales) > 1:
            drawn = int(unit_hash(seed, "scale", sample.id) * len(scales))
            sample = rescale(sample, scales[drawn])
        found.append(sample)
    return found


def rescale(sample: Sample, name: str) -> Sample:
    """Return an absolute sample of 1-5 on another scale, with rubric, label and score."""
    criterion, described = split_rubric(sample.rubric, "absolute")
    if name == "1-5" or not all(described.get(str(score)) for score in range(1, 6)):
        return sample
    gold = int(str(sample.label))
    if name == "0-1":
        rubric = f"{criterion}\nYes: {described['4']}\nNo: {described['2']}"
        label = "Yes" if gold >= 4 else "No"
        return replace(sample, task="classification", rubric=rubric, label=label, score=None)
    scale = SCALES[name]
    if scale is None:
        raise UserError(f"no scale {name!r}; there are {', '.join(SCALES)}")
    rubric = write_rubric(criterion, [described[str(score)] for score in scale.lines])
    label = str(scale.merged[gold])
    meta = {**sample.meta, SCALE: len(scale.lines)}
    return replace(sample, rubric=rubric, label=label, score=float(label), meta=meta)
