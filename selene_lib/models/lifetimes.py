"""Processes that end with the process that started them, even where that one is killed with -9."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

POLL_SECONDS = 0.25
PR_SET_PDEATHSIG = 1
_watched: set[int] = set()


def end_with_parent(parent: int | str | None, *, at_once: bool = False) -> None:
    """End this process when process `parent`, which must have started it, is gone; do nothing where
    it is this process itself, or None.

    A thread looks after the parent four times a second. With `at_once` Linux also kills this
    process itself, whatever it computes: for a child that its parent's main thread started, since
    that promise holds for a thread's life, not for a process's.
    """
    if not parent or int(parent) in {os.getpid(), *_watched}:
        return
    pid = int(parent)
    if os.getppid() != pid:
        if not is_alive(pid):
            os._exit(1)
        return  # not its child: a kernel that something else started
    if at_once and sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _watched.add(pid)
    threading.Thread(target=_watch, args=(pid,), daemon=True, name="parent watch").start()


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _watch(pid: int) -> None:
    while os.getppid() == pid:
        time.sleep(POLL_SECONDS)
    os._exit(1)
