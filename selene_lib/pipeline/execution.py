"""One notebook through papermill, made safe.

This interpreter is the kernel, progress is one line, and copies are whole or absent.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selene_lib.pipeline.notebooks import StepSpec, notebook_path
from selene_lib.pipeline.places import home, project_root


class StepFailed(RuntimeError):
    """A notebook's cell failed.

    `user_error` says whether the user can mend it (then the command exits 2, else 1).
    """

    def __init__(self, message: str, user_error: bool) -> None:
        super().__init__(message)
        self.user_error = user_error


def execute_notebook(
    step: StepSpec,
    parameters: dict[str, Any],
    run_dir: Path,
    *,
    prefix: str,
    expected: float,
    again: str,
    say: Callable[[str], None],
) -> None:
    """Run one notebook under papermill.

    The executed copy is `artefacts/<run>/notebooks/<name>.ipynb`, or `.failed.ipynb`. `again` is
    the command that a failure names to go on with.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    copies = run_dir / "notebooks"
    copies.mkdir(parents=True, exist_ok=True)
    failed = copies / f"{step.name}.failed.ipynb"
    started = time.monotonic()
    with _progress_line(prefix, expected):
        try:
            papermill.execute_notebook(
                str(notebook_path(step.name)),
                str(failed),
                parameters=parameters,
                kernel_name="selene",
                language="python",
                cwd=str(project_root()),
                progress_bar=False,
                log_output=False,
            )
        except PapermillExecutionError as error:
            message = _failure_line(step, error, failed, again)
            raise StepFailed(message, error.ename == "UserError") from error
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            message = (
                f"no space left on the disk of {run_dir}; free some and run the same command again"
            )
            raise StepFailed(message, True) from error
        except RuntimeError as error:
            message = (
                f"{step.name}: the kernel did not start or died ({error}); "
                "see `selene doctor`, then run the same command again"
            )
            raise StepFailed(message, False) from error
    if not (run_dir / step.name / "step.json").is_file():
        message = f"{step.name} ended without finishing its step; executed copy: {failed}"
        raise StepFailed(message, False)
    os.replace(failed, copies / f"{step.name}.ipynb")
    say(f"{prefix} done in {clock(time.monotonic() - started)} (expected {clock(expected)})")


def _failure_line(step: StepSpec, error: Any, copy: Path, again: str) -> str:
    cause = re.sub(r"\x1b\[[0-9;]*m", "", str(error.evalue)).strip().splitlines()
    what = f"{step.name}, cell {error.cell_index}: {error.ename}: {cause[0] if cause else ''}"
    return f"{what}\n  executed copy: {copy}\n  after mending, resume with: {again}"


@contextlib.contextmanager
def kernel_here(name: str = "selene") -> Iterator[None]:
    """Offer a kernel of that name that is this very interpreter.

    Whatever kernels the machine has registered, this one is found first.
    """
    with tempfile.TemporaryDirectory(prefix="selene-kernel-") as folder:
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
    """Keep one line of elapsed and expected time up to date on a terminal.

    Where there is no terminal it is said once.
    """
    stream, stop, started = sys.stderr, threading.Event(), time.monotonic()
    if not stream.isatty():
        print(f"{prefix} running (expected {clock(expected)})", file=stream, flush=True)
        yield
        return

    def tick() -> None:
        while not stop.wait(0.5):
            print(
                f"\r{prefix} {clock(time.monotonic() - started)} of about {clock(expected)} ",
                end="",
                file=stream,
                flush=True,
            )

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
