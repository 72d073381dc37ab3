"""The adapter of a training run, written whole or not at all, with the same bytes every time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from selene_lib.files import read_json, write_json
from selene_lib.models.adapters import write_record
from selene_lib.training.finite import refuse_non_finite
from selene_lib.training.spec import TrainSpec


def save_adapter(trainer: Any, folder: Path, spec: TrainSpec, family: str | None = None) -> None:
    """Write the adapter (or the full weights) as a folder that is whole or absent, with the same
    bytes for the same weights, and with a record of its base. Weights that are not finite are a
    UserError, and nothing is written.
    """
    refuse_non_finite(trainer.model, folder.name)
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
        write_record(temporary, spec.base_model, spec.revision, family)
    for path in filter(Path.is_file, temporary.iterdir()):
        path.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with sets in one order and no path of this machine.

    peft writes them in the order of their hashes, which changes from process to process.
    """
    base = config.get("base_model_name_or_path") or ""
    portable = config | {
        "base_model_name_or_path": Path(base).name if Path(base).is_dir() else base
    }
    for key, value in config.items():
        if isinstance(value, list) and key.endswith("modules"):
            portable[key] = sorted(value)
    return portable
