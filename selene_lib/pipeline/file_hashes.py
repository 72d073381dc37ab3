"""Content hashes of a user's own files, kept by size and time so that large folders are read once.

A file that was touched or checked out again is read again and has the same hash: its time decides
only whether it is read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from selene_lib.files import read_json, sha256_file, write_json


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
        lines = []
        for file in sorted(path.rglob("*")):
            inside = file.relative_to(path)
            hidden = any(part.startswith((".", "__pycache__")) for part in inside.parts)
            is_own = file.resolve().is_relative_to(self._own)
            if file.is_file() and not hidden and not is_own:
                lines.append(f"{inside.as_posix()} {self._of_file(file)}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def _of_file(self, path: Path) -> str:
        state = path.stat()
        stamp = [state.st_size, state.st_mtime_ns]
        known = self._known.get(str(path.resolve()))
        if known is not None and known[:2] == stamp:
            return str(known[2])
        found = sha256_file(path)
        self._known[str(path.resolve())] = [*stamp, found]
        self._is_new = True
        return found

    def save(self) -> None:
        """Write what was found, where anything is new."""
        if self._is_new:
            write_json(self._path, self._known)
            self._is_new = False


def _read(path: Path) -> dict[str, list[Any]]:
    """What was remembered; a broken file is as good as none."""
    try:
        found = read_json(path)
    except (FileNotFoundError, ValueError):
        return {}
    is_right = isinstance(found, dict) and all(
        isinstance(entry, list) and len(entry) == 3 for entry in found.values()
    )
    return found if is_right else {}
