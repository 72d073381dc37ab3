"""The notebook contract: committed without outputs, thin, self-describing, and in step with the
chain's table of inputs and outputs.
"""

from __future__ import annotations

import ast
import json
import re

import pytest
from conftest import REPOSITORY
from papermill import inspect_notebook

from selene_lib.pipeline.notebooks import ALONE, STEPS, parameter_defaults

ALL = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
COLAB = "colab"  # no step: it executes those that are
NOTEBOOKS = [path for path in ALL if path.stem != COLAB]
SECRET = re.compile(r"hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9]{20,}|nk-[A-Za-z0-9]{20,}")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param, json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture(params=ALL, ids=lambda path: path.stem)
def any_notebook(request):
    return request.param, json.loads(request.param.read_text(encoding="utf-8"))


def sources(content, kind="code") -> list[str]:
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == kind]


def test_one_notebook_a_step():
    assert [path.stem for path in NOTEBOOKS] == [step.name for step in (*STEPS, *ALONE)]


def test_each_names_something_to_try(any_notebook):
    _, content = any_notebook
    assert "**Try this**" in "\n".join(sources(content, "markdown"))


def test_cells_have_ids_of_their_own(any_notebook):
    _, content = any_notebook
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)


def test_no_outputs_counts_or_secrets(any_notebook):
    path, content = any_notebook
    for cell in content["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    assert not SECRET.search(path.read_text(encoding="utf-8"))


def test_cells_are_few_short_and_without_machinery(any_notebook):
    _, content = any_notebook
    code = sources(content)
    assert len(code) <= 20
    for number, source in enumerate(code):
        # the first is a list of parameters
        most = 30 if number == 0 else 22
        assert len([line for line in source.splitlines() if line.strip()]) <= most
        tree = ast.parse(
            "\n".join(line for line in source.splitlines() if not line.lstrip().startswith("%"))
        )
        banned = (ast.FunctionDef, ast.ClassDef, ast.Try, ast.Lambda)
        assert not [node for node in ast.walk(tree) if isinstance(node, banned)]
    lengths = sorted(len(source.splitlines()) for source in code)
    assert lengths[len(lengths) // 2] <= 8


def test_papermill_reads_every_parameter(any_notebook, caplog):
    """Its own parser takes a line for no parameter where the comment holds an equals sign."""
    path, content = any_notebook
    names = [node.targets[0].id for node in ast.parse(sources(content)[0]).body]
    assert list(inspect_notebook(str(path))) == names
    assert "Unable to parse" not in caplog.text


def test_opens_with_title_what_it_reads_and_writes_and_parameters(notebook):
    path, content = notebook
    first, second = content["cells"][:2]
    opening = "".join(first["source"])
    assert opening.startswith(f"# {path.stem[:2]} ")
    for word in ("**Reads**", "**Writes**", "**Takes**"):
        assert word in opening
    assert second["metadata"]["tags"] == ["parameters"]


def test_parameters_are_typed_commented_scalars(any_notebook):
    path, content = any_notebook
    lines = [line for line in "".join(content["cells"][1]["source"]).splitlines() if line.strip()]
    defaults = parameter_defaults(path)
    assert len(lines) == len(defaults)
    assert defaults["run"] == ("colab" if path.stem == COLAB else "nano")
    for line, value in zip(lines, defaults.values()):
        assert isinstance(value, str | int | float | bool)
        assert re.search(rf"  # {type(value).__name__}: \w", line), line


def test_every_parameter_is_used(any_notebook):
    path, content = any_notebook
    rest = "\n".join(sources(content)[1:])
    unused = [
        name
        for name in parameter_defaults(path)
        if name != "run" and not re.search(rf"\b{name}\b", rest)
    ]
    assert unused == []


def test_declared_inputs_and_outputs_are_those_of_the_cells(notebook):
    path, content = notebook
    step = next(step for step in (*STEPS, *ALONE) if step.name == path.stem)
    code = "\n".join(sources(content))
    assert f'begin_step("{step.name}", globals())' in code
    assert sources(content)[-1].strip().endswith("step.finish()")
    assert set(re.findall(r'step\.inputs\["([^"]+)"\]', code)) <= set(step.inputs)
    written = set(re.findall(r'step\.path\("([^"]+)"\)', code))
    assert set(step.outputs) <= written
