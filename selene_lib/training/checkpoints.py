"""Checkpoints that are whole or do not count, each of one configuration and set of pairs.

A checkpoint folder counts once it holds `sealed.json`, written last; a folder that a killed process
left without one is removed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json, write_json
from selene_lib.records import PreferencePair
from selene_lib.training.spec import TrainSpec

SEAL = "sealed.json"
IDENTITY = "identity.json"


def data_fingerprint(pairs: Sequence[PreferencePair]) -> str:
    """SHA-256 over ids and texts of the pairs, in order."""
    digest = hashlib.sha256()
    for pair in pairs:
        digest.update(
            "\x1f".join((pair.id, pair.prompt, pair.chosen, pair.rejected, "\x1e")).encode()
        )
    return digest.hexdigest()


def claim(
    out_dir: Path,
    spec: TrainSpec,
    pairs: Sequence[PreferencePair],
    base_fingerprint: str,
    *,
    resume: bool,
    held_out: Sequence[PreferencePair] = (),
) -> None:
    """Write what this folder is for, or check that it is for this.

    `resume=False` empties it of checkpoints first. A folder begun with another configuration, other
    pairs, other held-out pairs or another base is a UserError that names the difference.
    """
    path = out_dir / IDENTITY
    mine = {
        "spec": spec.to_dict(),
        "data_sha256": data_fingerprint(pairs),
        "n_pairs": len(pairs),
        "base_sha256": base_fingerprint,
    }
    mine["held_out_sha256"] = data_fingerprint(held_out)
    if not resume:
        for folder in all_checkpoints(out_dir):
            shutil.rmtree(folder)
        path.unlink(missing_ok=True)
    if path.exists():
        reasons = _mismatch(read_json(path), mine, spec)
        if reasons:
            raise UserError(
                f"{out_dir} holds a training of something else ({'; '.join(reasons)}): "
                "give another folder, or resume=False to start over"
            )
        return
    write_json(path, mine)


def _mismatch(theirs: dict[str, Any], mine: dict[str, Any], spec: TrainSpec) -> list[str]:
    reasons = spec.differences(theirs["spec"])
    if theirs["data_sha256"] != mine["data_sha256"]:
        reasons.append(
            f"other pairs: {theirs['n_pairs']} there, {mine['n_pairs']} here, or other texts"
        )
    if theirs.get("held_out_sha256") != mine["held_out_sha256"]:
        reasons.append("other held-out pairs")
    if theirs["base_sha256"] != mine["base_sha256"]:
        reasons.append("other base weights under the same name")
    return reasons


def all_checkpoints(out_dir: Path) -> list[Path]:
    """Checkpoint folders in the order of their steps, whole or not."""
    found = [
        path for path in out_dir.glob("checkpoint-*") if path.name.rpartition("-")[2].isdigit()
    ]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The optimiser step a checkpoint was taken after."""
    return int(checkpoint.name.rpartition("-")[2])


def seal(checkpoint: Path) -> None:
    """Mark a checkpoint as whole; called after everything else in it was written."""
    write_json(checkpoint / SEAL, {"step": step_of(checkpoint)})


def remove_broken(out_dir: Path) -> None:
    """Remove checkpoints that were never sealed."""
    for folder in all_checkpoints(out_dir):
        if not (folder / SEAL).exists():
            shutil.rmtree(folder)


def latest_whole(out_dir: Path) -> Path | None:
    """The newest sealed checkpoint."""
    whole = [folder for folder in all_checkpoints(out_dir) if (folder / SEAL).exists()]
    return whole[-1] if whole else None
