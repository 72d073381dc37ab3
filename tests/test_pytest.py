"""The pytest plugin, run by pytest in a process of its own, with a stub server as the judge."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY
from generators_world import ScriptedServer, serving

PLUGIN = "selene_lib.integrations.pytest_plugin"
TESTS = """
import pytest

RUBRIC = "Is it right?\\nYes: it is\\nNo: it is not"

def test_right(assert_judged):
    said = assert_judged("Good answer.", instruction="Why?", rubric=RUBRIC, expect="Yes")
    assert said.label == "Yes" and said.reasoning == "Read twice."

def test_wrong(assert_judged):
    assert_judged("Bad answer.", instruction="Why?", rubric=RUBRIC, expect="Yes")

@pytest.mark.judged(rubric=RUBRIC, task="classification")
def test_by_the_marker(assert_judged):
    assert_judged("Good answer.", instruction="Why?")

def test_score(assert_judged):
    assert_judged("Four.", rubric="How good?", at_least=4)

def test_unreadable(assert_judged):
    assert_judged("Silence.", rubric=RUBRIC, expect="Yes")
"""


def reply(prompt: str, _: int | None) -> str:
    if "Silence." in prompt:
        return "I would rather not."
    verdict = "4" if "Four." in prompt else "No" if "Bad answer." in prompt else "Yes"
    return f"**Reasoning:** Read twice.\n\n**Result:** {verdict}"


def run(folder: Path, *options: str) -> tuple[int, str]:
    """Run pytest with the plugin alone, not as an entry point, on a file of tests."""
    (folder / "test_mine.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",  # those of who runs the suite
    }
    command = [sys.executable, "-m", "pytest", "-p", PLUGIN, *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_answers_pass_and_fail_by_what_the_judge_says_and_are_asked_once(tmp_path):
    with serving(ScriptedServer(reply=reply)) as server:
        code, said = run(tmp_path, "--judge-model", f"{server.base_url}#m")
        assert code == 1
        assert re.search(r"2 failed, 3 passed", said), said
        assert "the judge says No, Yes was wanted" in said
        assert "the judge says nothing (malformed:" in said
        assert "4 asked, 1 from the cache" in said  # the marker's item is that of the first test
        n_asked = server.n_asked
        assert n_asked == 4
        _, said = run(tmp_path, "--judge-model", f"{server.base_url}#m")
        assert "0 asked, 5 from the cache" in said and server.n_asked == n_asked
        run(tmp_path, "--judge-model", f"{server.base_url}#m", "--cache-clear")
        assert server.n_asked == 2 * n_asked


def test_without_a_judge_a_test_fails_and_says_how_to_name_one(tmp_path):
    code, said = run(tmp_path, "-k", "test_right")
    assert code == 1 and "no judge: give --judge-model" in said


def test_an_argument_that_no_item_has_is_named(tmp_path):
    with serving(ScriptedServer(reply=reply)) as server:
        folder = tmp_path / "other"
        folder.mkdir()
        (folder / "test_typo.py").write_text(
            "def test_typo(assert_judged):\n    assert_judged('x', rubrik='y')\n"
        )
        code, said = run(folder, "--judge-model", f"{server.base_url}#m", "test_typo.py")
    assert code == 1 and "no argument 'rubrik'" in said


def test_the_installed_plugin_is_this_one():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"selene": PLUGIN}
