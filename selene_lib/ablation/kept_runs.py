"""Short training runs whose outcome is kept, so that a broken ablation goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from selene_lib.errors import tell
from selene_lib.files import DamagedError, move_aside, read_proven, write_proven
from selene_lib.models.fingerprints import weights_hash
from selene_lib.models.parallel import side_by_side
from selene_lib.records import PreferencePair
from selene_lib.training.checkpoints import data_fingerprint

if TYPE_CHECKING:
    from selene_lib.training.spec import TrainSpec

Job = tuple[Sequence[PreferencePair], int, int]


@dataclass(frozen=True)
class KeptRun:
    """`run(pairs, seed, n_steps)`: train that long from the base and return one number an item.

    For 0 steps it is the base that is measured. Outcomes are kept in `folder` under a hash of what
    they depend on, with a checksum: a damaged one is moved aside and made again. A kind of run says
    in `_identity` what it depends on beyond the training, and in `_measure` what it makes of the
    trained adapter (None: the base).
    """

    spec: TrainSpec
    folder: Path

    title: ClassVar[str]

    def __call__(self, pairs: Sequence[PreferencePair], seed: int, n_steps: int) -> np.ndarray:
        key = self._key(pairs, seed, n_steps)
        kept = self.folder / f"{key}.json"
        found = _read_kept(kept)
        if found is None:
            adapter = self._train(pairs, seed, n_steps, self.folder / key) if n_steps else None
            found = self._measure(adapter)
            write_proven(kept, {"key": key, "outcomes": found})
        return np.asarray(found, dtype=float)

    def _key(self, pairs: Sequence[PreferencePair], seed: int, n_steps: int) -> str:
        """What an outcome depends on, texts and weights themselves and not their names."""
        base = weights_hash(self.spec.base_model)
        trained_on = data_fingerprint(pairs)
        identity = [self.spec.fingerprint, base, str(seed), str(n_steps), trained_on]
        text = json.dumps([*identity, *self._identity()])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

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


def _read_kept(path: Path) -> list[float] | None:
    """Return kept outcomes, None where there are none; damaged ones are moved aside."""
    if not path.is_file():
        return None
    try:
        return read_proven(path)["outcomes"]
    except DamagedError as error:
        tell(f"{error}; it is kept as {move_aside(path)} and measured again")
        return None
