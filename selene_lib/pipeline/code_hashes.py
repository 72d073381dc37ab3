"""Which code a step really runs: the import closure of its notebook, hashed function by function.

Only imports are followed, those inside functions included, never those under `TYPE_CHECKING`.
Comments, docstrings and the annotations of arguments decide nothing and do not count. The rooms
that keep the books (`pipeline`, `cli`) are left out, and the room that draws counts only for the
steps whose outputs hold drawings: another colour must not cost a training. Files of a package that
are no Python (prompts, templates, weights) count for the steps that import the package.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.files import read_json
from selene_lib.pipeline.places import PACKAGE

NAME = PACKAGE.name
BOOKKEEPING = ("pipeline", "cli")
DRAWING = "figures"
NO_DATA = {".py", ".pyc", ".md", ".tmp", ".typed"}
# fields of a syntax tree that change nothing about what the code does
UNCOUNTED = {"ctx", "kind", "type_comment", "returns", "type_params"}


@dataclass(frozen=True)
class Module:
    """One source file: hashes of its functions, classes and remaining lines by their dotted name,
    and what it imports as (module, name or None).
    """

    hashes: Mapping[str, str]
    imports: tuple[tuple[str, str | None], ...]
    lazy: Mapping[str, str]


def step_code(notebook: Path, *, draws: bool) -> dict[str, str]:
    """Return a short hash for each function, class, module rest and package file that a notebook
    runs, and for each of its code cells, by name.

    `draws` says whether its outputs hold drawings.
    """
    hashes, wanted = {}, []
    for number, source in enumerate(code_cells(notebook), 1):
        hashes[f"{notebook.name}, code cell {number}"] = _cell_hash(source)
        wanted += _imports_of_source(source)
    left_out = BOOKKEEPING if draws else (*BOOKKEEPING, DRAWING)
    modules = import_closure(wanted, left_out)
    for name in modules:
        hashes |= _module(name).hashes
    return hashes | _package_data(modules)


def one_hash(code: Mapping[str, str]) -> str:
    """Return one SHA-256 over all that `step_code` found."""
    return hashlib.sha256(json.dumps(dict(code), sort_keys=True).encode()).hexdigest()


def code_cells(notebook: Path) -> list[str]:
    """Return the code cells that count: not the parameters, not the cell for Colab."""
    sources = []
    for cell in read_json(notebook)["cells"]:
        counts = {"parameters", "colab"}.isdisjoint(cell["metadata"].get("tags", []))
        if cell["cell_type"] == "code" and counts:
            sources.append("".join(cell["source"]))
    return sources


def import_closure(wanted: Iterable[tuple[str, str | None]], left_out: tuple[str, ...]) -> set[str]:
    """Return the modules of this package that the imports bring in, over any number of steps."""
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        for name in _resolve(*waiting.pop()):
            room = name.partition(".")[2].partition(".")[0]
            # the top package only hands out public names, it computes nothing
            if name in found or name == NAME or room in left_out:
                continue
            found.add(name)
            waiting += _module(name).imports
    return found


def _resolve(module: str, name: str | None) -> Iterator[str]:
    """The modules that `import module` or `from module import name` loads: the packages above,
    itself, and where `name` is a module or is fetched lazily from one, that.
    """
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        above = ".".join(parts[:length])
        if source_of(above) is not None:
            yield above
    if name is None or source_of(module) is None:
        return
    if source_of(f"{module}.{name}") is not None:
        yield f"{module}.{name}"
    elif name in _module(module).lazy:
        yield from _resolve(_module(module).lazy[name], name)


def source_of(module: str) -> Path | None:
    """Return the file of a module of this package, None where there is none."""
    parts = module.split(".")
    if parts[0] != NAME:
        return None
    base = PACKAGE.joinpath(*parts[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _module(name: str) -> Module:
    path = source_of(name)
    if path is None:
        raise ValueError(f"{name} is no module of {NAME}")
    state = path.stat()
    return _parsed(name, path, state.st_size, state.st_mtime_ns)


@functools.cache
def _parsed(name: str, path: Path, size: int, mtime_ns: int) -> Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    is_package = path.name == "__init__.py"
    package = name if is_package else name.rpartition(".")[0]
    return Module(
        hashes=_hashes_of_body(name, tree.body),
        imports=tuple(_imports(tree, package)),
        lazy=_lazy_names(tree, package) if is_package else {},
    )


def _hashes_of_body(name: str, body: Iterable[ast.stmt]) -> dict[str, str]:
    """Hash every function and class by its dotted name, a class method by method, and what is left
    over under `name` itself; the order of imports does not count.
    """
    parts: dict[str, list[str]] = {}
    imports, rest = [], []
    for node in _counted(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts.setdefault(f"{name}.{node.name}", []).append(canonical(node))
        elif isinstance(node, ast.ClassDef):
            within = _hashes_of_body(f"{name}.{node.name}", node.body)
            heading = canonical([node.bases, node.keywords, node.decorator_list])
            within[f"{name}.{node.name}"] += heading
            for key, value in within.items():
                parts.setdefault(key, []).append(value)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(canonical(node))
        else:
            rest.append(canonical(node))
    hashes = {key: _short("\n".join(value)) for key, value in parts.items()}
    return {name: _short("\n".join([*sorted(imports), *rest])), **hashes}


def _counted(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that do something: no docstring, nothing that only a type checker sees."""
    for node in body:
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_text and not _for_type_checker(node):
            yield node


def _for_type_checker(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def canonical(node: Any) -> str:
    """Return a text of a syntax tree that is the same in every version of Python and does not hold
    positions, docstrings or annotations of arguments.
    """
    if isinstance(node, list):
        kept = node
        if node and isinstance(node[0], ast.stmt):
            kept = list(_counted(node))
        return f"[{','.join(canonical(item) for item in kept)}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        is_annotation = isinstance(node, ast.arg) and name == "annotation"
        if name not in UNCOUNTED and not is_annotation and value not in (None, []):
            fields.append(f"{name}={canonical(value)}")
    return f"{type(node).__name__}({','.join(fields)})"


def _imports_of_source(source: str) -> list[tuple[str, str | None]]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with a magic
        return [(found, None) for found in re.findall(rf"\b{NAME}(?:\.\w+)+", source)]
    return list(_imports(tree, NAME))


def _imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str | None]]:
    """What a tree imports of this package, functions included, type checkers' imports left out."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if _for_type_checker(node) or getattr(node, "name", "") == "__getattr__":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from _imported_by_name(node, package)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    above = package.split(".")
    above = above[: len(above) - node.level + 1]
    return ".".join([*above, *filter(None, [node.module])])


def _imported_by_name(call: ast.Call, package: str) -> Iterator[tuple[str, str | None]]:
    """`import_module(...)`: the module of a literal; for a name made at run time everything below
    the package that it starts with.
    """
    called = (
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    )
    if called not in ("import_module", "__import__") or not call.args:
        return
    given = call.args[0]
    if isinstance(given, ast.Constant):
        yield str(given.value), None
        return
    start = package
    if isinstance(given, ast.JoinedStr) and isinstance(given.values[0], ast.Constant):
        start = str(given.values[0].value).rstrip(".")
    if start.split(".")[0] == NAME:
        yield from ((module, None) for module in modules_below(start))


def modules_below(package: str) -> list[str]:
    """Return the names of a package and of all modules below it."""
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names.append(".".join([NAME, *(part for part in parts if part != "__init__")]))
    return names


def _lazy_names(tree: ast.Module, package: str) -> dict[str, str]:
    """Names a package fetches on first use: entries `"name": "module"` of a table at its top."""
    found = {}
    for node in tree.body:
        value = getattr(node, "value", None)
        for key, home in zip(value.keys, value.values) if isinstance(value, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(home, ast.Constant):
                name = str(home.value)
                for module in (name, f"{package}.{name}"):
                    if source_of(module) is not None:
                        found[str(key.value)] = module
    return found


def _package_data(modules: Iterable[str]) -> dict[str, str]:
    """Hash the files that are no Python, of the packages that `modules` lie in."""
    hashes = {}
    folders = {folder for name in modules if (folder := _package_folder(name)) is not None}
    for folder in sorted(folders):
        for path in _data_files(folder):
            state = path.stat()
            name = path.relative_to(PACKAGE.parent).as_posix()
            hashes[name] = _data_hash(path, state.st_size, state.st_mtime_ns)
    return hashes


def _package_folder(module: str) -> Path | None:
    path = source_of(module)
    # the top package is every step's; what lies beside it belongs to none
    return path.parent if path is not None and path.parent != PACKAGE else None


def _data_files(folder: Path) -> list[Path]:
    """Files of one package that are no Python, packages below it left to themselves."""
    files = []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith((".", "__pycache__"))
        if path.is_dir() and not hidden and not (path / "__init__.py").exists():
            files += _data_files(path)
        elif path.is_file() and not hidden and path.suffix not in NO_DATA:
            files.append(path)
    return files


@functools.cache
def _data_hash(path: Path, size: int, mtime_ns: int) -> str:
    content = path.read_bytes()
    if path.suffix in (".yaml", ".yml"):
        return _short(_values_of(content))
    if path.suffix in COMMENTS:
        text = content.decode("utf-8")
        for pattern in COMMENTS[path.suffix]:
            text = re.sub(pattern, "", text)
        lines = (line.strip() for line in text.splitlines())
        content = "\n".join(line for line in lines if line).encode()
    return _short(content)


def _values_of(content: bytes) -> bytes:
    """What a YAML file says, comments and layout left out; the file as it is where it is broken."""
    import yaml

    try:
        return json.dumps(yaml.safe_load(content), default=str).encode()
    except (yaml.YAMLError, TypeError, ValueError):
        return content


_BLOCK = r"(?s)/\*.*?\*/"
_LINE = r"(?m)^\s*//.*$"
_HASH_LINE = r"(?m)^\s*#.*$"
COMMENTS: dict[str, tuple[str, ...]] = {
    ".css": (_BLOCK,),
    ".js": (_BLOCK, _LINE),
    ".html": (r"(?s)<!--.*?-->", r"(?s)\{#.*?#\}", _BLOCK, _LINE),
    ".mplstyle": (_HASH_LINE,),
}


def _cell_hash(source: str) -> str:
    try:
        return _short(canonical(ast.parse(source).body))
    except SyntaxError:
        return _short(source)


def _short(content: str | bytes) -> str:
    """The first 64 bits of a SHA-256: enough to tell two versions of one function apart."""
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(raw).hexdigest()[:16]
