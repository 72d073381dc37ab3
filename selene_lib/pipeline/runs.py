"""A step of a run while it is at work, and what is known of how its files came to be.

A run is a named set of parameters; its files lie in `artefacts/<run>/<step>/`. A step is one
notebook. `begin_step` opens it, `Step.finish` writes `step.json` beside its outputs and assembles
`manifest.json`: parameters, inputs and outputs with SHA-256 and size, git commit, package versions,
hardware, wall time and peak memory.
"""

from __future__ import annotations

import functools
import hashlib
import json
import resource
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.errors import UserError
from selene_lib.files import PathLock, read_json, sha256_file, size_bytes, write_json
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.models.parallel import use_one_thread
from selene_lib.pipeline.environment import environment
from selene_lib.pipeline.notebooks import notebook_path, parameter_defaults, step_spec
from selene_lib.pipeline.places import PACKAGE, project_root, run_folder

if TYPE_CHECKING:
    import pandas as pd

PATH_PARAMETERS = (
    "data_dir",
    "votes",
    "adapter",
    "model",
    "base_model",
    "reward_model",
    "domain_file",
)


@functools.cache
def _library_sha256() -> str:
    """Return one hash over the library's source and data files.

    A changed library means that steps are done again.
    """
    lines = []
    for path in sorted(PACKAGE.rglob("*")):
        is_source = "__pycache__" not in path.parts and path.suffix not in {".tmp", ".pyc"}
        if path.is_file() and is_source:
            lines.append(f"{path.relative_to(PACKAGE).as_posix()} {sha256_file(path)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def step_code_sha256(notebook: Path) -> str:
    """Return one hash over the library and the code cells of a step's notebook."""
    return hashlib.sha256((_library_sha256() + _notebook_sha256(notebook)).encode()).hexdigest()


def _notebook_sha256(path: Path) -> str:
    """Return a hash over the code cells of a notebook.

    Prose, outputs, metadata, parameters and the cell for Colab do not count.
    """
    source = []
    for cell in read_json(path)["cells"]:
        counts = {"parameters", "colab"}.isdisjoint(cell["metadata"].get("tags", []))
        if cell["cell_type"] == "code" and counts:
            source.append("".join(cell["source"]))
    return hashlib.sha256("\x1e".join(source).encode()).hexdigest()


@dataclass
class Step:
    """One notebook of one run, while it is at work.

    `folder` holds its outputs. `inputs` maps the declared names to paths that exist. What it needs
    to be done again or resumed safely is its `fingerprint`: parameters, code and inputs; files that
    were begun under another fingerprint are removed.
    """

    name: str
    run: str
    folder: Path
    parameters: dict[str, Any]
    inputs: dict[str, Path]
    outputs: tuple[str, ...]
    telemetry: tuple[str, ...]
    code: str
    started: float = field(default_factory=time.time)
    _lock: PathLock | None = None

    @property
    def fingerprint(self) -> str:
        return fingerprint(
            self.parameters,
            self.code,
            {name: sha256_file(path) for name, path in self.inputs.items()},
        )

    def path(self, name: str) -> Path:
        """Return where an output called `name` belongs (its folder is made)."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def store(self, name: str) -> Path:
        """Return a path under `artefacts/<run>/store/`.

        For replies that were paid for, keyed by content, never removed by a re-run.
        """
        target = self.folder.parent / "store" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def finish(self) -> pd.DataFrame:
        """Assert the declared outputs and write `step.json` and the run's `manifest.json`.

        Returns a table of what was written.
        """
        import pandas as pd

        missing = [name for name in self.outputs if not self.folder.joinpath(name).exists()]
        if missing:
            raise RuntimeError(
                f"{self.name}: declared output {missing[0]!r} was not written to {self.folder}"
            )
        record = {
            "step": self.name,
            "run": self.run,
            "fingerprint": self.fingerprint,
            "parameters": self.parameters,
            "code_sha256": self.code,
            "inputs": {
                name: _described(path, self.folder.parent) for name, path in self.inputs.items()
            },
            "outputs": {
                name: _described(self.folder / name, self.folder.parent) for name in self.outputs
            },
            "telemetry": [name for name in self.telemetry if self.folder.joinpath(name).exists()],
            "wall_seconds": round(time.time() - self.started, 2),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **environment(),
        }
        write_json(self.folder / "step.json", record)
        _write_manifest(self.folder.parent)
        if self._lock is not None:
            self._lock.close()
        rows = [
            {"file": name, "bytes": entry["bytes"], "sha256": entry["sha256"][:12]}
            for name, entry in record["outputs"].items()
        ]
        return pd.DataFrame(rows)


def _described(path: Path, run_dir: Path) -> dict[str, Any]:
    shown = path.relative_to(run_dir).as_posix() if path.is_relative_to(run_dir) else str(path)
    return {"path": shown, "sha256": sha256_file(path), "bytes": size_bytes(path)}


def fingerprint(parameters: Mapping[str, Any], code: str, inputs: Mapping[str, str]) -> str:
    """Return the hash of all that decides a step's data.

    Parameters, code, content of inputs, state of the files that a parameter names.
    """
    outside = {}
    for name in PATH_PARAMETERS:
        if parameters.get(name):
            outside[name] = _state(_place(name, parameters[name]))
    content = json.dumps([dict(parameters), code, dict(inputs), outside], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _place(name: str, value: str) -> Path:
    """Return the path a parameter means.

    A domain file stands for its folder, since its data lie beside it.
    """
    return (project_root() / value).parent if name == "domain_file" else Path(value)


def _state(path: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of a file, or of the files below a folder.

    Nothing for what is no path here (a hub id).
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
    else:
        files = [path] if path.is_file() else []
    return [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files]


def begin_step(name: str, namespace: Mapping[str, Any]) -> Step:
    """Open step `name` with the parameters that `namespace` holds (pass `globals()`).

    Raises `UserError` where an input is not there yet, naming the notebook that writes it.
    Half-finished work of the same fingerprint is kept and resumed; that of another is removed.
    """
    spec = step_spec(name)
    notebook = notebook_path(name)
    parameters = {key: namespace[key] for key in parameter_defaults(notebook)}
    run_dir = run_folder(parameters["run"])
    folder = run_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"{folder} is in use by another process; wait for it or end it, then try again"
    step = Step(
        name=name,
        run=parameters["run"],
        folder=folder,
        parameters=parameters,
        inputs=_input_paths(run_dir, spec.inputs),
        outputs=spec.outputs,
        telemetry=spec.telemetry,
        code=step_code_sha256(notebook),
        _lock=PathLock(folder, busy=busy, patience_seconds=20.0),
    )
    _clear_other_work(step)
    if EMBEDDED_MODEL in (parameters.get("model"), parameters.get("base_model")):
        use_one_thread()
    return step


def _input_paths(run_dir: Path, inputs: tuple[str, ...]) -> dict[str, Path]:
    """Map declared inputs (`step/file`) to paths.

    A missing one is a `UserError` that names the notebook to run first.
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


def _clear_other_work(step: Step) -> None:
    """Remove the step's files unless they were begun under the same fingerprint.

    What is left is marked as begun under this one.
    """
    (step.folder / "step.json").unlink(missing_ok=True)
    mark = step.folder / "begun.json"
    if not (mark.is_file() and read_json(mark).get("fingerprint") == step.fingerprint):
        shutil.rmtree(step.folder)
        write_json(mark, {"fingerprint": step.fingerprint})


def _write_manifest(run_dir: Path) -> Path:
    """Assemble `manifest.json` of a run from the `step.json` of its finished steps."""
    steps = {p.parent.name: read_json(p) for p in sorted(run_dir.glob("*/step.json"))}
    return write_json(run_dir / "manifest.json", {"run": run_dir.name, "steps": steps})


def is_done(record: Mapping[str, Any], run_dir: Path, wanted_fingerprint: str) -> bool:
    """Return whether a finished step is unchanged.

    Same parameters, code and inputs, and outputs whose content is what was written.
    """
    if record.get("fingerprint") != wanted_fingerprint:
        return False
    for entry in record["outputs"].values():
        path = run_dir / entry["path"]
        if (
            not path.exists()
            or size_bytes(path) != entry["bytes"]
            or sha256_file(path) != entry["sha256"]
        ):
            return False
    return True
