"""What both trainers are given: a loaded model, encoded pairs, where to write, how far to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from selene_lib.training.encoding import EncodedPair
from selene_lib.training.model import Loaded
from selene_lib.training.processes import Process
from selene_lib.training.reference import reference_logps
from selene_lib.training.spec import TrainSpec


def cache_folder(spec: TrainSpec, out_dir: Path) -> Path:
    """Where what all arms of a base and its pairs have in common is kept: reference, token ids."""
    return Path(spec.reference_cache) if spec.reference_cache else out_dir / "reference"


@dataclass(frozen=True)
class TrainingJob:
    """`n_steps` optimiser steps on `pairs`; `held_out` pairs are measured after the last one.

    `family` names the prompt templates of the pairs, None where they are none of the shipped ones.
    """

    loaded: Loaded
    pairs: Sequence[EncodedPair]
    held_out: Sequence[EncodedPair]
    out_dir: Path
    n_steps: int
    progress: bool
    process: Process
    family: str | None = None

    @property
    def spec(self) -> TrainSpec:
        return self.loaded.spec

    def reference(self, pairs: Sequence[EncodedPair]) -> tuple[np.ndarray, np.ndarray]:
        """Summed log-probabilities under the base, in nats: of `pairs` to train on, and of the
        held-out ones; each float64 [n, 2].

        NLL alone needs none to train, so there the first is nan and costs no forward. The held-out
        pairs are measured in DPO's terms whatever was trained.
        """
        trains_without = self.spec.loss == "nll"
        known = reference_logps(
            self.loaded,
            [*([] if trains_without else pairs), *self.held_out],
            cache_folder(self.spec, self.out_dir),
            progress=self.progress,
            process=self.process,
        )
        if trains_without:
            return np.full((len(pairs), 2), np.nan), known
        return known[: len(pairs)], known[len(pairs) :]


@dataclass(frozen=True)
class Trained:
    """What a trainer did.

    The step it continued from (0: from the start), and the means over the held-out pairs (None
    without any).
    """

    resumed_from_step: int
    validation: dict[str, float] | None
