"""The public names: all there, each from its own module, and none loaded before it is used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import selene_lib

HEAVY = {"torch", "pandas", "numpy", "transformers", "datasets", "pyarrow"}


def loaded_after(line: str) -> set[str]:
    script = f"import sys\n{line}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "line",
    [
        "import selene_lib",
        "from selene_lib import Sample",
        "import selene_lib; selene_lib.__version__; dir(selene_lib)",
    ],
)
def test_an_import_loads_nothing_heavy(line):
    loaded = loaded_after(line)
    assert "selene_lib" in loaded
    assert not loaded & HEAVY


def test_every_public_name_is_there_and_is_the_one_its_module_defines():
    assert set(selene_lib.__all__) == set(selene_lib._HOME_OF)
    for name, home in selene_lib._HOME_OF.items():
        assert getattr(selene_lib, name) is getattr(importlib.import_module(home), name)
        assert name in dir(selene_lib)


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse(Path(selene_lib.__file__).read_text())
    guards = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for guard in guards
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == selene_lib._HOME_OF
    assert resources.files("selene_lib").joinpath("py.typed").is_file()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sampel'"):
        selene_lib.Sampel  # noqa: B018
    with pytest.raises(ImportError):
        from selene_lib import Sampel  # noqa: F401
