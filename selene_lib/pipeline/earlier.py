"""Results that no longer fit what is asked for: moved to `artefacts/<run>/earlier/`, never deleted,
and brought back when they fit again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import files_below, write_json
from selene_lib.pipeline.fingerprint import Fingerprint, differences
from selene_lib.pipeline.step_records import (
    BEGUN,
    EXECUTED,
    OWN_FILES,
    RECORD,
    WHY,
    changed_files,
    damaged_outputs,
    free_name,
    read_object,
    read_record,
    write_record,
)


def set_aside(run_dir: Path, name: str, changed: Sequence[str]) -> Path | None:
    """Move a step's folder to `earlier/<step>-<hash>` with a `why.json` that says what changed;
    return where it is now, None where the folder held nothing.

    The executed copy of the notebook goes with it.
    """
    folder = run_dir / name
    if not holds_work(folder):
        _remove_own_files(folder)
        return None
    record = read_record(folder)
    known = record or read_object(folder / BEGUN) or {}
    why = {
        "step": name,
        "finished": record is not None,
        "changed": list(changed),
        "wall_seconds": (record or {}).get("wall_seconds"),
        "finished_at": (record or {}).get("finished_at"),
        "moved_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_json(folder / WHY, why)
    copy = run_dir / "notebooks" / f"{name}.ipynb"
    if record is not None and copy.is_file():
        os.replace(copy, folder / EXECUTED)
    short = str(known.get("fingerprint", "unknown"))[:8]
    target = free_name(run_dir / "earlier" / f"{name}-{short}")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.rename(folder, target)
    return target


def holds_work(folder: Path) -> bool:
    """Whether a step's folder holds anything besides its own records."""
    return folder.is_dir() and any(name not in OWN_FILES for name in files_below(folder))


def _remove_own_files(folder: Path) -> None:
    for name in (RECORD, BEGUN, WHY):
        (folder / name).unlink(missing_ok=True)


def earlier_results(run_dir: Path, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the finished, undamaged results of a step that were moved away, newest first."""
    folders = (run_dir / "earlier").glob(f"{name}-*")
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        record = read_record(folder)
        if record is not None and not damaged_outputs(folder, record):
            yield folder, record


def bring_back(run_dir: Path, name: str, wanted: Fingerprint) -> Path | None:
    """Put a result of exactly this fingerprint back in its place; return where it was, None where
    there is none.
    """
    for folder, record in earlier_results(run_dir, name):
        fits = wanted.sha256() in fingerprints_of(record)
        if fits and not changed_files(folder, record):
            _put_back(run_dir, name, folder)
            return folder
    return None


def _put_back(run_dir: Path, name: str, folder: Path) -> None:
    place = run_dir / name
    if place.exists():
        _remove_own_files(place)
        place.rmdir()
    (folder / WHY).unlink(missing_ok=True)
    os.rename(folder, place)
    restore_copy(run_dir, name)


def restore_copy(run_dir: Path, name: str) -> None:
    """Put the executed copy that lies in a step's folder back beside the others."""
    kept = run_dir / name / EXECUTED
    if kept.is_file():
        (run_dir / "notebooks").mkdir(exist_ok=True)
        os.replace(kept, run_dir / "notebooks" / f"{name}.ipynb")


def fingerprints_of(record: Mapping[str, Any]) -> set[str]:
    """The fingerprints a record stands for: its own, and one it was accepted for (`keep`)."""
    found = {record["fingerprint"], (record.get("accepted") or {}).get("fingerprint")}
    return {value for value in found if value}


def keep(run_dir: Path, name: str, wanted: Fingerprint, reason: str) -> list[str]:
    """Accept a step's finished result for the fingerprint of now, although it was made under
    another; return what has changed since.

    The result is the one in its place, else the last one that was moved to `earlier/`. What was
    accepted, when and why stands in its `step.json`. Raises UserError where nothing finished is
    there, or the result is damaged.
    """
    folder = run_dir / name
    record = read_record(folder)
    if record is None:
        for where, _ in earlier_results(run_dir, name):
            set_aside(run_dir, name, ["--keep brought back an earlier result"])
            _put_back(run_dir, name, where)
            record = read_record(folder)
            break
    if record is None:
        raise UserError(f"--keep {name}: no finished result of it is there; run it without --keep")
    wrong = damaged_outputs(folder, record)
    if wrong:
        raise UserError(f"--keep {name}: {wrong[0]}; run it without --keep")
    if wanted.sha256() in fingerprints_of(record):
        return []
    changed = differences(compared_with(record), wanted)
    accepted = {
        **wanted.to_dict(),
        "changed": changed,
        "reason": reason,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    write_record(folder, {**record, "accepted": accepted})
    return changed


def compared_with(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stored fingerprint that a record is compared by: the accepted one, else its own."""
    found: Mapping[str, Any] = record.get("accepted") or record
    return found
