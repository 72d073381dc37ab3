"""A project of two tiny notebooks in a temporary folder, executed in this process: what a chain
does without the seconds that a kernel takes to start.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

import nbformat

from selene_lib.pipeline import chain, notebooks
from selene_lib.pipeline.execution import EXECUTION
from selene_lib.pipeline.notebooks import StepSpec, notebook_path, parameter_defaults

FIRST = StepSpec("00_quickstart", (), ("judgements.csv", "judgements"))
SECOND = StepSpec("01_second", ("00_quickstart/judgements.csv",), ("copy.csv",))
IMPORT = "from selene_lib.pipeline.runs import begin_step"
CELLS = {
    FIRST.name: (
        "run = 'nano'  # str\nn = 3  # int\nrate = 0.5  # float\nbase_url = ''  # str",
        f"{IMPORT}\nstep = begin_step('00_quickstart', globals())",
        "step.path('judgements.csv').write_text(f'n\\n{n}\\n')\n"
        "store = step.path('judgements/base/set.jsonl')\n"
        'if not store.exists():\n    store.write_text(\'{"verdict": "Yes"}\\n\')\n'
        "arm = step.path('arms/dpo-seed0/adapter/weights.bin')\n"
        "if not arm.exists():\n    arm.write_text('trained')",
        "step.finish()",
    ),
    SECOND.name: (
        "run = 'nano'  # str\nm = 1  # int",
        f"{IMPORT}\nstep = begin_step('01_second', globals())",
        "source = step.inputs['00_quickstart/judgements.csv']\n"
        "step.path('copy.csv').write_text(source.read_text())",
        "step.finish()",
    ),
}


def write_notebook(path: Path, parameters: str, *cells: str) -> None:
    """Write a notebook whose first cell is tagged `parameters`."""
    notebook = nbformat.v4.new_notebook()
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    notebook.cells = [tagged, *map(nbformat.v4.new_code_cell, cells)]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    notebooks.parameter_defaults.cache_clear()


def make_project(folder: Path, monkeypatch: Any) -> None:
    """Fill a folder with the project and let the chain work in it, without kernels."""
    (folder / "pyproject.toml").write_text("[project]\n")
    for name, cells in CELLS.items():
        write_notebook(folder / "notebooks" / f"{name}.ipynb", *cells)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SELENE_HOME", raising=False)
    monkeypatch.setattr(notebooks, "STEPS", (FIRST, SECOND))
    monkeypatch.setattr(chain, "execute_notebook", execute_here)


def execute_here(step: StepSpec, parameters: dict, run_dir: Path, *, expected, again, say) -> None:
    """Do what papermill and its kernel do, in this process."""
    path = notebook_path(step.name)
    notebook = json.loads(path.read_text())
    execution = uuid.uuid4().hex
    os.environ[EXECUTION] = execution
    namespace = dict(parameter_defaults(path)) | dict(parameters)
    try:
        for cell in notebook["cells"][1:]:
            exec("".join(cell["source"]), namespace)
    finally:
        os.environ.pop(EXECUTION)
        if "step" in namespace:
            namespace["step"].close()
    notebook["metadata"] |= {
        "selene": {"execution": execution},
        "papermill": {"end_time": "2026-01-01T00:00:00", "exception": None},
    }
    copies = run_dir / "notebooks"
    copies.mkdir(exist_ok=True)
    (copies / f"{step.name}.ipynb").write_text(json.dumps(notebook))
    say(f"{expected.prefix} done")
