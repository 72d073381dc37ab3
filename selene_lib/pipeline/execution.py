"""One notebook through papermill, made safe: this interpreter as the kernel, one line of progress,
whole copies only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.files import read_json, write_json
from selene_lib.files.disk import refusal, refusal_in, remedy_of
from selene_lib.pipeline.children import temporary_folders
from selene_lib.pipeline.notebooks import StepSpec, notebook_path, parameter_defaults
from selene_lib.pipeline.places import home, project_root

# what `selene reproduce` tells the kernels it starts: its process, and an id of this execution
PARENT, EXECUTION = "SELENE_PARENT", "SELENE_EXECUTION"
# errors of a cell that a user can mend: the command then exits with 2
MENDABLE = {"UserError", "PermissionError", "NotADirectoryError"}


class StepFailed(RuntimeError):
    """A notebook's cell failed. `user_error` says whether the user can mend it (then the command
    exits 2, else 1).
    """

    def __init__(self, message: str, user_error: bool) -> None:
        super().__init__(message)
        self.user_error = user_error


@dataclass(frozen=True)
class Expected:
    """What a line of progress says: which step of how many, and how many seconds it and those after
    it are expected to take (None: not known).
    """

    prefix: str
    seconds: float | None
    seconds_after: float | None = None

    @property
    def about(self) -> str:
        """The time of this step, as words."""
        return "time not known" if self.seconds is None else f"expected {clock(self.seconds)}"

    def left(self, elapsed: float) -> str:
        """Return the time left of the whole command, as a phrase."""
        if self.seconds_after is None:
            return ""
        here = max((self.seconds or 0.0) - elapsed, 0.0)
        return f", about {clock(here + self.seconds_after)} left in all"


def execute_notebook(
    step: StepSpec,
    parameters: Mapping[str, Any],
    run_dir: Path,
    *,
    expected: Expected,
    again: str,
    say: Callable[[str], None],
) -> None:
    """Run one notebook under papermill; the executed copy is
    `artefacts/<run>/notebooks/<name>.ipynb`, or `.failed.ipynb`.

    papermill is handed the parameters that differ from the notebook's own. `again` is the command
    that a failure names to go on with.
    """
    copies = run_dir / "notebooks"
    copies.mkdir(parents=True, exist_ok=True)
    failed = copies / f"{step.name}.failed.ipynb"
    defaults = parameter_defaults(notebook_path(step.name))
    different = {name: value for name, value in parameters.items() if value != defaults[name]}
    started = time.monotonic()
    with _progress_line(expected), _stamped(step, copies) as source:
        _papermill(step, source, failed, different, again)
    if not (run_dir / step.name / "step.json").is_file():
        message = f"{step.name} ended without finishing its step; executed copy: {failed}"
        raise StepFailed(message, False)
    os.replace(failed, copies / f"{step.name}.ipynb")
    took = clock(time.monotonic() - started)
    after = Expected("", 0.0, expected.seconds_after).left(0.0)
    say(f"{expected.prefix} done in {took} ({expected.about}){after}")


@contextlib.contextmanager
def _stamped(step: StepSpec, folder: Path) -> Iterator[Path]:
    """Offer the notebook with an id of this execution in its metadata; the kernel finds the id in
    its environment and writes it into `step.json`, so that record and copy are known to belong
    together.
    """
    execution = uuid.uuid4().hex
    notebook = read_json(notebook_path(step.name))
    # the cell that fetches the project in Colab: a kernel of the chain has it
    tagged = [(cell, cell["metadata"].get("tags", [])) for cell in notebook["cells"]]
    notebook["cells"] = [cell for cell, tags in tagged if "colab" not in tags]
    notebook["metadata"]["selene"] = {"execution": execution}
    source = folder / f".{step.name}.source.ipynb"
    write_json(source, notebook)
    os.environ[EXECUTION] = execution
    try:
        yield source
    finally:
        os.environ.pop(EXECUTION)
        source.unlink(missing_ok=True)


def _papermill(
    step: StepSpec, source: Path, copy: Path, parameters: Mapping[str, Any], again: str
) -> None:
    """Run papermill; what goes wrong is a StepFailed of one line and the remedy."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            _literal(source),
            _literal(copy),
            parameters=dict(parameters),
            kernel_name="selene",
            language="python",
            cwd=str(project_root()),
            progress_bar=False,
            log_output=False,
        )
    except PapermillExecutionError as error:
        mendable = error.ename in MENDABLE or bool(refusal_in(str(error.evalue)))
        raise StepFailed(_failure_line(step, error, copy, again), mendable) from error
    except OSError as error:
        said = refusal(error)
        if not said:
            raise
        message = f"{said}; {remedy_of(error)}, and run the same command again"
        raise StepFailed(message, True) from error
    except RuntimeError as error:
        message = (
            f"{step.name}: the kernel did not start or died ({error}); "
            "see `selene doctor`, then run the same command again"
        )
        raise StepFailed(message, False) from error


def _literal(path: Path) -> str:
    """A path for papermill, which reads braces in one as a place for a parameter."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _failure_line(step: StepSpec, error: Any, copy: Path, again: str) -> str:
    cause = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip().splitlines()
    what = f"{step.name}, cell {error.cell_index}: {error.ename}: {cause[0] if cause else ''}"
    return f"{what}\n  executed copy: {copy}\n  after mending, resume with: {again}"


@contextlib.contextmanager
def kernel_here(name: str = "selene") -> Iterator[None]:
    """Offer a kernel of that name that is this very interpreter, whatever kernels the machine has
    registered.
    """
    with tempfile.TemporaryDirectory(prefix="selene-kernel-") as folder:
        temporary_folders.add(Path(folder))
        spec = Path(folder) / "kernels" / name
        spec.mkdir(parents=True)
        command = [
            sys.executable,
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--IPKernelApp.log_level=CRITICAL",
        ]
        (spec / "kernel.json").write_text(
            json.dumps(
                {"argv": command, "display_name": f"selene ({sys.prefix})", "language": "python"}
            )
        )
        paths = os.pathsep.join(filter(None, [folder, os.environ.get("JUPYTER_PATH")]))
        own = {"JUPYTER_PATH": paths, PARENT: str(os.getpid())}
        before = {key: os.environ.get(key) for key in own}
        os.environ.update(own)
        os.environ.setdefault("SELENE_HOME", str(home()))
        try:
            yield
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key)
                else:
                    os.environ[key] = value


@contextlib.contextmanager
def _progress_line(expected: Expected) -> Iterator[None]:
    """Keep one line of elapsed and expected time up to date on a terminal; say it once where there
    is none.
    """
    stream, stop, started = sys.stderr, threading.Event(), time.monotonic()
    prefix, about = expected.prefix, expected.about
    if not stream.isatty():
        left = expected.left(0.0)
        print(f"{prefix} running ({about}{left})", file=stream, flush=True)
        yield
        return

    def tick() -> None:
        while not stop.wait(0.5):
            elapsed = time.monotonic() - started
            line = f"\r{prefix} {clock(elapsed)} ({about}{expected.left(elapsed)}) \x1b[K"
            print(line, end="", file=stream, flush=True)

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
