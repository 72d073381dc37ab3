"""README and CONTRIBUTING tell the truth: links, paths, commands and options exist, numbers are those of the committed results."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from selene_lib.publish import readme_block

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "reports/LOG.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_and_paths_exist(name):
    path = REPOSITORY / name
    text = path.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    paths = re.findall(r"`((?:selene_lib|tests|notebooks|runs|bench)/[\w./-]+)`", text)
    for link in links:
        assert (path.parent / link).exists(), link
    for inside in paths:
        assert (REPOSITORY / inside).exists(), inside


def selene_commands() -> list[str]:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    lines = [part.strip() for block in blocks for line in block.splitlines() for part in line.split("#  ")[0].split(" ; ")]
    inline = re.findall(r"`(selene [a-z]+ [^`]*)`", text)
    return sorted({line.split("   #")[0].strip() for line in [*lines, *inline] if line.startswith("selene ")})


@pytest.mark.parametrize("line", selene_commands())
def test_commands_and_options_of_the_readme_exist(line):
    words = shlex.split(line, comments=False)
    done = subprocess.run([sys.executable, "-m", "selene_lib.cli", words[1], "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for option in (word for word in words[2:] if word.startswith("--")):
        assert option in done.stdout


def test_make_targets_of_the_readme_exist():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", text, flags=re.MULTILINE)) <= targets


def test_the_numbers_of_the_readme_are_those_of_the_committed_results():
    shown = subprocess.run(["git", "-C", str(REPOSITORY), "show", "HEAD:reports/nano/results.json"], capture_output=True, text=True)
    if shown.returncode != 0:
        pytest.skip("not a git checkout with committed results")
    assert readme_block(json.loads(shown.stdout)) in (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_nothing_large_or_private_is_tracked():
    listed = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files"], capture_output=True, text=True)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in listed.stdout.splitlines() if (REPOSITORY / name).is_file()]
    assert [p.name for p in paths if p.stat().st_size > 10_000_000] == []
