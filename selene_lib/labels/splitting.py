"""Training, validation and held-out items: whole groups, labels in the same proportions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from selene_lib.errors import UserError
from selene_lib.records import Sample, unit_hash


@dataclass(frozen=True)
class Parts:
    """Items to train on, to calibrate on, and to measure on; no group is in two of them."""

    training: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    held_out: tuple[Sample, ...]

    def describe(self) -> str:
        """One line for a reader."""
        named = (
            ("trained on", self.training),
            ("to calibrate on", self.validation),
            ("held out", self.held_out),
        )
        return ", ".join(
            f"{len(samples)} {what} ({len({s.group for s in samples})} groups)"
            for what, samples in named
        )


def split_labels(
    samples: Sequence[Sample], *, holdout: float, validation: float, seed: int
) -> Parts:
    """Split by group, by a hash of the group, so that each part has its share of every label.

    `holdout` is a share of all, `validation` of all too. Raises UserError where a part would lack a
    label that the others have.
    """
    if not (0 < holdout < 1 and 0 <= validation < 1 and holdout + validation < 0.9):
        raise UserError(
            f"holdout {holdout} and validation {validation}: shares of all items, together under .9"
        )
    held_out, rest = _take(samples, holdout, seed, "held out")
    checked, training = _take(rest, validation / (1 - holdout), seed, "validation")
    for name, part in (("held-out", held_out), ("training", training)):
        if len({s.label for s in part}) < 2:
            raise UserError(
                f"the {name} items would all have one label: the other label stands in too few "
                "groups; add rows of it with other instructions, or change --holdout"
            )
    return Parts(tuple(training), tuple(checked), tuple(held_out))


def _take(
    samples: Sequence[Sample], share: float, seed: int, what: str
) -> tuple[list[Sample], list[Sample]]:
    """Return `(taken, left)`: groups in hash order, each taken where it brings the counts of the
    labels nearer to their share.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    wanted = {label: n * share for label, n in Counter(s.label for s in samples).items()}
    taken: set[str] = set()
    counts: Counter[str | None] = Counter()
    for name in sorted(groups, key=lambda group: (unit_hash(seed, what, group), group)):
        mine = Counter(s.label for s in groups[name])
        if _distance(wanted, counts + mine) < _distance(wanted, counts):
            counts += mine
            taken.add(name)
    inside = [s for s in samples if s.group in taken]
    return inside, [s for s in samples if s.group not in taken]


def _distance(wanted: dict[str | None, float], counts: Counter[str | None]) -> float:
    return sum((counts[label] - n) ** 2 / max(n, 1e-9) for label, n in wanted.items())
