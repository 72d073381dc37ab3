"""What a training run leaves: reference log-probabilities at hand, the adapter written whole."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.files import read_json, write_json
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.model import Loaded
from selene_lib.training.processes import Process
from selene_lib.training.spec import TrainSpec


def compute_reference(
    spec: TrainSpec,
    loaded: Loaded,
    pairs: Sequence[EncodedPair],
    out_dir: Path,
    progress: bool,
    process: Process,
) -> np.ndarray:
    """NLL alone needs a reference only for the margin it reports; it is computed all the same, so
    that arms can be compared.
    """
    from selene_lib.training.reference import reference_logps

    cache_dir = Path(spec.reference_cache) if spec.reference_cache else out_dir / "reference"
    return reference_logps(loaded, pairs, cache_dir, progress=progress, process=process)


def save_adapter(trainer: Any, folder: Path) -> None:
    """Write the adapter (or the full weights) as a folder that is whole or absent, with the same
    bytes for the same weights.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    trainer.save_model(str(temporary))
    if not trainer.is_world_process_zero():
        return
    for name in ("training_args.bin", "README.md"):
        (temporary / name).unlink(missing_ok=True)
    shutil.rmtree(temporary / "ref", ignore_errors=True)  # TRL's copy of the untrained adapter
    config = temporary / "adapter_config.json"
    if config.exists():
        write_json(config, _portable(read_json(config)))
    for path in filter(Path.is_file, temporary.iterdir()):
        path.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Sets in one order (peft writes them in the order of their hashes, which changes from process
    to process), no path of this machine.
    """
    base = config.get("base_model_name_or_path") or ""
    name = Path(base).name if Path(base).is_dir() else base
    return {
        k: sorted(v) if isinstance(v, list) and k.endswith("modules") else v
        for k, v in config.items()
    } | {"base_model_name_or_path": name}
