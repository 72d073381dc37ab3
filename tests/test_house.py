"""The house of `docs/ARCHITECTURE.md`: a room imports only rooms on lower floors, no module imports
itself in a circle, and no module lies flat but the nouns of the ground floor and the judge.
"""

from __future__ import annotations

import ast
import functools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import REPOSITORY

PACKAGE = REPOSITORY / "selene_lib"
FLOORS = (  # bottom up; rooms of one floor do not know each other
    "errors records",
    "files",
    "ledger paper",
    "prompts contamination embeddings",
    "nano",
    "data models",
    "judges curation",
    "training",
    "evaluation",
    "ablation pipeline figures judge",
    "labels integrations serving",
    "steps report",
    "cli",
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}
FLAT = {"__init__", "errors", "judge", "ledger", "records"}


class Arrow(NamedTuple):
    """One module imports another; `typing` says that only a type checker does."""

    importer: str
    imported: str
    typing: bool

    def climbs(self) -> bool:
        room, other = self.importer.split(".")[1], self.imported.split(".")[1]
        return room != other and FLOOR_OF[other] >= FLOOR_OF[room]


@functools.cache
def arrows(package: Path) -> list[Arrow]:
    """Return every import of one module of a package by another, at its top or in a function; what
    its own `__init__` offers to the public is left out.
    """
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    del files[package.name]
    modules = set(files)
    found = []
    for name, tree in files.items():
        guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and is_guard(n.test)]
        guarded = {id(node) for guard in guards for node in ast.walk(guard)}
        for node in ast.walk(tree):
            for imported in imported_by(node, modules) - {name}:
                found.append(Arrow(name, imported, id(node) in guarded))
    return found


def is_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def imported_by(node: ast.AST, modules: set[str]) -> set[str]:
    """Return the modules that one statement imports: `from a import b` may mean a or a.b."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & modules
    if not isinstance(node, ast.ImportFrom):
        return set()
    full = [f"{node.module}.{alias.name}" for alias in node.names]
    return {name if name in modules else str(node.module) for name in full} & modules


def circle(found: list[Arrow]) -> list[str]:
    """Return the modules of a circle of imports, or nothing."""
    graph: dict[str, set[str]] = {}
    for arrow in found:
        if not arrow.typing:
            graph.setdefault(arrow.importer, set()).add(arrow.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_room_imports_only_rooms_on_lower_floors():
    assert [f"{a.importer} -> {a.imported}" for a in arrows(PACKAGE) if a.climbs()] == []


def test_no_module_imports_itself_in_a_circle():
    assert circle(arrows(PACKAGE)) == []


def test_every_other_module_lies_in_a_room():
    flat = {path.stem for path in PACKAGE.glob("*.py")}
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert flat == FLAT
    assert flat - {"__init__"} | rooms == set(FLOOR_OF)


@pytest.mark.parametrize(
    ("statement", "climbs", "turns"),
    [
        ("from selene_lib.files import write_text", False, False),
        ("from selene_lib import files", False, False),
        ("from selene_lib import training", True, False),
        ("import selene_lib.training.loss", True, False),
        ("def late():\n    from selene_lib.training.loss import dpo", True, False),
        ("if TYPE_CHECKING:\n    import selene_lib.training.loss", True, False),
        ("import selene_lib.data.tables", False, True),
        ("if TYPE_CHECKING:\n    import selene_lib.data.tables", False, False),
    ],
)
def test_what_breaks_the_house_is_found(tmp_path, statement, climbs, turns):
    package = tmp_path / "selene_lib"
    for name in ("files", "data/__init__", "data/hub", "training/__init__", "training/loss"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").touch()
    (package / "__init__.py").write_text("import selene_lib.training")
    (package / "data/hub.py").write_text(statement)
    (package / "data/tables.py").write_text("import selene_lib.data.hub")
    found = arrows(package)
    assert any(arrow.climbs() for arrow in found) == climbs
    assert bool(circle(found)) == turns
