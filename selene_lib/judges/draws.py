"""Several replies to one prompt: each draw has random numbers of its own, made from the item.

So a draw does not depend on what else is in a batch, on the order of items, or on a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from selene_lib.errors import UserError
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import unit_hash

if TYPE_CHECKING:
    import torch


def seed_of(prompt: Prompt, seed: int) -> int:
    """Return the seed of a draw: a whole number of 31 bits from the prompt's text and its draw."""
    return int(unit_hash(seed, "draw", prompt.sha256, prompt.draw) * 2**31)


def check_temperature(temperature: float) -> None:
    """Raise UserError for a temperature that is not 0 or above."""
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature is {temperature}; it must be 0 (greedy) or above")


class Sampler:
    """Draws a token a row at a temperature (the Gumbel-max trick: Gumbel 1954)."""

    def __init__(self, prompts: Sequence[Prompt], temperature: float, seed: int) -> None:
        self.temperature = temperature
        self._noise = [np.random.default_rng(seed_of(prompt, seed)) for prompt in prompts]

    def __call__(self, rows: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """Return ids [n_rows, 1] from logits [n_rows, vocabulary]; `rows` are places of prompts."""
        import torch

        width = logits.shape[-1]
        noise = np.stack([self._noise[row].gumbel(size=width) for row in rows])
        noisy = logits.double() / self.temperature + torch.from_numpy(noise).to(logits.device)
        return noisy.argmax(-1, keepdim=True)
