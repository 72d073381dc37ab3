"""Where files live: the project's folder, the folder of results, the folder of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, shown
from selene_lib.files.names import PLAIN_NAME, is_plain_name

PACKAGE = Path(__file__).resolve().parents[1]


def project_root() -> Path:
    """Return the folder with `notebooks/`, and `pyproject.toml` or `runs/`.

    That is the working directory or one above it, else the clone installed from.
    """
    for folder in (Path.cwd(), *Path.cwd().parents, PACKAGE.parent):
        is_known = (folder / "pyproject.toml").is_file() or (folder / "runs").is_dir()
        if (folder / "notebooks").is_dir() and is_known:
            return folder
    raise UserError(
        "no project folder here (one with notebooks/ and runs/); change into your clone, or make "
        "one with `selene init FOLDER` and change into it"
    )


def home() -> Path:
    """Return the folder in which a run writes `artefacts/`, and `selene publish` `figures/` and
    `reports/`: `SELENE_HOME`, else the project root.
    """
    given = os.environ.get("SELENE_HOME")
    _refuse_unwritable_name(given or str(project_root()))
    if not given:
        return project_root()
    if Path(given).exists() and not Path(given).is_dir():
        raise UserError(f"SELENE_HOME={given} is a file; set it to a folder for the results")
    return Path(given).resolve()


def _refuse_unwritable_name(path: str) -> None:
    """Under the locale C a name beyond ASCII is bytes that are no text, which no file can hold."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise UserError(
            f"the folder {shown} cannot be named in this locale; set LC_ALL=C.UTF-8 (or "
            "PYTHONUTF8=1), or name another place with SELENE_HOME"
        ) from error


def run_folder(run: str) -> Path:
    """Return `artefacts/<run>`; the name must be a plain file name."""
    check_run_name(run)
    return home() / "artefacts" / run


def check_run_name(run: str) -> None:
    """Raise UserError for a name that no folder can have everywhere."""
    if not is_plain_name(run):
        raise UserError(f"run name {shown(run)}: {PLAIN_NAME}")


def without_places(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step's parameters as others may see them: of a path that lies somewhere on this
    machine only its name.
    """
    shown = {}
    for key, value in parameters.items():
        is_place = isinstance(value, str) and Path(value).is_absolute()
        shown[key] = Path(value).name if is_place else value
    return shown
