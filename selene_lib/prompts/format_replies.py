"""How a judge is asked to reply, and how that reply is read: one pair a notation.

A reader finds the verdict's words in generated text, or None; what they are worth (value,
malformed, truncated, refused, abstained) is decided in one place, as strictly as for the default
notation. It never takes a label that the prompt did not offer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from selene_lib.prompts.control_tokens import final_part
from selene_lib.prompts.rendering import format_reply
from selene_lib.prompts.verdicts import (
    REASONING_MARK,
    RESULT_MARK,
    Verdict,
    explain_failure,
    parse_verdict,
)
from selene_lib.records import LABELS, Task

PLAIN_LABELS: dict[str, dict[str, str]] = {
    task: {label: label for label in labels} for task, labels in LABELS.items()
}
OTHER_LABELS: dict[str, dict[str, str]] = {
    "absolute": dict(zip(("poor", "weak", "fair", "good", "excellent"), LABELS["absolute"])),
    "classification": {"true": "Yes", "false": "No"},
    "pairwise": {"first": "A", "second": "B"},
}
_EDGES = " \t*_\"'`[]()"


@dataclass(frozen=True)
class ReplyForm:
    """A notation for replies.

    `show(reasoning, verdict)` writes a reply in it (`reasoning=None`: without critique);
    `find(reply)` returns the words at every place of a verdict, the one that counts last. `labels`
    maps the words offered to the labels of `records.LABELS`.
    """

    show: Callable[[str | None, str], str]
    find: Callable[[str], list[str]]
    labels: Mapping[str, Mapping[str, str]]
    critique: bool = True

    def choices(self, task: Task) -> str:
        """The words offered, for a prompt: `A or B`."""
        words = list(self.labels[task])
        return f"{', '.join(words[:-1])} or {words[-1]}"

    def parse(self, reply: str, task: Task, *, finish_reason: str = "stop") -> Verdict:
        """Read a reply.

        The verdict comes in the words of `records.LABELS`, whatever words the prompt offered.
        """
        start, end, is_thinking = final_part(reply)
        every = [] if is_thinking else self.find(reply[start:end])
        if not every:
            return explain_failure(reply, task, finish_reason=finish_reason)
        offered = self.labels[task]
        stated = {w.lower(): w for found in every if (w := _word(found)).lower() in _lower(offered)}
        if len(stated) > 1:
            return Verdict("malformed", reason=f"two verdicts: {' and '.join(stated.values())}")
        found = every[-1]
        word = _word(found)
        if word in offered or (offered is not PLAIN_LABELS[task] and word.lower() in offered):
            return Verdict("value", offered.get(word) or offered[word.lower()])
        verdict = parse_verdict(f"{RESULT_MARK} {found.strip()}", task, finish_reason=finish_reason)
        if verdict.status == "value":
            return Verdict("malformed", reason=f"{word[:40]!r} was not offered")
        return verdict


def _word(found: str) -> str:
    return found.strip(_EDGES).removesuffix(".").strip(_EDGES)


def _lower(offered: Mapping[str, str]) -> set[str]:
    return {word.lower() for word in offered}


def _all(pattern: re.Pattern[str]) -> Callable[[str], list[str]]:
    return lambda reply: [str(found) for found in pattern.findall(reply)]


def _show_verdict_first(reasoning: str | None, verdict: str) -> str:
    return f"{RESULT_MARK} {verdict}\n\n{REASONING_MARK} {reasoning}"


def _find_first_line(reply: str) -> list[str]:
    """The words of every mark, where the reply begins with one; the first one counts."""
    is_first = re.match(r"\s*\*\*Result:\*\*", reply, flags=re.IGNORECASE)
    return _MARKS.findall(reply)[::-1] if is_first else []


def _show_lines(reasoning: str | None, verdict: str) -> str:
    return f"Reasoning: {reasoning}\nVerdict: {verdict}"


def _show_headings(reasoning: str | None, verdict: str) -> str:
    return f"### Reasoning\n{reasoning}\n\n### Result\n{verdict}"


def _show_tags(reasoning: str | None, verdict: str) -> str:
    return f"<reasoning>{reasoning}</reasoning>\n<result>{verdict}</result>"


def _show_brackets(reasoning: str | None, verdict: str) -> str:
    return f"{reasoning}\n\n[[{verdict}]]"


def _show_json(reasoning: str | None, verdict: str) -> str:
    return json.dumps({"reasoning": reasoning, "result": verdict}, ensure_ascii=False)


def _find_json(reply: str) -> list[str]:
    """The `result` of every JSON object in the reply that has one, as text.

    A number counts as its digits.
    """
    decoder, found, position = json.JSONDecoder(), [], reply.find("{")
    while position >= 0:
        try:
            value, end = decoder.raw_decode(reply, position)
        except (json.JSONDecodeError, RecursionError):
            value, end = None, position + 1
        if isinstance(value, dict) and "result" in value:
            result = value["result"]
            is_plain = isinstance(result, str | int) and not isinstance(result, bool)
            found.append(str(result) if is_plain else json.dumps(result))
        position = reply.find("{", end)
    return found


_MARKS = re.compile(
    r"\*\*\s*result\s*(?:\*\*\s*:|:)[ \t]*(?:\*\*)?[ \t]*(?:\n[ \t]*)*([^\n]*)", re.IGNORECASE
)
MARKS = ReplyForm(format_reply, _all(_MARKS), PLAIN_LABELS)
MARKS_ONLY = ReplyForm(format_reply, _all(_MARKS), PLAIN_LABELS, critique=False)
MARKS_OTHER_LABELS = ReplyForm(format_reply, _all(_MARKS), OTHER_LABELS)
VERDICT_FIRST = ReplyForm(_show_verdict_first, _find_first_line, PLAIN_LABELS)
LINES = ReplyForm(
    _show_lines,
    _all(re.compile(r"^[ \t]*Verdict[ \t]*:[ \t]*([^\n]*)", re.MULTILINE)),
    PLAIN_LABELS,
)
HEADINGS = ReplyForm(
    _show_headings,
    _all(re.compile(r"^#{1,6}[ \t]*Result[ \t:]*\n\s*([^\n]*)", re.MULTILINE)),
    PLAIN_LABELS,
)
TAGS = ReplyForm(_show_tags, _all(re.compile(r"<result>(.*?)</result>", re.DOTALL)), PLAIN_LABELS)
BRACKETS = ReplyForm(_show_brackets, _all(re.compile(r"\[\[([^\[\]\n]*)\]\]")), PLAIN_LABELS)
JSON = ReplyForm(_show_json, _find_json, PLAIN_LABELS)
