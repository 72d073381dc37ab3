"""Conversations as text: a list of messages, as chat programs write them, becomes turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def text_of(cell: Any, *, alone: str = "user") -> str:
    """Return a cell as the text that is judged.

    A conversation (a list of messages with `role` and `content`) is written as turns, `User: ...`;
    a single message of the role `alone` is its content. A ValueError says what cannot be read.
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool | int | float):
        return str(cell)
    if isinstance(cell, Mapping) and "role" in cell:
        cell = [cell]
    if not is_conversation(cell):
        raise ValueError(
            f"a {type(cell).__name__} is no text; give text, "
            "or a list of messages that have role and content"
        )
    if len(cell) == 1 and cell[0]["role"] == alone:
        return _said(cell[0])
    return "\n\n".join(f"{str(turn['role']).capitalize()}: {_said(turn)}" for turn in cell)


def is_conversation(cell: Any) -> TypeGuard[list[Mapping[str, Any]]]:
    """Whether a value is a list of messages, each with a role and content or calls of tools."""
    return isinstance(cell, list) and bool(cell) and all(map(_is_message, cell))


def split_conversation(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return what came before the last turn, and that turn, which is the one to be judged.

    A ValueError where it is not the assistant's, or holds what is no text.
    """
    *before, last = messages
    if last["role"] != "assistant":
        raise ValueError(
            f"the last turn is the {last['role']}'s; the response to judge is an assistant's"
        )
    return text_of(list(before)) if before else "", text_of([last], alone="assistant")


def _is_message(turn: Any) -> bool:
    if not isinstance(turn, Mapping) or "role" not in turn:
        return False
    return "content" in turn or bool(_calls(turn))


def _calls(turn: Mapping[str, Any]) -> list[Any]:
    return turn.get("tool_calls") or []


def _said(turn: Mapping[str, Any]) -> str:
    """The content of a message as text; calls of tools follow it as `[calls name(arguments)]`."""
    content = turn.get("content")
    said: list[str] = []
    if isinstance(content, str):
        said.append(content)
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            kind = part.get("type", "part") if isinstance(part, Mapping) else type(part).__name__
            raise ValueError(f"a message holds a part that is no text ({kind}); remove it")
        said.append(part["text"])
    if not isinstance(content, str | list | None):
        raise ValueError(f"the content of a message is a {type(content).__name__}, not text")
    for call in _calls(turn):
        called = call.get("function", call) if isinstance(call, Mapping) else {}
        arguments = called.get("arguments", "")
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False, default=str)
        said.append(f"[calls {called.get('name', 'a tool')}({arguments})]")
    return "\n".join(said)
