"""A step of a run while it is at work, and what is known of how its files came to be.

A run is a named set of parameters; its files lie in `artefacts/<run>/<step>/`. A step is one
notebook. `begin_step` opens it, `Step.finish` writes `step.json` beside its outputs and assembles
`manifest.json`: parameters, inputs and outputs with SHA-256 and size, git commit, package versions,
hardware, wall time and peak memory.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.errors import UserError
from selene_lib.files import PathLock, sha256_file, size_bytes, write_json
from selene_lib.models.addresses import refuse_secrets
from selene_lib.models.lifetimes import end_with_parent
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.models.parallel import use_one_thread
from selene_lib.pipeline.code_hashes import one_hash
from selene_lib.pipeline.display import show_tables_whole
from selene_lib.pipeline.earlier import fingerprints_of, set_aside
from selene_lib.pipeline.environment import environment
from selene_lib.pipeline.execution import EXECUTION, PARENT
from selene_lib.pipeline.fingerprint import (
    Fingerprint,
    differences,
    file_hashes,
    fingerprint_of,
    in_short,
    outside_hashes,
)
from selene_lib.pipeline.given import refuse_unknown_parameters
from selene_lib.pipeline.notebooks import StepSpec, notebook_path, parameter_defaults, step_spec
from selene_lib.pipeline.places import run_folder
from selene_lib.pipeline.presets import checked_value
from selene_lib.pipeline.step_records import (
    BEGUN,
    RECORD,
    hashes_below,
    move_damaged,
    read_object,
    read_record,
    write_manifest,
    write_record,
)

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Step:
    """One notebook of one run, while it is at work.

    `folder` holds its outputs. `inputs` maps the declared names to paths that exist. What it needs
    to be done again or resumed safely is its `fingerprint`, taken when it begins: parameters, code,
    inputs and the files that a parameter names.
    """

    name: str
    run: str
    folder: Path
    parameters: dict[str, Any]
    inputs: dict[str, Path]
    outputs: tuple[str, ...]
    telemetry: tuple[str, ...]
    fingerprint: Fingerprint
    started: float = field(default_factory=time.time)
    _lock: PathLock | None = None

    def path(self, name: str) -> Path:
        """Return where an output called `name` belongs (its folder is made)."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def store(self, name: str) -> Path:
        """Return a path under `artefacts/<run>/store/`: replies that were paid for, keyed by
        content, never removed by a re-run.
        """
        target = self.folder.parent / "store" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def finish(self) -> pd.DataFrame:
        """Assert the declared outputs, write `step.json` and the run's `manifest.json`; return a
        table of what was written.

        Raises UserError where an input changed since `begin_step`: the result is that of neither.
        """
        import pandas as pd

        missing = [name for name in self.outputs if not self.folder.joinpath(name).exists()]
        if missing:
            raise RuntimeError(
                f"{self.name}: declared output {missing[0]!r} was not written to {self.folder}"
            )
        self._refuse_changed_inputs()
        record = self._record()
        write_record(self.folder, record)
        write_manifest(self.folder.parent)
        self.close()
        rows = [
            {"file": name, "bytes": entry["bytes"], "sha256": entry["sha256"][:12]}
            for name, entry in record["outputs"].items()
        ]
        return pd.DataFrame(rows)

    def close(self) -> None:
        """Let go of the step's folder without finishing it."""
        if self._lock is not None:
            self._lock.close()

    def _refuse_changed_inputs(self) -> None:
        remedy = "nothing was recorded as finished; run it again"
        for name, path in self.inputs.items():
            if not path.exists() or sha256_file(path) != self.fingerprint.inputs[name]:
                raise UserError(f"{self.name}: input {name} changed while it ran; {remedy}")
        outside = outside_hashes(self.parameters, file_hashes())
        for name, was in self.fingerprint.outside.items():
            if outside.get(name) != was:
                raise UserError(f"{self.name}: the files of {name} changed while it ran; {remedy}")

    def _record(self) -> dict[str, Any]:
        run_dir = self.folder.parent
        inputs = {name: _described(path, run_dir) for name, path in self.inputs.items()}
        outputs = {name: _described(self.folder / name, run_dir) for name in self.outputs}
        return {
            **self.fingerprint.to_dict(),
            "step": self.name,
            "run": self.run,
            "code_sha256": one_hash(self.fingerprint.code),
            "inputs": inputs,
            "outputs": outputs,
            "files": hashes_below(self.folder),
            "execution": os.environ.get(EXECUTION),
            "telemetry": [name for name in self.telemetry if self.folder.joinpath(name).exists()],
            "wall_seconds": round(time.time() - self.started, 2),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **environment(),
        }


def _described(path: Path, run_dir: Path) -> dict[str, Any]:
    shown = path.relative_to(run_dir).as_posix() if path.is_relative_to(run_dir) else str(path)
    return {"path": shown, "sha256": sha256_file(path), "bytes": size_bytes(path)}


def begin_step(name: str, namespace: Mapping[str, Any]) -> Step:
    """Open step `name` with the values its notebook's parameters cell has in `namespace` (pass
    `globals()`).

    Raises `UserError` where an input is not there yet or is not what its notebook wrote (naming
    that notebook), for a parameter the notebook does not have, and for a value of another type.
    Half-finished work of the same fingerprint is kept and resumed; that of another, and a finished
    result, moves to `artefacts/<run>/earlier/`.
    """
    end_with_parent(os.environ.get(PARENT), at_once=True)
    show_tables_whole()
    spec = step_spec(name)
    parameters = _parameters(name, namespace)
    run_dir = run_folder(parameters["run"])
    folder = run_dir / name
    inputs = input_paths(run_dir, spec.inputs)
    hashes = file_hashes()
    fingerprint = fingerprint_of(spec, parameters, run_dir, hashes)
    refuse_damaged_inputs(run_dir, spec, fingerprint.inputs)
    folder.mkdir(parents=True, exist_ok=True)
    hashes.save()
    before = namespace.get("step")
    if isinstance(before, Step):  # the same cell again, in a notebook that someone steps through
        before.close()
    busy = f"{folder} is in use by another process; wait for it or end it, then try again"
    lock = PathLock(folder, busy=busy, patience_seconds=20.0)
    step = Step(
        name=name,
        run=parameters["run"],
        folder=folder,
        parameters=parameters,
        inputs=inputs,
        outputs=spec.outputs,
        telemetry=spec.telemetry,
        fingerprint=fingerprint,
        _lock=lock,
    )
    _make_room(step)
    if EMBEDDED_MODEL in (parameters.get("model"), parameters.get("base_model")):
        use_one_thread()
    return step


def _parameters(name: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    defaults = parameter_defaults(notebook_path(name))
    refuse_unknown_parameters(name, namespace, defaults)
    parameters = {key: checked_value(name, key, namespace[key], defaults[key]) for key in defaults}
    for key, value in parameters.items():
        refuse_secrets(value, f"parameter {key} of {name}")
    return parameters


def input_paths(run_dir: Path, inputs: tuple[str, ...]) -> dict[str, Path]:
    """Map declared inputs (`step/file`) to paths; a missing one is a UserError that names the
    notebook to run first.
    """
    paths = {}
    for name in inputs:
        path = run_dir / name
        if not path.exists():
            first = name.split("/")[0]
            raise UserError(
                f"{path} is not there; run notebook {first} of run {run_dir.name!r} first"
            )
        paths[name] = path
    return paths


def refuse_damaged_inputs(run_dir: Path, step: StepSpec, found: Mapping[str, str]) -> None:
    """Compare the hashes of a step's inputs with what the notebooks before it recorded.

    Raises UserError for one that differs, and for one whose notebook has not finished, with the
    command that makes it again.
    """
    for name, sha256 in found.items():
        source, _, file = name.partition("/")
        record = read_record(run_dir / source)
        again = f"selene reproduce --run {run_dir.name} --from {step_spec(source).number}"
        if record is None:
            raise UserError(
                f"{run_dir / name} is there, but notebook {source} has not finished; "
                f"run it first: {again} --to {step_spec(source).number}"
            )
        if record["outputs"].get(file, {}).get("sha256") != sha256:
            raise UserError(
                f"{run_dir / name} is not what notebook {source} wrote (damaged, or edited); "
                f"make it again: {again}"
            )


def _make_room(step: Step) -> None:
    """Leave in the step's folder what was made under its fingerprint, undamaged; move away what was
    not, and mark the folder as begun under this one.
    """
    run_dir, mark = step.folder.parent, step.folder / BEGUN
    record = read_record(step.folder)
    known = record or read_object(mark) or {}
    stands_for = fingerprints_of(record) if record else {known.get("fingerprint")}
    if step.fingerprint.sha256() in stands_for:
        said = move_damaged(run_dir, step.name, record) if record else None
    else:
        is_readable = "parameters" in known
        changed = differences(known, step.fingerprint) if is_readable else ["not known"]
        said = None
        moved = set_aside(run_dir, step.name, changed)
        if moved is not None:
            said = f"{step.name}: {in_short(changed)}; what was there is kept in {moved}"
    if said:
        print(said)
    (step.folder / RECORD).unlink(missing_ok=True)
    write_json(mark, step.fingerprint.to_dict())
