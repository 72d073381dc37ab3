"""Which item to label next: those that teach most, and a random share that measures honestly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selene_lib.records import Sample, unit_hash

RANDOM, UNCERTAIN, DISPUTED = "random", "uncertain", "disputed"


@dataclass(frozen=True)
class Choice:
    """An item to label and why it was chosen: `disputed` (two judges differ), `uncertain`, or
    `random`. Only random ones may be used to estimate how often the judge is right.
    """

    sample: Sample
    why: str


def order_items(
    samples: Sequence[Sample],
    confidence: Mapping[str, float | None],
    verdicts: Mapping[str, str | None] | None = None,
    second: Mapping[str, str | None] | None = None,
    *,
    random_share: float = 0.25,
    seed: int = 0,
) -> list[Choice]:
    """Return all samples in the order to label them in.

    `confidence` is the judge's by sample id (None: no verdict, so most uncertain); `verdicts` and
    `second` are those of the judge and of another one. Every position is random with a probability
    of `random_share`, by a hash of the position; the random order is by a hash of the item.
    """
    if not 0 <= random_share <= 1:
        raise ValueError(f"random_share {random_share} is not in [0, 1]")
    said, other = verdicts or {}, second or {}

    def disputed(sample: Sample) -> bool:
        return sample.id in other and other[sample.id] != said.get(sample.id)

    telling = sorted(
        samples, key=lambda s: (not disputed(s), confidence.get(s.id) or 0.0, s.id), reverse=True
    )
    by_chance = sorted(samples, key=lambda s: unit_hash(seed, "label", s.id), reverse=True)
    chosen: dict[str, Choice] = {}
    while len(chosen) < len(samples):
        is_random = unit_hash(seed, "position", len(chosen)) < random_share
        pile = by_chance if is_random else telling
        sample = pile.pop()
        if sample.id not in chosen:
            why = RANDOM if is_random else DISPUTED if disputed(sample) else UNCERTAIN
            chosen[sample.id] = Choice(sample, why)
    return list(chosen.values())
