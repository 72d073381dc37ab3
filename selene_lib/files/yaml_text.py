"""YAML and JSON that a person wrote: it means what it says, or it is refused with the line.

A key that stands twice, a value that refers to itself, aliases that unfold to very much, deep
nesting and tags are refused. Numbers are decimal (`010`, `1_000` and `1:30` are texts) and only
true and false are booleans (yes, no, on and off are texts), where YAML 1.1 would read others.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from selene_lib.errors import UserError, shown
from selene_lib.files.names import NO_TEXT, is_writable

MAX_CHARACTERS = 2_000_000
MAX_DEPTH = 40
MAX_REPEATED = 10_000
_STR = "tag:yaml.org,2002:str"
_WORDS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


class NotYamlError(ValueError):
    """A text that is not YAML, or more than we read; the message is one line."""


def read_yaml(path: str | Path, *, all_text: bool = False) -> Any:
    """Return what a YAML or JSON file holds; a UserError names the file and the line."""
    kind = "JSON" if Path(path).suffix.lower() == ".json" else "YAML"
    try:
        return parse_file(path, Path(path).read_text(encoding="utf-8-sig"), all_text=all_text)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not {kind}: not UTF-8 text; save it as UTF-8") from error
    except NotYamlError as error:
        raise UserError(f"{path} is not {kind}: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror})") from error


def parse_file(path: str | Path, text: str, *, all_text: bool = False) -> Any:
    """Return what the text of a file holds: JSON if the name ends in .json, else YAML.

    Raises NotYamlError, whose message says the line.
    """
    if Path(path).suffix.lower() != ".json":
        return parse_yaml(text, all_text=all_text)
    try:
        return json.loads(text, object_pairs_hook=distinct_keys)
    except RecursionError as error:
        raise NotYamlError("it is nested too deeply") from error
    except ValueError as error:
        raise NotYamlError(str(error)[:200]) from error


def distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its pairs (`object_pairs_hook`); a key given twice is a ValueError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} stands twice; remove one")
    return found


def parse_yaml(text: str, *, all_text: bool = False) -> Any:
    """Return what a YAML text holds; with `all_text` every scalar is text.

    Raises NotYamlError, whose message says the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise NotYamlError(f"it is longer than {MAX_CHARACTERS} characters; shorten it")
    loader: type[_Strict] = _AllText if all_text else _Plain
    try:
        return yaml.load(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1})" if mark else ""
        raise NotYamlError(f"{error.problem or error.context}"[:200] + place) from error
    except yaml.YAMLError as error:
        raise NotYamlError(str(error).splitlines()[0][:200]) from error
    except ValueError as error:
        raise NotYamlError("a number has thousands of digits; put it in quotes") from error


def truth_of(value: Any) -> bool | None:
    """Return the boolean that a value is or names (yes, no, on, off, true, false), else None."""
    if isinstance(value, str):
        return _WORDS.get(value.lower())
    return value if isinstance(value, bool) else None


def text_in(where: str | Path, key: object, value: Any) -> str:
    """Return what stands at a key as text, a number as it is written; a UserError for all else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(
            f"{where}: {shown(key)} is one text, got {shown(value)}; put it in quotes, or write "
            "`key: |` with the lines indented below"
        )
    if not is_writable(str(value)):
        raise UserError(f"{where}: {shown(key)} holds {NO_TEXT}; take it out")
    return str(value)


class _Strict(yaml.SafeLoader):
    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._depth = self._n_nodes = self._n_repeated = 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            return self._alias(super().compose_node(parent, index), event)
        if event.tag not in (None, "!", _STR):
            raise _error(f"the tag {event.tag!r} is not read here; leave it out", event)
        before = self._n_nodes
        self._n_nodes, self._depth = before + 1, self._depth + 1
        if self._depth > MAX_DEPTH:
            raise _error(f"it is nested more than {MAX_DEPTH} deep", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node)
        self._sizes[id(node)] = self._n_nodes - before
        return node

    def _alias(self, node: Any, event: Any) -> Any:
        """Count what an alias stands for; one inside its own anchor has no size yet."""
        if id(node) not in self._sizes:
            raise _error(f"*{event.anchor} refers to itself; write the value out", event)
        size = self._sizes[id(node)]
        self._n_nodes += size
        self._n_repeated += size
        if self._n_repeated > MAX_REPEATED:
            raise _error(f"its aliases unfold to more than {MAX_REPEATED} values", event)
        return node


def _refuse_twice(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise _error(f"the key {key.value[:80]!r} stands twice; remove one", key)
            seen.add((key.tag, key.value))


def _error(problem: str, where: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=where.start_mark)


class _AllText(_Strict):
    """`good: Yes` must not become a boolean, nor `1` a number."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


class _Plain(_Strict):
    """The scalars of YAML 1.2, without its hexadecimal and octal numbers."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_RESOLVED = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
)
for _name, _pattern, _first in _RESOLVED:
    _Plain.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first)
    )
