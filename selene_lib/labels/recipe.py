"""How a judge of one's own labels is trained: settings, pairs, and what it will take."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selene_lib.errors import UserError
from selene_lib.models.names import EMBEDDED_MODEL, resolve_model
from selene_lib.records import PreferencePair, unit_hash
from selene_lib.training.shapes import read_shape
from selene_lib.training.spec import TrainSpec

MOST_REPEATS = 4
SMALL = 1_000_000_000  # parameters; below it a higher learning rate is needed and borne
FROZEN_SHARE = 0.6  # of the layers of a deep model on a CPU: their states are computed once


@dataclass(frozen=True)
class JudgeRecipe:
    """Settings of `train_judge`; the defaults are for a few hundred short rows on two cores.

    `base` is `smollm2`, `embedded`, a folder, or a hub id with its 40-hex `revision`. `holdout` and
    `validation` are shares of all items. `n_epochs` counts passes over the balanced pairs. None is
    decided by the base: family of prompt templates, learning rate. `generator`
    (`http://host/v1#model`) writes critiques for the pairs; without it a pair holds verdicts alone.
    """

    base: str = "smollm2"
    revision: str | None = None
    holdout: float = 0.25
    validation: float = 0.15
    n_epochs: float = 4.0
    batch_size: int = 8
    learning_rate: float | None = None
    loss: str = "dpo_nll"
    family: str | None = None
    max_length_tokens: int = 512
    generator: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("n_epochs", "learning_rate"):
            value = getattr(self, name)
            is_default = name == "learning_rate" and value is None
            if not is_default and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise UserError(f"{name} is {value!r}; give a number over 0")
        for name in ("holdout", "validation"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 <= value < 1):
                raise UserError(f"{name} is {value!r}; give a share from 0 to below 1")
        for name, least in (("batch_size", 1), ("max_length_tokens", 1), ("seed", 0)):
            value = getattr(self, name)
            if not (isinstance(value, int) and value >= least):
                raise UserError(f"{name} is {value!r}; give a whole number from {least}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @property
    def templates(self) -> str:
        """The family of prompt templates: short ones for small models."""
        if self.family:
            return self.family
        return "nano" if self.base == EMBEDDED_MODEL else "lean"


def spec_of(recipe: JudgeRecipe, n_pairs: int) -> TrainSpec:
    """Return the training settings for `n_pairs` balanced pairs on the base."""
    import torch

    bare = TrainSpec(base_model=resolve_model(recipe.base), revision=recipe.revision)
    shape = read_shape(bare)
    deep = shape.n_layers >= 16 and not torch.cuda.is_available()
    first = round(FROZEN_SHARE * shape.n_layers) if deep else 0
    rate = 1e-3 if shape.n_parameters < SMALL else 1e-4
    values = bare.to_dict() | {
        "loss": recipe.loss,
        "dtype": "native",
        "n_steps": max(1, math.ceil(recipe.n_epochs * n_pairs / recipe.batch_size)),
        "batch_size": recipe.batch_size,
        "learning_rate": rate if recipe.learning_rate is None else recipe.learning_rate,
        "lora_first_layer": first,
        "keep_frozen_states": first > 0,
        "max_length_tokens": recipe.max_length_tokens,
        "overlong": "shorten",
        "save_every_steps": 20,
        "seed": recipe.seed,
    }
    return TrainSpec.from_dict(values)


def balance(pairs: Sequence[PreferencePair], seed: int) -> list[PreferencePair]:
    """Repeat pairs of rarer labels until each label has as many as the commonest, at most
    `MOST_REPEATS` times each; which ones come once more is a hash of the pair.
    """
    by_label: dict[str, list[PreferencePair]] = defaultdict(list)
    for pair in pairs:
        by_label[pair.label].append(pair)
    most = max((len(mine) for mine in by_label.values()), default=0)
    balanced = list(pairs)
    for mine in by_label.values():
        drawn = sorted(mine, key=lambda p: unit_hash(seed, "balance", p.id))
        for extra in range(min(most, MOST_REPEATS * len(mine)) - len(mine)):
            pair = drawn[extra % len(drawn)]
            time = 2 + extra // len(drawn)
            balanced.append(replace(pair, id=f"{pair.id}-time{time}"))
    return balanced
