"""The notebooks of a run in order, and papermill made safe: checked parameters, a fixed kernel, whole files, resumption.

papermill itself only warns about an unknown parameter, runs whatever kernel it finds, writes its output in place and cannot resume.
Here an unknown or wrongly typed parameter is an error, the kernel is this interpreter, an executed copy is renamed into place, and a
notebook whose parameters, code and inputs are unchanged is not run again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shlex
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json, sha256_file
from selene_lib.pipeline import notebooks
from selene_lib.pipeline.executed import publish_executed
from selene_lib.pipeline.notebooks import StepSpec, notebook_path, parameter_defaults, step_spec
from selene_lib.pipeline.places import home, project_root, run_folder
from selene_lib.pipeline.runs import code_sha256, fingerprint, is_done, notebook_code_sha256


@dataclass(frozen=True)
class RunSpec:
    """A named run: `parameters` for every notebook that has one of the name, `notebooks` for one notebook alone."""

    name: str
    about: str = ""
    needs: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notebooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def load_run(run: str) -> RunSpec:
    """Read `runs/<run>.yaml` or the YAML file at that path; `nano` needs none (the notebooks' own defaults)."""
    import yaml

    if run == "nano":
        return RunSpec("nano", "the embedded run: generated data, a tiny judge, no network")
    folder = project_root() / "runs"
    path = Path(run) if run.endswith((".yaml", ".yml")) else folder / f"{run}.yaml"
    if not path.is_file():
        known = ", ".join(["nano", *(p.stem for p in sorted(folder.glob("*.yaml")) if not p.stem.startswith("accelerate"))])
        raise UserError(f"no run {run!r}: {path} is not there; known runs: {known}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    allowed = {"name", "about", "needs", "parameters", "notebooks"}
    if not isinstance(content, dict) or not set(content) <= allowed:
        raise UserError(f"{path}: a run file holds the keys {', '.join(sorted(allowed))} and no others")
    content["needs"] = tuple(content.get("needs") or ())
    return RunSpec(**{"name": path.stem, **{k: v for k, v in content.items() if v is not None}})


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Read `--set key=value` (or `notebook.key=value`) as YAML scalars."""
    import yaml

    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set {pair!r}: write it as key=value")
        settings[key] = yaml.safe_load(value) if value else ""
    return settings


def resolve_parameters(spec: RunSpec, steps: tuple[StepSpec, ...], settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each step all its parameters: notebook defaults, then the run file, then `settings`.

    Raises `UserError` for a name that no notebook has and for a value of another type than the default's.
    """
    defaults = {s.name: parameter_defaults(notebook_path(s.name)) for s in notebooks.STEPS}
    resolved = {name: {**values, "run": spec.name} for name, values in defaults.items()}
    for source, values in (("run file", spec.parameters), ("--set", settings)):
        for key, value in values.items():
            for name in _targets(key, defaults, source):
                _assign(resolved[name], defaults[name], name, key.split(".")[-1], value)
        if source == "run file":
            for given, own in spec.notebooks.items():
                name = step_spec(given).name
                for key, value in own.items():
                    _assign(resolved[name], defaults[name], name, key, value)
    return {s.name: resolved[s.name] for s in steps}


def _targets(key: str, defaults: Mapping[str, Mapping[str, Any]], source: str) -> list[str]:
    if "." in key:
        return [step_spec(key.split(".")[0]).name]
    names = [name for name, values in defaults.items() if key in values]
    if not names:
        known = sorted({k for values in defaults.values() for k in values})
        raise UserError(f"unknown parameter {key!r} ({source}); known: {', '.join(known)}")
    return names


def _assign(resolved: dict[str, Any], defaults: Mapping[str, Any], name: str, key: str, value: Any) -> None:
    if key not in defaults:
        raise UserError(f"notebook {name} has no parameter {key!r}; it has {', '.join(defaults)}")
    wanted = type(defaults[key])
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is float and isinstance(value, str) and _is_number(value):  # YAML reads 1e-5 as text
        value = float(value)
    if wanted is str and type(value) in (int, float):  # `--set seeds=0` means the text
        value = str(value)
    if type(value) is not wanted:
        raise UserError(f"parameter {key!r} of {name} is {wanted.__name__} (default {defaults[key]!r}), got {value!r}")
    resolved[key] = value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def select_steps(first: str | None, last: str | None) -> tuple[StepSpec, ...]:
    """Return the steps from `first` to `last`, both included; None is the chain's own end."""
    start = notebooks.STEPS.index(step_spec(first)) if first else 0
    stop = notebooks.STEPS.index(step_spec(last)) if last else len(notebooks.STEPS) - 1
    if start > stop:
        raise UserError(f"--from {first} comes after --to {last}")
    return notebooks.STEPS[start : stop + 1]


def wanted_fingerprint(spec: StepSpec, parameters: Mapping[str, Any], run_dir: Path) -> str | None:
    """Return the fingerprint the step would have now, None while an input is missing."""
    paths = {name: run_dir / name for name in spec.inputs}
    if not all(path.exists() for path in paths.values()):
        return None
    code = hashlib.sha256((code_sha256() + notebook_code_sha256(notebook_path(spec.name))).encode()).hexdigest()
    return fingerprint(parameters, code, {name: sha256_file(path) for name, path in paths.items()})


def resolve_run(
    run: str, first: str | None, last: str | None, settings: Mapping[str, Any]
) -> tuple[RunSpec, tuple[StepSpec, ...], dict[str, dict[str, Any]]]:
    """Return a run, its chosen steps and all their parameters; every mistake in them, and a missing need of the run, is a UserError."""
    spec = load_run(run)
    steps = select_steps(first, last)
    resolved = resolve_parameters(spec, steps, settings)
    for name in spec.needs:
        if any(name in values and not values[name] for values in resolved.values()):
            raise UserError(f"run {spec.name!r} needs {name}; give it with --{name.replace('_', '-')}")
    return spec, steps, resolved


def standing(step: StepSpec, parameters: Mapping[str, Any], run_dir: Path) -> tuple[bool, float | None]:
    """Return whether a finished step still stands, and the seconds it took when it last finished (None if it never did)."""
    mark = run_dir / step.name / "step.json"
    record = read_json(mark) if mark.is_file() else {}
    wanted = wanted_fingerprint(step, parameters, run_dir)
    return bool(record and wanted and is_done(record, run_dir, wanted)), record.get("wall_seconds")


def reproduce(run: str, *, first: str | None = None, last: str | None = None, settings: Mapping[str, Any] | None = None,
              say: Callable[[str], None] = print) -> int:  # fmt: skip
    """Execute the notebooks of a run in order; return how many had to be executed.

    At the end of the chain readable copies of the executed notebooks go to `reports/<run>/notebooks/`.
    Raises `UserError` for what the user can mend, `StepFailed` where a notebook's cell failed.
    """
    spec, steps, resolved = resolve_run(run, first, last, settings or {})
    run_dir = run_folder(spec.name)
    run_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(run_dir), kernel_here():
        again = _resume_command(run, last, settings or {})
        executed = _execute_steps(run, steps, resolved, run_dir, again, say)
        if steps[-1] == notebooks.STEPS[-1]:
            publish_executed(run_dir, home() / "reports" / spec.name / "notebooks")
    return executed


def _resume_command(run: str, last: str | None, settings: Mapping[str, Any]) -> str:
    """Return the command that does the same again from a notebook on, `{first}` standing for its number."""
    given = {key: value for key, value in settings.items() if key != "data_dir"}
    parts = ["--run", run, "--from", "{first}", *(["--to", last] if last else [])]
    parts += ["--data-dir", str(settings["data_dir"])] if "data_dir" in settings else []
    parts += [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
    return "selene reproduce " + " ".join(part if part == "{first}" else shlex.quote(part) for part in parts)


def _execute_steps(
    run: str, steps: tuple[StepSpec, ...], resolved: Mapping[str, Mapping[str, Any]], run_dir: Path, again: str, say: Callable[[str], None]
) -> int:
    started, executed = time.monotonic(), 0
    for number, step in enumerate(steps, 1):
        unchanged, seconds = standing(step, resolved[step.name], run_dir)
        if unchanged:
            say(f"[{number}/{len(steps)}] {step.name:<24} unchanged, not run again")
            continue
        expected = seconds or step.expected_seconds
        prefix, command = f"[{number}/{len(steps)}] {step.name:<24}", again.replace("{first}", step.name.split("_")[0])
        execute_notebook(step, dict(resolved[step.name]), run_dir, prefix=prefix, expected=expected, again=command, say=say)
        executed += 1
    verdict = (
        f"{executed} of {len(steps)} notebooks executed"
        if executed
        else "nothing to do: every notebook's parameters, code and inputs are unchanged"
    )
    say(f"{verdict} in {clock(time.monotonic() - started)}; results in {run_dir}")
    return executed


class StepFailed(RuntimeError):
    """A notebook's cell failed. `user_error` says whether the user can mend it (then the command exits 2, else 1)."""

    def __init__(self, message: str, user_error: bool) -> None:
        super().__init__(message)
        self.user_error = user_error


def execute_notebook(step: StepSpec, parameters: dict[str, Any], run_dir: Path, *, prefix: str, expected: float, again: str,
                     say: Callable[[str], None]) -> None:  # fmt: skip
    """Run one notebook under papermill; the executed copy is `artefacts/<run>/notebooks/<name>.ipynb`, or `.failed.ipynb`.

    `again` is the command that a failure names to go on with.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    copies = run_dir / "notebooks"
    copies.mkdir(parents=True, exist_ok=True)
    failed = copies / f"{step.name}.failed.ipynb"
    started = time.monotonic()
    with _progress_line(prefix, expected):
        try:
            options = {
                "kernel_name": "selene",
                "language": "python",
                "cwd": str(project_root()),
                "progress_bar": False,
                "log_output": False,
            }
            papermill.execute_notebook(str(notebook_path(step.name)), str(failed), parameters=parameters, **options)
        except PapermillExecutionError as error:
            raise StepFailed(_failure_line(step, error, failed, again), error.ename == "UserError") from error
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise StepFailed(f"no space left on the disk of {run_dir}; free some and run the same command again", True) from error
            raise
        except RuntimeError as error:
            raise StepFailed(
                f"{step.name}: the kernel did not start or died ({error}); see `selene doctor`, then run the same command again", False
            ) from error
    if not (run_dir / step.name / "step.json").is_file():
        raise StepFailed(f"{step.name} ended without finishing its step; executed copy: {failed}", False)
    os.replace(failed, copies / f"{step.name}.ipynb")
    say(f"{prefix} done in {clock(time.monotonic() - started)} (expected {clock(expected)})")


def _failure_line(step: StepSpec, error: Any, copy: Path, again: str) -> str:
    cause = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip().splitlines()
    what = f"{step.name}, cell {error.cell_index}: {error.ename}: {cause[0] if cause else ''}"
    return f"{what}\n  executed copy: {copy}\n  after mending, resume with: {again}"


@contextlib.contextmanager
def _only_one(run_dir: Path) -> Iterator[None]:
    with open(run_dir / ".lock", "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another `selene reproduce` is at work on {run_dir}; wait for it or end it") from error
        yield


@contextlib.contextmanager
def kernel_here(name: str = "selene") -> Iterator[None]:
    """Offer a kernel of that name that is this very interpreter, whatever kernels the machine has registered."""
    with tempfile.TemporaryDirectory(prefix="selene-kernel-") as folder:
        spec = Path(folder) / "kernels" / name
        spec.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--IPKernelApp.log_level=CRITICAL"]
        (spec / "kernel.json").write_text(json.dumps({"argv": command, "display_name": f"selene ({sys.prefix})", "language": "python"}))
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        os.environ.setdefault("SELENE_HOME", str(home()))
        try:
            yield
        finally:
            if before is None:
                os.environ.pop("JUPYTER_PATH")
            else:
                os.environ["JUPYTER_PATH"] = before


@contextlib.contextmanager
def _progress_line(prefix: str, expected: float) -> Iterator[None]:
    """Keep one line of elapsed and expected time up to date on a terminal; say it once where there is none."""
    stream, stop, started = sys.stderr, threading.Event(), time.monotonic()
    if not stream.isatty():
        print(f"{prefix} running (expected {clock(expected)})", file=stream, flush=True)
        yield
        return

    def tick() -> None:
        while not stop.wait(0.5):
            print(f"\r{prefix} {clock(time.monotonic() - started)} of about {clock(expected)} ", end="", file=stream, flush=True)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        print("\r\x1b[K", end="", file=stream, flush=True)


def clock(seconds: float) -> str:
    """Return minutes and seconds as `m:ss`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
