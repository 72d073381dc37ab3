"""Whether a step's result still stands, and if not, why, in words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.pipeline import notebooks
from selene_lib.pipeline.earlier import (
    compared_with,
    fingerprints_of,
    holds_work,
    restore_copy,
)
from selene_lib.pipeline.executed import is_copy_of
from selene_lib.pipeline.file_hashes import FileHashes
from selene_lib.pipeline.fingerprint import Fingerprint, differences, fingerprint_of
from selene_lib.pipeline.notebooks import StepSpec
from selene_lib.pipeline.step_records import (
    BEGUN,
    RECORD,
    damaged_outputs,
    heal_record,
    mended_record,
    read_object,
    read_record,
    write_manifest,
)


@dataclass(frozen=True)
class StepState:
    """A step as it lies on disk, beside what is asked of it now.

    `changed` says what differs from what the result (or the half-finished work) was made of,
    `broken` what of the result is damaged or missing; a finished step without either stands.
    """

    step: StepSpec
    record: Mapping[str, Any] | None
    wanted: Fingerprint
    changed: tuple[str, ...]
    broken: tuple[str, ...]
    has_work: bool

    @property
    def unchanged(self) -> bool:
        """Whether it need not run again."""
        return self.record is not None and not self.changed and not self.broken

    @property
    def seconds(self) -> float | None:
        """How long it took when it last finished."""
        return None if self.record is None else self.record.get("wall_seconds")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it would run, in words; empty where it would not."""
        if self.record is None and not self.changed:
            return ("it was begun and not finished" if self.has_work else "it was never run",)
        return (*self.changed, *self.broken)


def step_state(
    step: StepSpec, parameters: Mapping[str, Any], run_dir: Path, hashes: FileHashes
) -> StepState:
    """Compare a step's files with what it would be made of now; read only."""
    folder = run_dir / step.name
    record = read_record(folder)
    if record is None and (folder / RECORD).is_file():  # as `heal` will mend it
        record = mended_record(run_dir, step.name)
    wanted = fingerprint_of(step, parameters, run_dir, hashes)
    broken: list[str] = []
    if record is not None:
        fits = wanted.sha256() in fingerprints_of(record)
        changed = [] if fits else differences(compared_with(record), wanted)
        broken = damaged_outputs(folder, record) + _copy_lacks(run_dir, step.name, record)
    else:
        begun = read_object(folder / BEGUN)
        changed = differences(begun, wanted) if begun and "parameters" in begun else []
    has_work = holds_work(folder)
    return StepState(step, record, wanted, tuple(changed), tuple(broken), has_work)


def _copy_lacks(run_dir: Path, name: str, record: Mapping[str, Any]) -> list[str]:
    """A phrase where the chain executed this step and the copy of just that is not whole."""
    execution = record.get("execution")
    if execution is None or is_copy_of(run_dir / "notebooks" / f"{name}.ipynb", execution):
        return []
    return ["its executed copy is missing or not whole"]


def heal(run_dir: Path) -> list[str]:
    """Mend what a kill or damage left of a run's records: broken `step.json`, an executed copy that
    was not renamed yet, a manifest that lacks a step; return what was done.
    """
    said = []
    for step in notebooks.STEPS:
        healed = heal_record(run_dir, step.name)
        if healed:
            said.append(healed)
        restore_copy(run_dir, step.name)
        record = read_record(run_dir / step.name) or {}
        copies = run_dir / "notebooks"
        failed = copies / f"{step.name}.failed.ipynb"
        if record.get("execution") and is_copy_of(failed, record["execution"]):
            os.replace(failed, copies / f"{step.name}.ipynb")
            said.append(f"{step.name}: its executed copy was whole and is in its place now")
    write_manifest(run_dir)
    return said
