"""Checkpoints that are whole or do not count, each of one configuration and set of pairs.

A checkpoint folder counts once it holds `sealed.json`, written last, with the hashes of all files
of it and the logs as they were; a folder that a killed process left without one is removed. One
that is not what was written is named, moved to `damaged/`, and the one before it counts.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, tell
from selene_lib.files import (
    DamagedError,
    files_below,
    move_aside,
    read_proven,
    sha256_file,
    write_proven,
)
from selene_lib.records import PreferencePair
from selene_lib.training.spec import TrainSpec

SEAL = "sealed.json"
IDENTITY = "identity.json"
RESULT = "training.json"
LOGS = ("log.csv", "telemetry.csv")
FINISHED = (RESULT, "adapter", *LOGS)


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
    mine: dict[str, Any] = {
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
    theirs = _identity_of(out_dir)
    if theirs is not None:
        reasons = _mismatch(theirs, mine, spec)
        if reasons:
            raise UserError(
                f"{out_dir} holds a training of something else ({'; '.join(reasons)}): "
                "give another folder, or resume=False to start over"
            )
        return
    write_proven(path, mine)


def _identity_of(out_dir: Path) -> dict[str, Any] | None:
    """What a folder was begun for; where that is damaged, all in it is moved aside."""
    path = out_dir / IDENTITY
    if not path.exists():
        return None
    try:
        return read_proven(path)
    except DamagedError as error:
        aside = [path, *all_checkpoints(out_dir), *(out_dir / name for name in FINISHED)]
        for old in filter(Path.exists, aside):
            move_aside(old)
        tell(f"{error}; what the folder holds is kept in {out_dir / 'damaged'} and made again")
        return None


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
    """Mark a checkpoint as whole; called after everything else in it was written.

    The logs of the steps before it are copied into it, so that a resumed run has them as they were.
    """
    for name in LOGS:
        if (checkpoint.parent / name).is_file():
            shutil.copyfile(checkpoint.parent / name, checkpoint / name)
    write_proven(checkpoint / SEAL, {"step": step_of(checkpoint), "files": hashes_of(checkpoint)})


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but its seal."""
    return {name: sha256_file(folder / name) for name in files_below(folder) if name != SEAL}


def remove_broken(out_dir: Path) -> None:
    """Remove checkpoints that were never sealed."""
    for folder in all_checkpoints(out_dir):
        if not (folder / SEAL).exists():
            shutil.rmtree(folder)


def latest_whole(out_dir: Path) -> Path | None:
    """The newest sealed checkpoint that is what was written; damaged ones are moved aside."""
    whole = [folder for folder in all_checkpoints(out_dir) if (folder / SEAL).exists()]
    for folder in reversed(whole):
        fault = _damage(folder)
        if not fault:
            return folder
        tell(f"{folder} is damaged ({fault}); it is kept as {move_aside(folder)}")
    return None


def _damage(checkpoint: Path) -> str:
    """What is wrong with a sealed checkpoint, empty where nothing is."""
    try:
        known = read_proven(checkpoint / SEAL).get("files")
    except DamagedError as error:
        return str(error)
    return "" if known is None else differing(checkpoint, known)


def differing(folder: Path, known: dict[str, str]) -> str:
    """Name the first file of a folder that is not what was written, empty where all are."""
    found = hashes_of(folder)
    wrong = sorted(name for name in known if found.get(name) != known[name])
    return f"{wrong[0]} is not what was written" if wrong else ""


def restore_logs(checkpoint: Path | None, out_dir: Path) -> None:
    """Put the logs back as they were when a checkpoint was taken."""
    for name in LOGS:
        if checkpoint is not None and (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, out_dir / name)
