"""The notebooks of a run in order, and papermill made safe.

papermill itself only warns about an unknown parameter, runs whatever kernel it finds, writes its
output in place and cannot resume. Here an unknown or wrongly typed parameter is an error, the
kernel is this interpreter, an executed copy is renamed into place, and a notebook whose parameters,
code and inputs are unchanged is not run again.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import PathLock, read_json, sha256_file
from selene_lib.pipeline import notebooks
from selene_lib.pipeline.executed import publish_executed
from selene_lib.pipeline.execution import clock, execute_notebook, kernel_here
from selene_lib.pipeline.notebooks import StepSpec, notebook_path, step_spec
from selene_lib.pipeline.places import home, run_folder
from selene_lib.pipeline.presets import RunSpec, load_run, resolve_parameters
from selene_lib.pipeline.runs import fingerprint, is_done, step_code_sha256


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
    code = step_code_sha256(notebook_path(spec.name))
    return fingerprint(parameters, code, {name: sha256_file(path) for name, path in paths.items()})


def resolve_run(
    run: str, first: str | None, last: str | None, settings: Mapping[str, Any]
) -> tuple[RunSpec, tuple[StepSpec, ...], dict[str, dict[str, Any]]]:
    """Return a run, its chosen steps and all their parameters.

    Every mistake in them, and a missing need of the run, is a `UserError`.
    """
    spec = load_run(run)
    steps = select_steps(first, last)
    resolved = resolve_parameters(spec, steps, settings)
    for name in spec.needs:
        if any(name in values and not values[name] for values in resolved.values()):
            raise UserError(
                f"run {spec.name!r} needs {name}; give it with --{name.replace('_', '-')}"
            )
    return spec, steps, resolved


def step_state(
    step: StepSpec, parameters: Mapping[str, Any], run_dir: Path
) -> tuple[bool, float | None]:
    """Return whether a finished step is unchanged, and the seconds it took when it last finished.

    An unchanged step need not run again; the seconds are None where it never finished.
    """
    mark = run_dir / step.name / "step.json"
    record = read_json(mark) if mark.is_file() else {}
    wanted = wanted_fingerprint(step, parameters, run_dir)
    return bool(record and wanted and is_done(record, run_dir, wanted)), record.get("wall_seconds")


def reproduce(
    run: str,
    *,
    first: str | None = None,
    last: str | None = None,
    settings: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Execute the notebooks of a run in order; return how many had to be executed.

    At the end of the chain readable copies of the executed notebooks go to
    `reports/<run>/notebooks/`. Raises `UserError` for what the user can mend, `StepFailed` where a
    notebook's cell failed.
    """
    spec, steps, resolved = resolve_run(run, first, last, settings or {})
    run_dir = run_folder(spec.name)
    run_dir.mkdir(parents=True, exist_ok=True)
    busy = f"another `selene reproduce` is at work on {run_dir}; wait for it or end it"
    with PathLock(run_dir, busy=busy), kernel_here():
        again = _resume_command(run, last, settings or {})
        executed = _execute_steps(steps, resolved, run_dir, again, say)
        if steps[-1] == notebooks.STEPS[-1]:
            publish_executed(run_dir, home() / "reports" / spec.name / "notebooks")
    return executed


def _resume_command(run: str, last: str | None, settings: Mapping[str, Any]) -> str:
    """Return the command that does the same again from a notebook on.

    `{first}` in it stands for the number of that notebook.
    """
    words = ["--run", shlex.quote(run), "--from", "{first}"]
    if last:
        words += ["--to", shlex.quote(last)]
    if "data_dir" in settings:
        words += ["--data-dir", shlex.quote(str(settings["data_dir"]))]
    for key, value in settings.items():
        if key != "data_dir":
            words += ["--set", shlex.quote(f"{key}={value}")]
    return " ".join(["selene reproduce", *words])


def _execute_steps(
    steps: tuple[StepSpec, ...],
    resolved: Mapping[str, Mapping[str, Any]],
    run_dir: Path,
    again: str,
    say: Callable[[str], None],
) -> int:
    started = time.monotonic()
    executed = 0
    for number, step in enumerate(steps, 1):
        prefix = f"[{number}/{len(steps)}] {step.name:<24}"
        unchanged, seconds = step_state(step, resolved[step.name], run_dir)
        if unchanged:
            say(f"{prefix} unchanged, not run again")
            continue
        execute_notebook(
            step,
            dict(resolved[step.name]),
            run_dir,
            prefix=prefix,
            expected=seconds or step.expected_seconds,
            again=again.replace("{first}", step.number),
            say=say,
        )
        executed += 1
    if executed:
        outcome = f"{executed} of {len(steps)} notebooks executed"
    else:
        outcome = "nothing to do: every notebook's parameters, code and inputs are unchanged"
    say(f"{outcome} in {clock(time.monotonic() - started)}; results in {run_dir}")
    return executed
