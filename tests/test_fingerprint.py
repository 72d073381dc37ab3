"""What makes a step new: the functions it runs, its parameters, what its files hold. And what does
not: comments, docstrings, types, style sheets of another room, the time of a file.
"""

from __future__ import annotations

import json
import os
import shutil

import nbformat
import pytest

from selene_lib.pipeline import code_hashes
from selene_lib.pipeline.file_hashes import FileHashes
from selene_lib.pipeline.fingerprint import Fingerprint, differences, in_short

LOSS = '''"""Docstring."""
from __future__ import annotations
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from toy.report.build import build
SCALE = 2

def pair_loss(x: int) -> int:
    """Another."""
    return SCALE * x  # why

class Trainer:
    """Trains."""
    steps: int = 3

    def step(self):
        from toy.prompts.render import text
        return text()
'''
FILES = {
    "__init__.py": "",
    "training/__init__.py": "",
    "training/loss.py": LOSS,
    "training/other.py": "def unused():\n    return 1\n",
    "prompts/__init__.py": "",
    "prompts/render.py": "def text():\n    return 'a'\n",
    "prompts/templates/a.txt": "Judge.\n",
    "report/__init__.py": "",
    "report/build.py": "def build():\n    return 1\n",
    "report/style.css": "a { color: red; }\n",
    "figures/__init__.py": "from toy.figures.draw import draw\n",
    "figures/draw.py": "def draw():\n    return 1\n",
    "pipeline/__init__.py": "",
    "pipeline/runs.py": "def begin_step():\n    return 1\n",
    "judges/__init__.py": "_HOME = {'Judge': 'local'}\ndef __getattr__(name):\n    return name\n",
    "judges/local.py": "class Judge:\n    size = 1\n",
}
CELL = (
    "from toy.training.loss import pair_loss\nfrom toy.pipeline.runs import begin_step\n"
    "from toy.figures import draw\nfrom toy.judges import Judge"
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A small package of the same rooms, and a notebook that trains."""
    package = tmp_path / "toy"
    for name, text in FILES.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(code_hashes, "PACKAGE", package)
    monkeypatch.setattr(code_hashes, "NAME", "toy")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbformat.write(notebook, tmp_path / "04_train.ipynb")
    return tmp_path


def code(toy, draws: bool = False) -> dict[str, str]:
    return code_hashes.step_code(toy / "04_train.ipynb", draws=draws)


def changed(toy, name: str, old: str, new: str, draws: bool = False) -> set[str]:
    """Names whose hash differs once `old` is `new` in a file."""
    before, path = code(toy, draws), toy / "toy" / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after = code(toy, draws)
    return {key for key in {*before, *after} if before.get(key) != after.get(key)}


def test_only_what_is_imported_counts_functions_inside_functions_and_lazy_names_too(toy):
    names = {key for key in code(toy) if key.startswith("toy.")}
    assert {"toy.training.loss.pair_loss", "toy.training.loss.Trainer.step"} <= names
    assert {"toy.prompts.render.text", "toy.judges.local.Judge"} <= names
    rooms = {name.split(".")[1] for name in names}
    assert rooms == {"training", "prompts", "judges"}
    assert not any("other" in name for name in names)
    assert "toy/prompts/templates/a.txt" in code(toy)
    assert "toy.figures.draw.draw" in code(toy, draws=True)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("training/loss.py", "# why", "# because"),
        ("training/loss.py", '"""Another."""', '"""Other words, of any length."""'),
        ("training/loss.py", "x: int) -> int", "x: float) -> float"),
        ("training/loss.py", "SCALE = 2", "SCALE   =   2\n\n"),
        ("training/other.py", "return 1", "return 2"),
        ("report/style.css", "red", "blue"),
        ("report/build.py", "return 1", "return 2"),
        ("pipeline/runs.py", "return 1", "return 2"),
        ("figures/draw.py", "return 1", "return 2"),
    ],
)
def test_what_does_not_change_the_data_changes_no_hash(toy, name, old, new):
    assert changed(toy, name, old, new) == set()


@pytest.mark.parametrize(
    ("name", "old", "new", "what"),
    [
        ("training/loss.py", "SCALE * x", "SCALE + x", "toy.training.loss.pair_loss"),
        ("training/loss.py", "SCALE = 2", "SCALE = 3", "toy.training.loss"),
        ("training/loss.py", "steps: int = 3", "steps: int = 4", "toy.training.loss.Trainer"),
        ("training/loss.py", "return text()", "return 1", "toy.training.loss.Trainer.step"),
        ("prompts/render.py", "'a'", "'b'", "toy.prompts.render.text"),
        ("prompts/templates/a.txt", "Judge", "Rate", "toy/prompts/templates/a.txt"),
        ("judges/local.py", "size = 1", "size = 2", "toy.judges.local.Judge"),
    ],
)
def test_what_changes_the_data_is_named(toy, name, old, new, what):
    assert changed(toy, name, old, new) == {what}


def test_comments_of_style_sheets_pages_and_scripts_do_not_count(toy):
    (toy / "toy/prompts/page.html").write_text("<p>a</p><style>b { c: d; }</style>\n")
    (toy / "toy/prompts/s.css").write_text("a { color: red; }\n")
    (toy / "toy/prompts/s.js").write_text("let a = 'http://b';\n")
    assert changed(toy, "prompts/s.css", "a {", "/* new\n lines */\na {") == set()
    assert changed(toy, "prompts/s.js", "let a", "// why\nlet a") == set()
    assert (
        changed(toy, "prompts/page.html", "<p>", "<!-- c --> <p>".replace(" <p>", "<p>")) == set()
    )
    assert changed(toy, "prompts/s.js", "//b", "//c") == {"toy/prompts/s.js"}


def test_differences_are_said_in_words():
    old = Fingerprint({"n": 3, "data_dir": "/a"}, {"f": "1", "g": "1"}, {"01/x": "1"}, {})
    new = Fingerprint({"n": 4, "data_dir": "/a"}, {"f": "2", "h": "1"}, {"01/x": "2"}, {})
    assert differences(old.to_dict(), old) == []
    said = differences(json.loads(json.dumps(old.to_dict())), new)
    assert said == [
        "parameter n changed (3 -> 4)",
        "input 01/x changed",
        "f changed",
        "g is gone",
        "h is new",
    ]
    assert in_short(said, 2) == "parameter n changed (3 -> 4), input 01/x changed and 3 more"


def test_where_a_users_files_lie_does_not_count_and_what_they_hold_does():
    one = Fingerprint({"data_dir": "/a"}, {}, {}, {"data_dir": "hash"})
    moved = Fingerprint({"data_dir": "/b"}, {}, {}, {"data_dir": "hash"})
    other = Fingerprint({"data_dir": "/a"}, {}, {}, {"data_dir": "other"})
    assert one.sha256() == moved.sha256() != other.sha256()
    assert differences(one.to_dict(), other) == ["the files of parameter data_dir changed"]


def test_file_hashes_are_read_once_and_follow_content_not_time(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("one")
    memory = tmp_path / "own" / "hashes.json"
    first = FileHashes(memory)
    was = first.of(folder)
    first.save()
    (folder / ".DS_Store").write_text("x")
    os.utime(folder / "a.csv", (5, 5))
    assert FileHashes(memory).of(folder) == was
    shutil.copytree(folder, tmp_path / "moved")
    assert FileHashes(memory).of(tmp_path / "moved") == was
    (folder / "a.csv").write_text("two")
    assert FileHashes(memory).of(folder) != was
    memory.write_bytes(b"\xff{")
    assert FileHashes(memory).of(tmp_path / "moved") == was
    assert FileHashes(memory).of(tmp_path / "absent") is None
