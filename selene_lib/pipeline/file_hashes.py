"""Content hashes of a user's own files, kept by size and time so that large folders are read once.

A file that was touched or checked out again is read again and has the same hash: its time decides
only whether it is read.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from selene_lib.files import read_json, sha256_file, write_json

N_KEPT = 5  # of a file: size, time of its content, time of its record, inode, hash


class FileHashes:
    """Hashes of files and folders, remembered in one JSON file (`save`). What lies below its folder
    is our own and does not count.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = path.parent.resolve()
        self._known: dict[str, list[Any]] = _read(path)
        self._is_new = False

    def of(self, path: Path) -> str | None:
        """Return the hash of a file's content, or of the names and contents below a folder; None
        for what is neither (a hub id). Hidden files do not count.
        """
        if path.is_file():
            return self._of_file(path)
        if not path.is_dir():
            return None
        # a folder inside our own was named by the user; of one around it our own is left out
        own = None if path.resolve().is_relative_to(self._own) else self._own
        lines = []
        for file in _files_of(path, own):
            lines.append(f"{file.relative_to(path).as_posix()} {self._of_file(file)}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _of_file(self, path: Path) -> str:
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
        known = self._known.get(str(path.resolve()))
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        found = sha256_file(path)
        self._known[str(path.resolve())] = [*stamp, found]
        self._is_new = True
        return found

    def save(self) -> None:
        """Write what was found, where anything is new."""
        if self._is_new:
            write_json(self._path, self._known)
            self._is_new = False


def _files_of(folder: Path, own: Path | None) -> list[Path]:
    """The files below a folder, links to folders followed as a loader follows them; hidden ones and
    what lies in `own` left out.
    """
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        is_own = own is not None and here.is_relative_to(own)
        if here in seen or is_own:  # a link back, or our own files
            folders.clear()
            continue
        seen.add(here)
        folders[:] = [name for name in folders if not name.startswith((".", "__pycache__"))]
        found += [Path(place) / name for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def _read(path: Path) -> dict[str, list[Any]]:
    """What was remembered; a broken file is as good as none."""
    try:
        found = read_json(path)
    except (FileNotFoundError, ValueError):
        return {}
    is_right = isinstance(found, dict) and all(
        isinstance(entry, list) and len(entry) == N_KEPT for entry in found.values()
    )
    return found if is_right else {}
