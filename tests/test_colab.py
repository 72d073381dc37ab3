"""Google Colab without Colab: the cell that opens every notebook, run in a process that looks like
one of its kernels.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from conftest import REPOSITORY

from selene_lib.errors import UserError
from selene_lib.pipeline import colab

pytestmark = pytest.mark.slow


NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
ADDRESS = "https://github.com/someone/selene"


def colab_cell(path: Path) -> str:
    """Return the source of a notebook's one cell for Colab."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    (found,) = [cell for cell in cells if "colab" in cell["metadata"].get("tags", [])]
    return "".join(found["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_one_cell_for_colab_before_anything_is_imported(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["metadata"].get("tags", []) for cell in code[:2]] == [["parameters"], ["colab"]]
    source = colab_cell(path)
    assert f'"v{metadata.version("selene_lib")}"' in source
    assert re.search(r'prepare\("(gpu)?", save_to_drive=save_to_drive', source)


def test_anywhere_else_the_cell_does_nothing():
    done = subprocess.run(
        [sys.executable, "-c", colab_cell(NOTEBOOKS[0])], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def as_on_colab(source: str, before: str = "") -> subprocess.CompletedProcess:
    fake = (
        "import os, sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
        "get_ipython = lambda: types.SimpleNamespace(system=os.system)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", fake + before + source],
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.mark.long
def test_on_colab_the_cell_fetches_the_project_at_its_tag_and_prepares_it(tmp_path):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to fetch")
    tag = f"v{metadata.version('selene_lib')}"
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", str(REPOSITORY), str(tmp_path / "public.git")],
        check=True,
    )
    subprocess.run(
        ["git", "-C", str(tmp_path / "public.git"), "tag", "--force", tag, "HEAD"], check=True
    )
    source = colab_cell(NOTEBOOKS[0]).replace("/content/selene", str(tmp_path / "selene"))
    source = colab.ADDRESS.sub(rf'\g<1>"file://{tmp_path}/public.git", "{tag}"', source)
    done = as_on_colab(
        source
        + "\nimport selene_lib.pipeline.places; print(selene_lib.pipeline.places.project_root())"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['everything was here already']", str(tmp_path / "selene")]
    again = as_on_colab(source)
    assert again.returncode == 0, again.stderr


@pytest.mark.long
def test_a_tag_that_is_not_there_gives_the_default_branch(tmp_path):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to fetch")
    source = colab_cell(NOTEBOOKS[0]).replace("/content/selene", str(tmp_path / "selene"))
    source = colab.ADDRESS.sub(rf'\g<1>"file://{REPOSITORY}", "v0.0.0-never"', source)
    done = as_on_colab(source)
    assert done.returncode == 0, done.stderr
    assert "Remote branch v0.0.0-never not found" in done.stderr
    assert (tmp_path / "selene/pyproject.toml").is_file()


def test_the_cell_is_short_and_folded():
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        (cell,) = [cell for cell in cells if "colab" in cell["metadata"].get("tags", [])]
        assert len([line for line in cell["source"] if line.strip()]) <= 10
        assert cell["metadata"]["jupyter"] == {"source_hidden": True}
        assert cell["metadata"]["cellView"] == "form"


def test_without_an_address_the_cell_says_what_to_set(tmp_path):
    source = colab.ADDRESS.sub(r'\g<1>"", "v0"', colab_cell(NOTEBOOKS[0])).replace(
        "/content/selene", str(tmp_path / "absent")
    )
    done = as_on_colab(source)
    assert (done.returncode, done.stderr) == (1, "set repository first\n")


def test_what_is_missing_is_installed_with_its_extra_and_the_pins(tmp_path, monkeypatch):
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(colab, "is_installed", lambda extra: False)
    monkeypatch.setattr(colab, "clashes", lambda loaded: [])
    done = colab.prepare("gpu", root=tmp_path, run=lambda command, check: asked.append(command))
    assert asked == [
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "-c",
            f"{tmp_path}/constraints.txt",
            "-e",
            f"{tmp_path}[gpu]",
        ]
    ]
    assert done == [f"installed {tmp_path}[gpu]"]


def test_an_extra_that_is_not_one_is_refused():
    with pytest.raises(UserError, match="no extra 'tpu'"):
        colab.is_installed("tpu")
    assert colab.is_installed("")


def test_a_version_in_memory_that_is_not_the_one_on_disk_restarts_the_kernel():
    here = metadata.version("numpy")
    assert colab.clashes({"numpy": SimpleNamespace(__version__=f"{here}+cpu")}) == []
    assert colab.clashes({"sklearn": SimpleNamespace(__version__="0.1")})[0].startswith(
        "scikit-learn 0.1 in memory, "
    )
    stale = "import sys, types; sys.modules['numpy'] = types.SimpleNamespace(__version__='0.1')"
    program = [
        sys.executable,
        "-c",
        f"{stale}; from selene_lib.pipeline.colab import prepare; prepare()",
    ]
    done = subprocess.run(program, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == -15
    assert (
        f"numpy 0.1 in memory, {here} on disk" in done.stdout
        and "run the cells again" in done.stdout
    )


def test_a_notebook_is_given_a_fresh_kernel_by_its_front_end(monkeypatch):
    asked = []
    kernel = SimpleNamespace(do_shutdown=lambda restart: asked.append(restart))
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace(kernel=kernel))
    colab.restart_kernel()
    assert asked == [True]


def test_results_go_to_drive_when_asked(tmp_path, monkeypatch):
    mounted = []
    fake = ModuleType("google.colab")
    fake.drive = SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google.colab", fake)
    monkeypatch.setenv("SELENE_HOME", "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert colab.prepare(save_to_drive=True, root=tmp_path) == [f"results go to {colab.DRIVE_HOME}"]
    assert mounted == ["/content/drive"] and os.environ["SELENE_HOME"] == colab.DRIVE_HOME


@pytest.fixture
def project(tmp_path):
    """A copy of what an address is written into."""
    shutil.copytree(REPOSITORY / "notebooks", tmp_path / "notebooks")
    shutil.copy(REPOSITORY / "README.md", tmp_path)
    (tmp_path / "docs").mkdir()
    shutil.copy(REPOSITORY / "docs" / "notebooks.md", tmp_path / "docs")
    return tmp_path


def test_one_command_writes_the_address_into_every_cell_and_badge(project):
    assert colab.stamp(project, ADDRESS, "v9.9") == [
        *(path.name for path in NOTEBOOKS),
        "README.md",
        "docs/notebooks.md",
    ]
    assert "/notebooks/colab.ipynb)" in (project / "README.md").read_text(encoding="utf-8")
    page = (project / "docs" / "notebooks.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        badge = colab.BADGE.format(path=f"github/someone/selene/blob/v9.9/notebooks/{path.name}")
        copy = project / "notebooks" / path.name
        opening = "".join(json.loads(copy.read_text(encoding="utf-8"))["cells"][0]["source"])
        before = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        assert opening.splitlines()[:3] == [before.splitlines()[0], "", badge]
        assert opening.replace(f"\n{badge}\n", "", 1) == before
        assert f'repository, tag = "{ADDRESS}", "v9.9"' in colab_cell(copy)
        assert page.count(badge) == 1
    assert colab.stamp(project, ADDRESS, "v9.9") == []
    assert colab.stamp(project, f"{ADDRESS}-moved.git", "v10") != []
    moved = "".join(
        path.read_text(encoding="utf-8")
        for path in [*(project / "notebooks").glob("*.ipynb"), project / "docs" / "notebooks.md"]
    )
    assert "v9.9" not in moved and "selene-moved/blob/v10/" in moved


def test_an_address_that_colab_cannot_open_is_refused(project):
    with pytest.raises(UserError, match="Colab opens notebooks from"):
        colab.stamp(project, "https://example.org/selene.git", "v1")
