"""What `Judge.score` is given, as a sample: a text, a conversation, or texts by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from selene_lib.data.conversations import is_conversation, split_conversation, text_of
from selene_lib.errors import UserError
from selene_lib.files.names import NO_TEXT
from selene_lib.judges.asked import Asked, kind_of
from selene_lib.judges.options import is_text
from selene_lib.prompts.presets import needs_of, presets, rubric_of
from selene_lib.prompts.rubrics import check_own
from selene_lib.records import Sample, Task, stable_id

Text = str | Sequence[Mapping[str, Any]]  # a text, or a conversation


class Shared(TypedDict, total=False):
    """What is given beside a response, or beside many."""

    instruction: Text
    rubric: str | Path
    reference: Text | None
    response_b: Text | None
    context: str | Sequence[str] | None
    task: Task | None


TEXTS = ("instruction", "response", "response_b", "reference", "context")
NAMES = (*TEXTS, "rubric", "messages")


def is_one(response: Any) -> bool:
    """Whether a response is one: a text, a conversation, or one item with its names."""
    return isinstance(response, str | Mapping | Sample) or is_conversation(response)


def items_of(response: Any) -> list[Any]:
    """Return the items that a call is about: the one given, or each of many. A table, bytes or
    another thing that is no list of texts is a UserError.
    """
    if is_one(response):
        return [response]
    remedy = "give a text, a conversation, or a list of texts, mappings or samples"
    if hasattr(response, "to_dict") and hasattr(response, "columns"):  # whose items are its names
        remedy = 'give its rows, df.to_dict("records")'
    elif isinstance(response, Iterable) and not isinstance(response, bytes | bytearray):
        return list(response)
    raise UserError(f"a {type(response).__name__} is no response; {remedy}")


def sample_of(item: Any, shared: Mapping[str, Any], task: Any, asked: Asked) -> Sample:
    """Return the sample that an item is; what it does not say is taken from `shared`.

    A name that is none of `NAMES`, no response, or a rubric without the text that it needs is a
    UserError.
    """
    if isinstance(item, Sample):
        return item
    is_named = isinstance(item, Mapping) and "role" not in item
    mine = dict(item) if is_named else {"response": item}
    unknown = next((name for name in [*mine, *shared] if name not in NAMES), None)
    if unknown is not None:
        raise UserError(f"an item has no field {unknown!r}: there are {', '.join(NAMES)}")
    given = {name: value for name, value in shared.items() if value} | mine
    if "messages" in given:
        given["response"] = given.pop("messages")
    texts = _texts(given)
    halved = next((name for name, text in texts.items() if not is_text(text)), None)
    if halved is not None:
        raise UserError(f"the {halved} holds {NO_TEXT}; take it out")
    if "response" not in texts:
        raise UserError("an item has no response: there is nothing to judge")
    is_pair = "response_b" in texts
    kind = kind_of(task or (None if is_pair else asked.task), asked.options.scale)
    if is_pair and task not in (None, "pairwise"):
        raise UserError(f"there are two responses, which no {task} task has; leave one out")
    if not is_pair and kind == "pairwise":
        raise UserError("a pairwise task compares two responses: give response_b=... too")
    kind = "pairwise" if is_pair else kind
    return _of_texts(kind, texts, _rubric(given.get("rubric"), kind, texts, asked))


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    """The texts of an item; conversations are written as turns."""
    found: dict[str, str] = {}
    response = given.get("response")
    if is_conversation(response) and not given.get("instruction") and len(response) > 1:
        before, last = split_conversation(response)
        given = {**given, "instruction": before, "response": last}
    for name in TEXTS:
        value = given.get(name)
        if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
            value = "\n\n".join(value)  # passages
        if value is not None:
            found[name] = _text(name, value)
    return found


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool | int | float):  # a NaN among them is a hole in a table
        raise UserError(f"the {name} is {value!r}, which is no text")
    try:
        return text_of(value, alone="user" if name == "instruction" else "assistant")
    except ValueError as error:
        raise UserError(f"the {name}: {error}") from error


def _rubric(own: Any, kind: str, texts: Mapping[str, str], asked: Asked) -> str:
    """The rubric of an item: its own, else the judge's."""
    needs = [needs_of(own)] if own else list(asked.needs)
    for need in filter(None, needs):
        if not texts.get(need):
            name = own or asked.options.rubric or "of these criteria"
            raise UserError(f"the rubric {name} needs a {need}: give {need}=...")
    if not own:
        return asked.rubric
    if not isinstance(own, Path) and not is_text(own):
        raise UserError(f"the rubric is {own!r}; it must be a text or a path")
    if isinstance(own, Path) or own in presets():
        return rubric_of(own, kind)
    check_own(str(own), kind)
    return str(own)


def _of_texts(kind: str, texts: Mapping[str, str], rubric: str) -> Sample:
    """A sample with an id made of its texts."""
    task, _, scale = kind.partition(" ")
    more = {"context": texts.get("context"), "scale": scale}
    meta = {name: value for name, value in more.items() if value}
    given = (texts.get("instruction", ""), texts["response"], texts.get("response_b"))
    reference = texts.get("reference")
    return Sample(
        stable_id("mine", task, *given, rubric, reference, *meta.values()),
        "mine",
        cast(Task, task),
        *given,
        rubric=rubric,
        reference=reference,
        meta=meta,
    )
