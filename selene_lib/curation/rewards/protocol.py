"""What every reward model is: prompts and replies in, one finite number a reply out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

ARMO = "RLHFlow/ArmoRM-Llama3-8B-v0.1"


@runtime_checkable
class RewardModel(Protocol):
    """Anything with a name and a revision that gives each reply a finite number; more is better."""

    name: str
    revision: str

    def score(self, prompts: Sequence[str], replies: Sequence[str]) -> np.ndarray: ...


def checked(scores: Sequence[float] | np.ndarray, ids: Sequence[str]) -> list[float]:
    """The scores as floats.

    A NaN or an infinity is a ValueError that names the item: no threshold can be set on it.
    """
    values = np.asarray(scores, dtype=float)
    if len(values) != len(ids):
        raise ValueError(f"{len(values)} rewards for {len(ids)} replies")
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(
            f"reward of {ids[first]} is {values[first]}: "
            "check the reward model's precision (fp16 overflows) and its inputs"
        )
    return values.tolist()
