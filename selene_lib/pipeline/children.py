"""Stopping a command together with every process it started, by Ctrl-C, SIGTERM or a closed
terminal.

Everything on disk is whole at every moment, so the children are killed rather than asked: what they
were at is resumed by the next run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

WAIT_SECONDS = 5.0
# folders that a stopped command leaves behind in the system's temporary folder
temporary_folders: set[Path] = set()


@contextlib.contextmanager
def stopped_in_one_line(resume: Callable[[], str]) -> Iterator[None]:
    """While this lasts, a signal to stop ends the command and all its children with one line, which
    names `resume()`, and exit code 128 plus the signal's number.

    Only for a command's main thread: signals belong to it.
    """
    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        signals.append(signal.SIGHUP)

    def stop(number: int, _: FrameType | None) -> None:
        end_children()
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""
        print(f"{clear}selene: stopped; go on with: {resume()}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        for folder in temporary_folders:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(128 + number)

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_children() -> int:
    """Kill every process that this one started, and theirs, and wait until they are gone; return
    how many there were.
    """
    import psutil

    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children, timeout=WAIT_SECONDS)
    return len(children)
