"""Prompt format families: where each part stands, how it is fenced, which reply is asked for.

Two wordings of each: `full` for language models, `nano` in the few words the embedded judge knows.
A candidate text is guarded in the way that fits the layout (a fence it cannot close, a prefix on
each of its lines, JSON or XML escapes); `escape=False` leaves all of that out.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from selene_lib.prompts import format_replies as replies
from selene_lib.prompts.format_replies import ReplyForm
from selene_lib.prompts.rendering import (
    Prompt,
    escape_marks,
    fence_for,
    load_template,
    render,
    template_name,
)
from selene_lib.prompts.verdicts import Verdict
from selene_lib.records import Sample, Task

Parts = list[tuple[str, str]]
ORDER = ("instruction", "response", "response_b", "rubric", "reference")
NANO_ORDER = ("instruction", "reference", "response", "response_b", "rubric")
RUBRIC_FIRST = ("rubric", "reference", "instruction", "response", "response_b")
WORDINGS = ("full", "nano")
OPENING = {
    "absolute": "Grade the answer to the task below by the rubric, "
    "from the lowest to the highest grade offered.",
    "classification": "Decide whether the answer to the task below satisfies the rubric.",
    "pairwise": "Two answers to one task stand below. Decide which of them is the better one.",
}
TITLES = {
    "full": {
        "instruction": "Task",
        "response": "Answer",
        "response_b": "Answer B",
        "rubric": "Rubric",
        "reference": "Reference answer",
    },
    "nano": {
        "instruction": "Task",
        "response": "Response",
        "response_b": "B",
        "rubric": "Rubric",
        "reference": "Reference",
    },
}
FIRST_TITLE = {"full": "Answer A", "nano": "A"}


@dataclass(frozen=True)
class PromptFormat:
    """One family: a layout of the data, an order of its parts, a reply notation with its parser.

    `nano_reply` is the notation in the `nano` wording: the embedded judge was taught one, so
    families that differ in layout alone keep it there, and families whose point is the reply ask
    for theirs.
    """

    name: str
    description: str
    layout: Callable[[Parts, bool], str] | None
    reply: ReplyForm
    order: tuple[str, ...] = ORDER
    nano_reply: ReplyForm = replies.MARKS

    def reply_form(self, wording: str = "full") -> ReplyForm:
        """The notation asked for and read in a wording."""
        if wording not in WORDINGS:
            raise ValueError(f"wording {wording!r} is not one of {', '.join(WORDINGS)}")
        return self.reply if wording == "full" else self.nano_reply

    def render(self, sample: Sample, *, wording: str = "full", escape: bool = True) -> Prompt:
        """Render one sample.

        `template` is `format-<name>/<wording>`, with `+plain` where nothing is escaped.
        """
        reply = self.reply_form(wording)
        template = f"format-{self.name}/{wording}{'' if escape else '+plain'}"
        if self.layout is None:
            prompt = render(sample, family=wording, escape=escape, critique=reply.critique)
            return replace(prompt, template=template)
        order = NANO_ORDER if wording == "nano" and self.order == ORDER else self.order
        parts = _parts(sample, wording, order)
        if wording == "full":
            opening = OPENING[sample.task]
            text = "\n".join((opening, _ask(reply, sample.task), self.layout(parts, escape)))
        else:
            layout = _nano_lines if self.layout in (fenced, _bracket_fenced) else self.layout
            opening = load_template("nano", template_name(sample)).partition("\n")[0]
            text = "\n".join((opening, layout(parts, escape), _ask_nano(reply, sample.task)))
        return Prompt(text=text, task=sample.task, template=template)

    def parse(
        self, reply: str, task: Task, *, finish_reason: str = "stop", wording: str = "full"
    ) -> Verdict:
        """Read a reply in this family's notation."""
        return self.reply_form(wording).parse(reply, task, finish_reason=finish_reason)


def _parts(sample: Sample, wording: str, order: tuple[str, ...]) -> Parts:
    titles = dict(TITLES[wording])
    if sample.task == "pairwise":
        titles["response"] = FIRST_TITLE[wording]
    parts = []
    for name in order:
        value = getattr(sample, name)
        # An empty instruction or response is shown as such; rubric and reference are left out.
        is_there = bool(value) if name in ("rubric", "reference") else value is not None
        if is_there:
            parts.append((titles[name], value))
    return parts


def _ask(reply: ReplyForm, task: Task) -> str:
    form = reply.show("(why)" if reply.critique else None, f"({reply.choices(task)})")
    return f"Reply in this form and add nothing else:\n{form}\n"


def _ask_nano(reply: ReplyForm, task: Task) -> str:
    """Return the embedded judge's own request line.

    It has another order, mark or words where the family's point is the reply.
    """
    if reply is replies.MARKS or reply is replies.MARKS_ONLY:
        return load_template("nano", f"reply_{'critique' if reply.critique else 'verdict'}_{task}")
    if reply is replies.VERDICT_FIRST:
        return f"Reply: result {reply.choices(task)}, then reasoning."
    place = f"[[{reply.choices(task)}]]" if reply is replies.BRACKETS else reply.choices(task)
    return f"Reply: reasoning, then result {place}."


def _nano_lines(parts: Parts, escape: bool) -> str:
    """`Title: text`, a line a part, as in the embedded judge's own templates."""
    guard = escape_marks if escape else str
    return "\n".join(f"{title}: {guard(text)}" for title, text in parts)


def fenced(parts: Parts, escape: bool) -> str:
    """Titles with a colon, each text in a backtick fence."""
    fence = "```"
    if escape:
        parts = [(title, escape_marks(text)) for title, text in parts]
        fence = fence_for(*(text for _, text in parts))
    return "\n".join(f"{title}:\n{fence}\n{text}\n{fence}" for title, text in parts)


def _bracket_fenced(parts: Parts, escape: bool) -> str:
    """As `fenced`, with double square brackets in a text parted: they carry the verdict here."""
    if escape:
        parts = [(title, re.sub(r"([\[\]])(?=\1)", r"\1 ", text)) for title, text in parts]
    return fenced(parts, escape)


def _prefixed(parts: Parts, escape: bool) -> str:
    """Upper-case titles on lines of their own; each line of a text starts with a bar."""
    if escape:
        parts = [(title, _prefix(escape_marks(text), "| ")) for title, text in parts]
    return "\n".join(f"{title.upper()}\n{text}" for title, text in parts)


def _headed(parts: Parts, escape: bool) -> str:
    """Markdown headings, each text a block quote."""
    if escape:
        parts = [(title, _prefix(escape_marks(text), "> ")) for title, text in parts]
    return "\n\n".join(f"## {title}\n{text}" for title, text in parts)


def _prefix(text: str, prefix: str) -> str:
    """Start every line with `prefix`, whichever of the line ends a reader may honour it uses."""
    return "\n".join(prefix + line for line in (text.splitlines() or [""]))


def _tagged(parts: Parts, escape: bool) -> str:
    """One XML element a part."""
    if escape:
        parts = [(title, html.escape(escape_marks(text), quote=False)) for title, text in parts]
    return "\n".join(f"<{_key(title)}>{text}</{_key(title)}>" for title, text in parts)


def _as_json(parts: Parts, escape: bool) -> str:
    """One JSON object, a string a part."""
    lines = []
    for title, text in parts:
        value = json.dumps(escape_marks(text), ensure_ascii=False) if escape else f'"{text}"'
        lines.append(f' "{_key(title)}": {value}')
    return "{\n" + ",\n".join(lines) + "\n}"


def _key(title: str) -> str:
    return title.lower().replace(" ", "_")


_ALL = (
    PromptFormat(
        "default", "the project's own templates, reasoning then result", None, replies.MARKS
    ),
    PromptFormat(
        "plain_text", "upper-case titles, no markup, `Verdict:` line", _prefixed, replies.LINES
    ),
    PromptFormat(
        "markdown", "headings and block quotes, `### Result` heading", _headed, replies.HEADINGS
    ),
    PromptFormat("json", "data and reply are JSON objects", _as_json, replies.JSON),
    PromptFormat("xml", "data and reply are XML elements", _tagged, replies.TAGS),
    PromptFormat(
        "rubric_first", "rubric and reference before the task", fenced, replies.MARKS, RUBRIC_FIRST
    ),
    PromptFormat(
        "verdict_first",
        "result line first, reasoning after it",
        fenced,
        replies.VERDICT_FIRST,
        nano_reply=replies.VERDICT_FIRST,
    ),
    PromptFormat(
        "other_markers",
        "verdict in double square brackets",
        _bracket_fenced,
        replies.BRACKETS,
        nano_reply=replies.BRACKETS,
    ),
    PromptFormat(
        "no_critique",
        "the default templates, result line only",
        None,
        replies.MARKS_ONLY,
        nano_reply=replies.MARKS_ONLY,
    ),
    PromptFormat(
        "other_labels",
        "first/second, true/false, poor..excellent",
        fenced,
        replies.MARKS_OTHER_LABELS,
        nano_reply=replies.MARKS_OTHER_LABELS,
    ),
)
FORMATS: dict[str, PromptFormat] = {form.name: form for form in _ALL}
