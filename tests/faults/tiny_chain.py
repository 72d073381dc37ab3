"""A project whose nine notebooks have the real names, inputs and outputs and nothing to compute.

The whole chain with its kernels, workers and files takes half a minute of one core.
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from selene_lib.pipeline.notebooks import STEPS, StepSpec

PARAMETERS = "run = 'nano'  # str\nn = 3  # int"
# Workers as the real notebooks have them, but for torch, which takes seconds to import.
WORKERS = """import time
from selene_lib.models import parallel
from selene_lib.models.parallel import side_by_side
parallel.is_small = lambda model: False
done = side_by_side([(time.sleep, (0.4,))] * 2, 'embedded', 'jobs')"""
WRITE = """import hashlib
text = ''
for name, path in sorted(step.inputs.items()):
    files = sorted(p for p in path.rglob('*') if p.is_file()) if path.is_dir() else [path]
    for file in files:
        text += hashlib.sha256(file.read_bytes()).hexdigest() + '\\n'
for name in {outputs!r}:
    content = f'{{name}} {{n}}\\n' + text
    if name in ('task_means.csv', 'seeds.csv'):
        content = 'judge\\n'
    if '.' in name:
        step.path(name).write_text(content)
    for part in ('a/part.csv', 'b/part.csv', 'fig1a.png') if '.' not in name else ():
        step.path(f'{{name}}/{{part}}').write_text(part + content)
store = step.path('store.jsonl')
for number in range(len(store.read_text().splitlines()) if store.exists() else 0, 20):
    with open(store, 'a') as stream:
        stream.write('{{}}\\n')
    time.sleep(0.01)"""


def write_tiny_project(folder: Path) -> Path:
    """Write the project and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text("[project]\n")
    for step in STEPS:
        _write(folder / "notebooks" / f"{step.name}.ipynb", step)
    return folder


def _write(path: Path, step: StepSpec) -> None:
    begin = "from selene_lib.pipeline.runs import begin_step\n"
    begin += f"step = begin_step({step.name!r}, globals())"
    write = WRITE.format(outputs=step.outputs)
    tagged = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    sources = (begin, WORKERS, write, "step.finish()")
    cells = [tagged, *(nbformat.v4.new_code_cell(source) for source in sources)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
