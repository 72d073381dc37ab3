"""`step.json`, `begun.json` and `manifest.json`: what a run knows of its steps, and whether the
files are still what was written.

`step.json` is written when a step has finished; it holds a hash of every file of its folder and a
checksum over itself. The manifest repeats it without the long parts, so that a damaged one can be
written again.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from selene_lib.files import (
    DamagedError,
    files_below,
    read_json,
    read_proven,
    sha256_file,
    write_json,
    write_proven,
)

RECORD, BEGUN, MANIFEST = "step.json", "begun.json", "manifest.json"
WHY = "why.json"
EXECUTED = "executed.ipynb"  # the executed copy, where a result was moved with it
OWN_FILES = {RECORD, BEGUN, WHY, EXECUTED}
LONG = ("code", "files", "outside", "input_sha256")
_SHAPES = {"step": str, "fingerprint": str, "parameters": dict, "inputs": dict, "outputs": dict}
_OPTIONAL = ("files", "code", "outside", "input_sha256", "accepted")


def read_object(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, None where there is none or it is broken."""
    try:
        found = read_json(path)
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_record(folder: Path) -> dict[str, Any] | None:
    """Return the `step.json` of a finished step, None where there is none or it is damaged."""
    try:
        found = read_proven(folder / RECORD)
    except (FileNotFoundError, DamagedError):
        return None
    return found if is_record(found) else None


def write_record(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the `step.json` of a finished step."""
    return write_proven(folder / RECORD, record)


def is_record(found: Mapping[str, Any]) -> bool:
    """Whether an object has what a record needs."""
    shapes = all(isinstance(found.get(name), kind) for name, kind in _SHAPES.items())
    optional = all(isinstance(found.get(name, {}), dict) for name in _OPTIONAL)
    seconds = found.get("wall_seconds", 0.0)
    is_time = isinstance(seconds, int | float) and math.isfinite(seconds)
    if not (shapes and optional and is_time):
        return False
    return all(map(_is_entry, (*found["inputs"].values(), *found["outputs"].values())))


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("sha256"), str)


def is_of_now(run_dir: Path, name: str) -> bool:
    """Whether a step has finished and was made of what the steps it reads from hold now, or was
    accepted for it.
    """
    record = read_record(run_dir / name)
    if record is None:
        return False
    made_of = {file: entry["sha256"] for file, entry in record["inputs"].items()}
    made_of |= record.get("accepted", {}).get("input_sha256", {})
    for given, sha256 in made_of.items():
        source, _, file = given.partition("/")
        now = (read_record(run_dir / source) or {}).get("outputs", {}).get(file, {})
        if now.get("sha256") != sha256:
            return False
    return True


def write_manifest(run_dir: Path) -> Path:
    """Assemble `manifest.json` of a run from the `step.json` of its finished steps; one that says
    this already is left alone.
    """
    steps = {}
    for path in sorted(run_dir.glob(f"*/{RECORD}")):
        record = read_record(path.parent)
        if record is not None:
            steps[path.parent.name] = {k: v for k, v in record.items() if k not in LONG}
    wanted = {"run": run_dir.name, "steps": steps}
    path = run_dir / MANIFEST
    if read_object(path) != wanted:
        write_json(path, wanted)
    return path


def kept_records(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return what the manifest keeps of each step, as far as it can be read."""
    steps = (read_object(run_dir / MANIFEST) or {}).get("steps")
    if not isinstance(steps, dict):
        return {}
    return {name: kept for name, kept in steps.items() if isinstance(kept, dict)}


def heal_record(run_dir: Path, name: str) -> str | None:
    """Write a broken `step.json` again from the manifest, or move it aside where that does not know
    the step; return what was done, None where nothing was.
    """
    path = run_dir / name / RECORD
    if not path.is_file() or read_record(path.parent) is not None:
        return None
    kept = mended_record(run_dir, name)
    aside = free_name(run_dir / "damaged" / name) / RECORD
    aside.parent.mkdir(parents=True)
    os.replace(path, aside)
    if kept is None:
        return f"{path} is damaged; it is kept as {aside}, and the step is done again"
    write_record(path.parent, kept)
    return f"{path} is damaged; it is kept as {aside}, and was written again from {MANIFEST}"


def mended_record(run_dir: Path, name: str) -> dict[str, Any] | None:
    """Return a step's record as manifest and `begun.json` tell it; None where they do not."""
    kept = kept_records(run_dir).get(name, {})
    if not is_record(kept):
        return None
    begun = read_object(run_dir / name / BEGUN) or {}
    if begun.get("fingerprint") != kept["fingerprint"]:
        return kept
    return {**{key: begun[key] for key in LONG if key in begun}, **kept}


def free_name(path: Path) -> Path:
    """Return `path`, or `path-2`, `path-3` ... where something of that name is there."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def hashes_below(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a step but its own records."""
    names = [name for name in files_below(folder) if name not in OWN_FILES]
    return {name: sha256_file(folder / name) for name in names}


def damaged_outputs(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Return a phrase for every declared output that is missing or not what was written."""
    said = []
    for name, entry in record["outputs"].items():
        path = folder / name
        if not (path.is_file() or path.is_dir()):
            said.append(f"output {name} is missing")
        elif sha256_file(path) != entry["sha256"]:
            said.append(f"output {name} is damaged ({', '.join(_which(folder, name, record))})")
    return said


def _which(folder: Path, output: str, record: Mapping[str, Any]) -> list[str]:
    """The files of an output that differ, the first three."""
    wrong = [name for name in changed_files(folder, record) if name.split("/")[0] == output]
    known = record.get("files", {})
    gone = [name for name in known if name.split("/")[0] == output and not (folder / name).exists()]
    names = [*wrong, *(f"{name} missing" for name in gone)]
    return names[:3] or ["not what was written"]


def changed_files(folder: Path, record: Mapping[str, Any]) -> list[str]:
    """Return the files of a finished step whose content is not what was written, and those in its
    outputs that it never wrote; without hashes of single files, the damaged outputs.
    """
    known = record.get("files")
    if known is None:
        outputs = record["outputs"].items()
        present = [(name, entry) for name, entry in outputs if (folder / name).exists()]
        return [name for name, entry in present if sha256_file(folder / name) != entry["sha256"]]
    found = hashes_below(folder)
    changed = [name for name in found if name in known and found[name] != known[name]]
    foreign = [n for n in found if n not in known and n.split("/")[0] in record["outputs"]]
    return sorted(changed + foreign)


def units(names: Iterable[str]) -> list[str]:
    """Return what has to be made again where these files are damaged.

    A table or an append-only file stands for itself; a file further down belongs to the folder
    two levels deep (an arm of a training, an adapter), of which no part may be trusted alone.
    """
    found = []
    for name in names:
        parts = name.split("/")
        alone = len(parts) < 3 or name.endswith(".jsonl")
        found.append(name if alone else "/".join(parts[:2]))
    return sorted(set(found))


def move_damaged(run_dir: Path, step: str, record: Mapping[str, Any]) -> str | None:
    """Move what is damaged in a finished step to `damaged/<step>`; return what was done, None where
    nothing is damaged.
    """
    folder = run_dir / step
    moved = units(changed_files(folder, record))
    if not moved:
        return None
    aside = free_name(run_dir / "damaged" / step)
    for name in moved:
        target = aside / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / name, target)
    return f"{step}: {', '.join(moved)} not what was written; moved to {aside} and made again"
