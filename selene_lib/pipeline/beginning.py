"""`selene init`: a project folder of one's own, without a clone."""

from __future__ import annotations

import shutil
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.pipeline.places import PACKAGE

COPIED = ("notebooks", "runs", "examples", "constraints.txt")


def project_files() -> Path:
    """Return where this installation keeps notebooks, runs and examples: in the wheel inside the
    package, in a clone beside it.
    """
    for folder in (PACKAGE / "project", PACKAGE.parent):
        if (folder / "notebooks").is_dir() and (folder / "runs").is_dir():
            return folder
    raise UserError("this installation holds no notebooks; install a wheel of the project again")


def init_project(folder: Path) -> list[Path]:
    """Copy notebooks, runs and examples into `folder`; return the files that were written.

    A file that is there already stays as it is: one that differs is a UserError, before anything
    is written, so that nobody's notebook is lost.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give the name of a folder")
    source = project_files()
    wanted = {folder / path.relative_to(source): path for path in _files_below(source)}
    differing = [to for to, path in wanted.items() if to.exists() and not _is_same(to, path)]
    if differing:
        raise UserError(
            f"{differing[0]} is there already and differs ({len(differing)} such files); "
            "give another folder, or move it"
        )
    written = [to for to in wanted if not to.exists()]
    for to in written:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wanted[to], to)
    return written


def _files_below(source: Path) -> list[Path]:
    files = []
    for name in COPIED:
        path = source / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [each for each in found if each.is_file() and _is_wanted(each, source)]
    return files


def _is_wanted(path: Path, source: Path) -> bool:
    parts = path.relative_to(source).parts
    return not any(part.startswith(".") or part == "__pycache__" for part in parts)


def _is_same(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()
