"""Where files live: the project's folder, the folder of results, the folder of a run."""

from __future__ import annotations

import os
from pathlib import Path

from selene_lib.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1]


def project_root() -> Path:
    """Return the folder with `notebooks/` and `pyproject.toml`.

    The working directory or one above it, else the clone that the library was installed from.
    """
    for folder in (Path.cwd(), *Path.cwd().parents, PACKAGE.parent):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise UserError(
        "no project folder here (one with notebooks/ and pyproject.toml); "
        "change into your clone and try again"
    )


def home() -> Path:
    """Return the folder in which `artefacts/`, `figures/` and `reports/` are written.

    `SELENE_HOME`, else the project root.
    """
    given = os.environ.get("SELENE_HOME")
    return Path(given).resolve() if given else project_root()


def run_folder(run: str) -> Path:
    """Return `artefacts/<run>`; the name must be a plain file name."""
    if not run or run != Path(run).name or run.startswith("."):
        raise UserError(f"run name {run!r}: use letters, digits, '-' and '_' only")
    return home() / "artefacts" / run
