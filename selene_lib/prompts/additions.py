"""What a prompt may show beyond its template: a context, judged examples, a way to abstain.

A template that places `{context}` or `{examples}` itself decides where they stand; in any other the
context follows the instruction, inside the same fence, and the examples stand before the material.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from selene_lib.errors import UserError
from selene_lib.records import labels_of

CANNOT_TELL = "cannot tell"
_ABSTAIN = f"Where the material does not allow a verdict, write `{CANNOT_TELL}` in its place."
_CONTEXT = "{instruction}\n\nGiven with it, to answer from:\n{context}"
_ENDS = re.compile(r"\b\d+(?P<worst> \(worst\))? to \d+\b")


@dataclass(frozen=True)
class Example:
    """A response with the verdict it deserves, shown to the judge as a guide to the yardstick.

    `verdict` is a label of the task; `reasoning` is shown where the judge is to give reasons.
    """

    response: str
    verdict: str
    instruction: str = ""
    response_b: str | None = None
    reasoning: str = ""


@dataclass(frozen=True)
class Additions:
    """Examples, and whether the judge may answer `cannot tell`, for all samples alike."""

    examples: tuple[Example, ...] = ()
    may_abstain: bool = False

    @property
    def mode(self) -> str:
        """What a template's name says of them."""
        examples = f"+{len(self.examples)}examples" if self.examples else ""
        return f"{examples}{'+abstain' if self.may_abstain else ''}"


def check_examples(examples: Sequence[Example], kind: str) -> None:
    """Raise UserError for an example that the judge of this task could not have answered."""
    labels = labels_of(kind)
    for number, example in enumerate(examples, 1):
        if example.verdict not in labels:
            raise UserError(
                f"example {number}: the verdict {example.verdict!r} is not one of "
                f"{', '.join(labels)}"
            )
        if (example.response_b is not None) != (kind == "pairwise"):
            raise UserError(f"example {number}: response_b is for pairwise examples, and only them")


def with_reply_format(reply_format: str, additions: Additions) -> str:
    """The words on the form of the reply, with leave to abstain where it is given."""
    return f"{reply_format}\n{_ABSTAIN}" if additions.may_abstain else reply_format


def with_places(template: str, additions: Additions, *, has_context: bool) -> str:
    """The template with a place for what is to be shown and has none in it yet."""
    if has_context and "{context}" not in template:
        template = template.replace("{instruction}", _CONTEXT)
    if not additions.examples or "{examples}" in template:
        return template
    if template.rstrip().endswith("{reply_format}"):  # the material comes first
        return f"{{examples}}\n\n{template}"
    return template.replace("{reply_format}", "{reply_format}\n\n{examples}")


def show_examples(
    examples: Sequence[Example],
    *,
    critique: bool,
    guard: Callable[[str], str],
    fence_for: Callable[..., str],
    write_reply: Callable[[str | None, str], str],
) -> str:
    """The examples as text: each with its task, its answers in fences, and the judgement."""
    blocks = []
    for number, example in enumerate(examples, 1):
        texts = [("Task", example.instruction), ("Answer", example.response)]
        if example.response_b is not None:
            texts = [*texts[:1], ("Answer A", example.response), ("Answer B", example.response_b)]
        shown = [(title, guard(text)) for title, text in texts if text]
        fence = fence_for(*(text for _, text in shown))
        lines = [f"{title}:\n{fence}\n{text}\n{fence}" for title, text in shown]
        reasoning = guard(example.reasoning) if critique and example.reasoning else None
        judgement = write_reply(reasoning, example.verdict)
        blocks.append("\n".join([f"Example {number}", *lines, f"Judgement:\n{judgement}"]))
    head = "Judgements of other material, as a guide to the yardstick:"
    return "\n\n".join([head, *blocks])


def on_scale(text: str, kind: str) -> str:
    """A template's own words with the ends of the scale that is asked for."""
    if " " not in kind:
        return text
    labels = labels_of(kind)
    return _ENDS.sub(rf"{labels[0]}\g<worst> to {labels[-1]}", text)


def on_usual_scale(text: str) -> str:
    """A template's own words with the usual scale in place of another."""
    return _ENDS.sub(r"1\g<worst> to 5", text)
