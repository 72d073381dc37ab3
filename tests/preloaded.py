"""`selene` in a process that has torch and transformers already: importing them takes longer than
most commands, and is not what a test of commands is about.

A server without threads imports the libraries once and forks for every command; the command's own
folder, environment and copy of `selene_lib` are what a new interpreter would have.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

LIBRARIES = ("pandas", "sklearn.metrics", "torch", "transformers.models.auto", "peft")


def run_selene(
    arguments: list[str], folder: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess:
    """Run `selene ARGUMENTS` in `folder`. TimeoutExpired where it takes longer than `timeout` s."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*LIBRARIES])
    out, err = (folder / f".preloaded-{name}" for name in ("out", "err"))
    process = context.Process(target=_command, args=(arguments, folder, environment, out, err))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise subprocess.TimeoutExpired(["selene", *arguments], timeout)
    said = [path.read_text(encoding="utf-8") for path in (out, err)]
    return subprocess.CompletedProcess(["selene", *arguments], process.exitcode, *said)


def _command(
    arguments: list[str], folder: Path, environment: dict[str, str], out: Path, err: Path
) -> None:
    for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(path, flags), number)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in enumerate("rww"))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = ["selene", *arguments]
    from selene_lib.cli import main

    main()  # what it raises ends the process with 1 and a traceback, as in an interpreter
