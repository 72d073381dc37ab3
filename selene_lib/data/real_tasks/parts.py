"""Which part an item belongs to: a hash of its group decides, so no group lies in two parts."""

from __future__ import annotations

from typing import Literal

from selene_lib.data.spec import DropRow
from selene_lib.records import Sample, unit_hash

Part = Literal["training", "test"]
TEST_SHARE = 0.4


def part_of(group: str) -> Part:
    """Return the part of a group: two fifths of all groups are the test."""
    return "test" if unit_hash(0, "part", group) < TEST_SHARE else "training"


def only(part: Part, sample: Sample) -> Sample | DropRow:
    """Return the sample where it lies in `part`, else the reason why it is left out."""
    if part_of(sample.group) == part:
        return sample
    return DropRow("in the test part" if part == "training" else "in the training part")
