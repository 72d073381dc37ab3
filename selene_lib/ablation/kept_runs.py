"""Short training runs whose outcome is kept, so that a broken ablation goes on where it stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from selene_lib.files import read_json, write_json
from selene_lib.models.parallel import side_by_side
from selene_lib.records import PreferencePair

if TYPE_CHECKING:
    from selene_lib.training.spec import TrainSpec

Job = tuple[Sequence[PreferencePair], int, int]


@dataclass(frozen=True)
class KeptRun:
    """`run(pairs, seed, n_steps)`: train that long from the base and return one number an item.

    For 0 steps it is the base that is measured. Outcomes are kept in `folder` under a hash of what
    they depend on. A kind of run says in `_identity` what it depends on beyond the training, and in
    `_measure` what it makes of the trained adapter (None: the base).
    """

    spec: TrainSpec
    folder: Path

    title: ClassVar[str]

    def __call__(self, pairs: Sequence[PreferencePair], seed: int, n_steps: int) -> np.ndarray:
        trained_on = [pair.id for pair in pairs]
        identity = [self.spec.fingerprint, str(seed), str(n_steps), *trained_on, *self._identity()]
        key = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:20]
        kept = self.folder / f"{key}.json"
        if not kept.is_file():
            adapter = self._train(pairs, seed, n_steps, self.folder / key) if n_steps else None
            write_json(kept, self._measure(adapter))
        return np.asarray(read_json(kept), dtype=float)

    def many(self, jobs: Sequence[Job]) -> list[np.ndarray]:
        """Run several at once where the model is small.

        The results are those of one after the other.
        """
        return side_by_side(
            [(self, job) for job in jobs], self.spec.base_model, f"{self.title}, {len(jobs)} mixes"
        )

    def _train(
        self, pairs: Sequence[PreferencePair], seed: int, n_steps: int, folder: Path
    ) -> Path:
        from selene_lib.training.run import train

        spec = replace(self.spec, seed=seed, n_steps=n_steps)
        return train(spec, list(pairs), folder).adapter_dir

    def _identity(self) -> list[str]:
        raise NotImplementedError

    def _measure(self, adapter: Path | None) -> list[float]:
        raise NotImplementedError
