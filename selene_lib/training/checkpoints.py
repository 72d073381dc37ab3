"""Checkpoints that are whole or do not count, each of one configuration and set of pairs.

A checkpoint folder counts once it holds `sealed.json`, written last, with its step, the hash of
what the folder was begun for, the hashes of all files of it, and the logs as they were; a folder
that a killed process left without one is removed. One that is not what was written is named, moved
to `damaged/`, and the one before it counts. Without a sound `identity.json` nobody knows what the
results of a folder are of, so all of them are moved there.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping, Sequence
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
ADAPTER = "adapter"
FINISHED = (RESULT, ADAPTER, *LOGS)
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")
_ABOUT = {
    "spec": dict,
    "data_sha256": str,
    "n_pairs": int,
    "base_sha256": str,
    "held_out_sha256": str,
}


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

    `resume=False` empties it of results and checkpoints first. A folder begun with another
    configuration, other pairs, other held-out pairs or another base is a UserError that names the
    difference. What is no file or folder as written here, or whose identity is lost, is moved
    aside.
    """
    path = out_dir / IDENTITY
    mine: dict[str, Any] = {
        "spec": spec.to_dict(),
        "data_sha256": data_fingerprint(pairs),
        "n_pairs": len(pairs),
        "base_sha256": base_fingerprint,
    }
    mine["held_out_sha256"] = data_fingerprint(held_out)
    _move_strange_aside(out_dir)
    if not resume:
        for old in _all_of_a_training(out_dir):
            if old.is_dir():
                shutil.rmtree(old)
            else:
                old.unlink()
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


def refuse_no_folder(out_dir: Path) -> None:
    """Raise UserError where something else than a folder stands in the way of one."""
    for path in (out_dir, *out_dir.parents):
        if os.path.lexists(path) and not path.is_dir():
            raise UserError(f"{path} is no folder: move it away, or give another folder")


def _all_of_a_training(out_dir: Path) -> list[Path]:
    """What a training has left in a folder, its identity first."""
    named = [out_dir / name for name in (IDENTITY, *FINISHED)]
    return [path for path in (*named, *all_checkpoints(out_dir)) if os.path.lexists(path)]


def _move_strange_aside(out_dir: Path) -> None:
    """Move folders aside that stand where a file belongs, and files where a folder does.

    A pipe would be waited for without end.
    """
    for path in _all_of_a_training(out_dir):
        wants_folder = path.name == ADAPTER or _CHECKPOINT.fullmatch(path.name)
        is_right = path.is_dir() and not path.is_symlink() if wants_folder else path.is_file()
        if not is_right:
            kind = "folder" if wants_folder else "file"
            tell(f"{path} is no {kind}; it is kept as {move_aside(path)}")


def read_own(path: Path, wanted: Mapping[str, type]) -> dict[str, Any]:
    """Read a file that `write_proven` wrote and that holds values of these types.

    Raises DamagedError where it does not, or is no file.
    """
    if not path.is_file():
        raise DamagedError(f"{path}: no such file")
    found = read_proven(path)
    for name, kind in wanted.items():
        if type(found.get(name)) is not kind:
            raise DamagedError(f"{path}: its {name!r} is missing or of another type")
    return found


def _identity_of(out_dir: Path) -> dict[str, Any] | None:
    """What a folder was begun for; where nobody can tell, all in it is moved aside."""
    old = _all_of_a_training(out_dir)
    if not old:
        return None
    try:
        return read_own(out_dir / IDENTITY, _ABOUT)
    except DamagedError as error:
        for path in old:
            move_aside(path)
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
    found = [path for path in out_dir.glob("checkpoint-*") if _CHECKPOINT.fullmatch(path.name)]
    return sorted(found, key=lambda path: (step_of(path), len(path.name)))


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
    values: dict[str, Any] = {"step": step_of(checkpoint), "files": hashes_of(checkpoint)}
    write_proven(checkpoint / SEAL, values | {"identity": _begun_for(checkpoint.parent)})


def _begun_for(out_dir: Path) -> str:
    """The hash of what a folder was begun for; it is written once."""
    path = out_dir / IDENTITY
    return sha256_file(path) if path.is_file() else ""


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder but its seal."""
    return {name: sha256_file(folder / name) for name in files_below(folder) if name != SEAL}


def remove_broken(out_dir: Path) -> None:
    """Remove checkpoints that were never sealed."""
    for folder in all_checkpoints(out_dir):
        if not (folder / SEAL).exists():
            shutil.rmtree(folder)


def latest_whole(out_dir: Path) -> Path | None:
    """The newest sealed checkpoint that is what was written here; others are moved aside."""
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
        known = read_own(checkpoint / SEAL, {"step": int, "files": dict})
    except DamagedError as error:
        return str(error)
    if checkpoint.name != f"checkpoint-{known['step']}":
        return f"it was taken after step {known['step']}"
    # seals of an older version do not say
    if known.get("identity", _begun_for(checkpoint.parent)) != _begun_for(checkpoint.parent):
        return "it is of other settings or pairs"
    return differing(checkpoint, known["files"])


def differing(folder: Path, known: Mapping[str, Any]) -> str:
    """Name the first file of a folder that is not what was written, empty where all are."""
    if not known:
        return "its seal names no files"
    found = hashes_of(folder)
    wrong = sorted(name for name in known if found.get(name) != known[name])
    return f"{wrong[0]} is not what was written" if wrong else ""


def restore_logs(checkpoint: Path | None, out_dir: Path) -> None:
    """Put the logs back as they were when a checkpoint was taken."""
    for name in LOGS:
        if checkpoint is not None and (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, out_dir / name)
