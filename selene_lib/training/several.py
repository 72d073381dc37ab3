"""Training on several GPUs of one machine: a file that says all of it, and `torchrun` to start it.

A training file (YAML) names its pairs and held-out pairs (Parquet beside it), the spec and the
arms; an arm's folder `<loss>-seed<n>` lies beside it too. `torchrun --nproc_per_node 4 -m
selene_lib.training FILE` trains what the file says, one process a GPU (gloo on a CPU), through the
same `train` as one process does; whoever calls `train` afterwards finds the arms finished.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selene_lib.errors import UserError
from selene_lib.files import read_parquet, write_parquet, write_text
from selene_lib.files.yaml_text import read_yaml
from selene_lib.records import PreferencePair
from selene_lib.training.run import TrainResult, train
from selene_lib.training.spec import TrainSpec

Arm = tuple[str, int]
_KINDS = {"spec": dict, "arms": list, "pairs": str, "validation": str}
_KEYS = tuple(_KINDS)


@dataclass(frozen=True)
class TrainingFile:
    """What a training file says."""

    folder: Path
    spec: TrainSpec
    arms: tuple[Arm, ...]
    pairs: str
    validation: str

    def train(self) -> list[TrainResult]:
        """Train its arms one after the other, in as many processes as `torchrun` started."""
        pairs, validation = (
            read_parquet(self.folder / name, PreferencePair)
            for name in (self.pairs, self.validation)
        )
        return [
            train(spec_of_arm(self.spec, arm), pairs, self.folder / arm_folder(arm), validation)
            for arm in self.arms
        ]


def arm_folder(arm: Arm) -> str:
    """The folder of an arm: its loss and its seed."""
    return f"{arm[0]}-seed{arm[1]}"


def spec_of_arm(spec: TrainSpec, arm: Arm) -> TrainSpec:
    """The spec of an arm: another loss, another seed."""
    return TrainSpec.from_dict({**spec.to_dict(), "loss": arm[0], "seed": arm[1]})


def write_training_file(
    folder: Path,
    spec: TrainSpec,
    arms: Sequence[Arm],
    pairs: Sequence[PreferencePair],
    validation: Sequence[PreferencePair] = (),
) -> Path:
    """Write a training file with its pairs to a folder; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    write_parquet(folder / "pairs.parquet", pairs, PreferencePair)
    write_parquet(folder / "validation.parquet", validation, PreferencePair)
    values = {
        "spec": spec.to_dict(),
        "arms": [list(arm) for arm in arms],
        "pairs": "pairs.parquet",
        "validation": "validation.parquet",
    }
    return write_text(folder / "training.yaml", yaml.safe_dump(values, sort_keys=False))


def read_training_file(path: Path) -> TrainingFile:
    """Read a training file; a UserError says what is wrong with it."""
    if not path.is_file():
        raise UserError(f"no training file {path}: notebook 04 writes one where n_gpus is over 1")
    values = read_yaml(path)
    if not isinstance(values, dict) or set(values) != set(_KEYS):
        raise UserError(
            f"{path} is no training file, which has the keys {', '.join(_KEYS)}: notebook 04 "
            "writes one where n_gpus is over 1 (a run's YAML is for selene reproduce --run)"
        )
    for key, kind in _KINDS.items():
        if not isinstance(values[key], kind):
            raise UserError(f"{path}: {key} is no {kind.__name__}: let notebook 04 write the file")
    arms = tuple(_read_arm(arm, path) for arm in values["arms"])
    spec = TrainSpec.from_dict(values["spec"])
    return TrainingFile(path.parent, spec, arms, values["pairs"], values["validation"])


def _read_arm(arm: Any, path: Path) -> Arm:
    is_pair = isinstance(arm, list) and len(arm) == 2
    if not is_pair or not isinstance(arm[0], str) or type(arm[1]) is not int:
        raise UserError(f"{path}: arm {arm!r} is no [loss, seed]: let notebook 04 write the file")
    return arm[0], arm[1]


def torchrun_arguments(path: Path, n_processes: int) -> list[str]:
    """What `torchrun` is given to train a file in several processes of this machine."""
    several = ["--standalone", "--nproc_per_node", str(n_processes)]
    return [*several, "-m", "selene_lib.training", str(path)]


def train_in_processes(path: Path, n_processes: int) -> None:
    """Train a file in several processes and wait for them; their output is this process's own.

    They end with this process. A UserError names the command that goes on where they fail.
    """
    import torch

    if torch.cuda.is_available() and n_processes > torch.cuda.device_count():
        raise UserError(
            f"n_gpus is {n_processes}, but this machine has {torch.cuda.device_count()}: lower it"
        )
    command = [sys.executable, "-m", "selene_lib.training", str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    done = subprocess.run([*command, "--processes", str(n_processes)], env=environment)
    if done.returncode:
        again = " ".join(["torchrun", *torchrun_arguments(path, n_processes)])
        raise UserError(
            f"training in {n_processes} processes ended with code {done.returncode} (its reason "
            f"stands above); what is done is kept, {again} goes on with it"
        )
