"""Executed copies of a run's notebooks for readers: marked as generated, without a path of the
machine that made them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import tell
from selene_lib.files import write_text
from selene_lib.pipeline.notebooks import STEPS
from selene_lib.pipeline.places import home, project_root
from selene_lib.pipeline.step_records import read_object, read_record

MARK = "**Generated.**"
WIDGET = "application/vnd.jupyter.widget-view+json"
PAPERMILL_KEPT = ("duration", "end_time", "parameters", "version")


def publish_executed(run_dir: Path, out: Path) -> list[Path]:
    """Write a readable copy of every executed notebook of a run to `out`; return the paths. Copies
    of what is no notebook now go.

    A copy is left out where it is not that of the execution which the step's record tells of. It
    opens with a note that it is generated, from which commit, and how to make it again. Paths below
    the project and those given as parameters lose their place on this machine; progress widgets,
    which show nothing without their kernel, are left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    sources = []
    for path in sorted((run_dir / "notebooks").glob("*.ipynb")):
        if not path.stem.endswith(".failed") and not path.name.startswith("."):
            sources.append(path)
    # a run of the last notebook alone keeps the others' copies
    kept = {path.stem for path in sources} | {step.name for step in STEPS}
    for stale in (path for path in out.glob("*.ipynb") if path.stem not in kept):
        stale.unlink()
    written = []
    for path in sources:
        record = read_record(run_dir / path.stem) or {}
        if record.get("execution") and not is_copy_of(path, record["execution"]):
            continue
        found = read_object(path) or {}
        if not _is_notebook(found):
            tell(f"{path} is no notebook that can be read; it is not published")
            continue
        notebook = readable(found, record)
        text = json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True)
        written.append(write_text(out / path.name, f"{text}\n"))
    return written


def is_copy_of(path: Path, execution: str) -> bool:
    """Whether a file is the whole executed copy that the execution of this id left."""
    metadata = _part(read_object(path) or {}, "metadata")
    papermill = _part(metadata, "papermill")
    is_whole = bool(papermill.get("end_time")) and not papermill.get("exception")
    return is_whole and _part(metadata, "selene").get("execution") == execution


def _part(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object inside another, empty where there is none of that name."""
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def _is_notebook(found: Mapping[str, Any]) -> bool:
    """Whether an object has the parts of a notebook that are read here."""
    cells = found.get("cells")
    return (
        isinstance(found.get("metadata"), dict)
        and isinstance(cells, list)
        and all(map(_is_cell, cells))
    )


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata"), dict):
        return False
    outputs = cell.get("outputs", [])
    is_whole = isinstance(outputs, list) and all(isinstance(each, dict) for each in outputs)
    return is_whole and isinstance(cell.get("cell_type"), str)


def readable(notebook: Mapping[str, Any], record: Mapping[str, Any]) -> dict[str, Any]:
    """Return an executed notebook as a reader wants it; `record` is the step's `step.json`."""
    papermill = _part(notebook["metadata"], "papermill")
    metadata = {
        **{key: value for key, value in notebook["metadata"].items() if key != "selene"},
        "papermill": {k: papermill[k] for k in PAPERMILL_KEPT if k in papermill},
    }
    cells = [
        _note(record),
        *(
            _readable_cell(cell)
            for cell in notebook["cells"]
            if "colab" not in (cell["metadata"].get("tags") or [])
        ),
    ]
    given = [
        value
        for value in record.get("parameters", {}).values()
        if isinstance(value, str) and Path(value).is_absolute()
    ]
    return _without_paths({**notebook, "metadata": metadata, "cells": cells}, given)


def _note(record: Mapping[str, Any]) -> dict[str, Any]:
    git = record.get("git") or {}
    commit = f"commit {git['commit'][:12]}" if git.get("commit") else "no git checkout"
    if git.get("commit") and git.get("dirty"):
        commit += " with uncommitted changes"
    run, step = record.get("run", "?"), record.get("step", "?")
    text = (
        f"{MARK} The executed copy of `notebooks/{step}.ipynb` in run `{run}` "
        f"({commit}, finished {record.get('finished_at', '?')}). "
        f"Do not edit it: `selene reproduce --run {run}` writes it again."
    )
    return {
        "cell_type": "markdown",
        "id": "generated",
        "metadata": {"tags": ["generated"]},
        "source": [text],
    }


def _readable_cell(cell: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in cell["metadata"].items() if k == "tags"}
    if cell["cell_type"] != "code":
        return {**cell, "metadata": metadata}
    outputs = [
        output
        for output in cell.get("outputs", [])
        if WIDGET not in _part(output, "data") and output.get("name") != "stderr"
    ]
    return {**cell, "metadata": metadata, "outputs": outputs}


def _without_paths(notebook: Mapping[str, Any], given: Sequence[str]) -> dict[str, Any]:
    """Leave out the project's and the results' folder and all but the name of a path that was
    given, wherever they stand in a text.
    """
    text = json.dumps(notebook, ensure_ascii=False)
    for path in sorted(given, key=len, reverse=True):
        text = text.replace(path, Path(path).name)
    for folder in sorted({str(project_root()), str(home())}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(folder)}/", "", text)
    return json.loads(text)
