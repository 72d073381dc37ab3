r"""Read the verdict of a reply, never a silent number.

It is one of value / malformed / truncated / refused / abstained. Only generated text is read, and
of it only what stands after the last closed thinking block and before the first control token.

A verdict is the line after a result marker, and it must hold one label and nothing else. Read are

- markers: `**Result:**`, `**Result**:`, `**RESULT：**`, `__Result:__`, and `**Result: A**`;
- where there is no such marker: `Result: A`, `### Result: A`, `*Final verdict:* A` as the first
  or the last line, a JSON object `{"result": "A"}` at the end, a last line `\boxed{A}`, and a
  reply that is one label and nothing else;
- labels: `A`, `a`, `YES`, `(A)`, `[A]`, `{A}`, `<A>`, `"A"`, `$4$`, `\boxed{A}`, with a full stop
  or an exclamation mark, `Response A`, `Answer A`, `Option A`, `Score 4`, `4/5`, `4 out of 5`,
  `Yes, it does`, `No, it does not`, full-width digits; invisible characters are passed over.

It never repairs: `4.5`, `-4`, `A or B`, `Apple` and `INCORRECT` are `malformed`, and so is a reply
that states two different verdicts, in whatever notation (`selene_lib.prompts.statements`), or one
that it only quotes (`selene_lib.prompts.quotations`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from selene_lib.prompts.control_tokens import final_part
from selene_lib.prompts.endings import was_cut, was_filtered, what_came
from selene_lib.prompts.labels import json_results, read_label
from selene_lib.prompts.quotations import is_spoken_of, readable_part
from selene_lib.prompts.statements import BOXED_LINE, contradiction, is_heading, stated_labels
from selene_lib.records import VerdictStatus, labels_of

REASONING_MARK = "**Reasoning:**"
RESULT_MARK = "**Result:**"
# The marker as models type it: **Result:**, **Result**:, **RESULT:**, __Result:__, and
# **Result: A** with the label inside the bold.
MARKER = re.compile(
    r"(?:\*\*|__)\s*result\s*(?:(?:\*\*|__)\s*[:：]|[:：])[ \t]*(?:\*\*|__)?", re.IGNORECASE
)
_LINE = re.compile(
    r"[ \t>#*_-]*(?:final[ \t]+)?(?:result|verdict)[ \t*_]*[:：][ \t*_]*(\S.*)", re.IGNORECASE
)
# How a reply begins that keeps to the form; another may think aloud, without any mark of it
_IN_FORM = re.compile(r"[\s*_#>]*(?:reasoning|result)\b", re.IGNORECASE)
# Where a model without an end token goes on to play the next turn
_OPENING = re.compile(r"\s*(?:\*\*|__)?\s*reasoning\s*(?:\*\*|__)?\s*[:：]\s*(?:\*\*|__)?", re.I)
_NEXT_TURN = re.compile(
    r"\n[ \t]*\n[ \t#*]*(?:human|user|instruction|assistant|question)[ \t*]*:", re.IGNORECASE
)
# A refusal: "I cannot" in some words, then what is not done. After an excuse any deed will do, but
# those that a critique says of a response ("I'm afraid I cannot agree").
_EXCUSE = (
    r"(?:i(?:'?m| am) (?:(?:very|so|truly|really) )?(?:sorry|afraid)|sorry|i (?:do )?apologi[sz]e"
    r"|(?:my )?apologies|unfortunately|regretfully|as an? (?:ai|language model|assistant))\b"
    r"[^.\n]{0,60}?\b"
)
_CANNOT = (
    r"i(?: can(?:not|'?t| not)|(?:'?m| am) (?:unable|not able|not allowed|not permitted) to"
    r"|(?:'?m| am) not comfortable(?: with)?| (?:do not|don'?t) feel comfortable(?: with)?"
    r"| (?:won'?t|will not)(?: be able to)?| would rather not|'d rather not)"
)
_DEED = (
    r"(?:assist|help|comply|evaluat|judg|rat(?:e|ing)\b|grad|scor|assess|fulfil|engag|provid|answer"
    r"|continu|generat|creat|complet|participat|discuss|respond|proceed|do (?:that|this|so)\b)"
)
_PRAISE = r"(?:find|fault|see|agree|say|think|imagine|help but|recommend|improve|verify|confirm)\b"
_MORE = r"[^.\n]{0,60}\b(?:higher|more than|better|full (?:marks|score)|top (?:mark|score))\b"
_DECLINE = (
    r"i (?:(?:must|have to|need to|will|would like to|am going to have to) )?"
    rf"(?:respectfully )?(?:decline\b|refuse to {_DEED})"
)
_REFUSAL = re.compile(
    rf"{_DECLINE}|{_EXCUSE}(?:{_DECLINE}|{_CANNOT}(?:[.!]| (?!{_PRAISE})))"
    rf"|{_CANNOT} (?!{_PRAISE}){_DEED}(?!{_MORE})",
    re.IGNORECASE,
)
_ABSTENTION = re.compile(
    r"n/?a|none|neither(?: of them| answer| response)?|both"
    r"|tied?|(?:it['’]?s )?a tie|draw|equal(?:ly good)?"
    r"|undecided|unclear|unknown|unsure|not sure|not applicable|insufficient information|\?+"
    r"|(?:can ?not|can['’]t|could not|unable to|impossible to)(?: be)?"
    r" (?:determined?|decided?|judged?|say|tell)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Verdict:
    """What a reply says: `value` is one of the task's labels exactly when `status` is `value`.

    `reason` says why there is none.
    """

    status: VerdictStatus
    value: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Statement:
    """A place that names a verdict: its words, where they begin, and the label they are, if any."""

    words: str
    position: int
    label: str | None
    is_json: bool = False


def parse_verdict(reply: str, task: str, *, finish_reason: str = "stop") -> Verdict:
    r"""Read the verdict of a reply; the module's docstring lists the forms.

    `reply` is generated text only, never the prompt; `task` may name a scale (`absolute 1-10`). The
    **last** result marker counts; whatever states another label makes the reply malformed, and so
    does what takes this one back. Without a label the reply is named for what it is: `truncated`
    (it ended before the verdict or inside a thinking block, and not by itself), `refused` (it opens
    by declining), `abstained` (it says that there is no verdict), `malformed`. A next turn that the
    judge plays itself (`\n\nHuman: ...`) is no part of the reply.
    """
    return _read(reply, task, finish_reason)[0]


def declines(text: str) -> bool:
    """Whether a text opens by declining what it was asked: "I'm sorry, but I can't help with that".

    A text that speaks of another one that declines, or that cannot find a fault, does not.
    """
    opening = text.strip().removeprefix(REASONING_MARK).strip().replace("’", "'")
    return _REFUSAL.match(opening) is not None


def verdict_start(reply: str, task: str, *, finish_reason: str = "stop") -> int | None:
    """Return the index of the first character of the label that `parse_verdict` takes.

    None where it takes none.
    """
    verdict, position = _read(reply, task, finish_reason)
    return position if verdict.value is not None else None


def explain_failure(reply: str, task: str, *, finish_reason: str = "stop") -> Verdict:
    """Name what a reply is that states no verdict in the form that was asked for."""
    start, end, is_thinking = final_part(reply)
    if is_thinking:
        return _unfinished(finish_reason)
    return _no_value(reply[start:end], None, [], task, finish_reason)


def is_thinking(text: str) -> bool:
    """Whether a text, read so far, ends inside a thinking block."""
    return final_part(text)[2]


def _read(reply: str, task: str, finish_reason: str) -> tuple[Verdict, int]:
    text, start, is_open = readable_part(reply)
    if is_open:
        return _unfinished(finish_reason), 0
    # what a filter ended may have gone on, as what ran out of tokens
    may_go_on = was_cut(finish_reason) or was_filtered(finish_reason)
    is_cut = may_go_on and start + len(text) == len(reply)
    plain = text.lstrip("\ufeff")
    text, start = plain, start + len(text) - len(plain)
    for match in _NEXT_TURN.finditer(text):
        turn = text[: match.start()]
        if not MARKER.search(turn) and not _LINE.fullmatch(turn.strip().split("\n")[-1]):
            continue
        verdict, position = _state(turn, task, "stop", False)
        if verdict.value is not None:
            return verdict, start + position
    verdict, position = _state(text, task, finish_reason, is_cut)
    return verdict, start + position


def _state(text: str, task: str, finish_reason: str, is_cut: bool) -> tuple[Verdict, int]:
    """Read the final part of a reply; return its verdict and where in it the label begins."""
    markers = list(MARKER.finditer(text))
    if not markers:
        return _state_unmarked(text, task, finish_reason, is_cut)
    ends = [*(marker.start() for marker in markers[1:]), len(text)]
    marked = [_after(text[:end], marker.end(), task) for marker, end in zip(markers, ends)]
    last = marked[-1]
    drafts = [_opening_label(text, marker, s, task) for marker, s in zip(markers, marked)]
    between = text[markers[-2].end() : markers[-1].start()] if len(markers) > 1 else ""
    if between.strip() and "\n" not in between:
        return Verdict("malformed", reason="two result markers on one line"), 0
    lines = [line for line in text[last.position :].split("\n") if line.strip()]
    if last.label is not None and is_cut and _may_go_on(last, lines, task):
        return _cut(finish_reason, "inside the verdict"), 0
    if last.label is not None and is_cut and len(lines) > 1 and not _IN_FORM.match(text):
        return _cut(finish_reason, "in text that may be a draft"), 0
    if last.label is None:
        return _no_value(text, text[markers[-1].end() :], lines, task, finish_reason), 0
    if is_spoken_of(text, markers[-1].start()):
        return Verdict("malformed", reason="the result marker is only spoken of"), 0
    before = stated_labels(text[: markers[-1].start()], task)
    return _agree([*before, *(label for label in drafts if label is not None)], last, text, task)


def _after(text: str, end: int, task: str) -> _Statement:
    """What stands after a marker: the first line that is not blank."""
    start = end + len(text[end:]) - len(text[end:].lstrip())
    words = text[start:].split("\n")[0]
    found = read_label(words, task)
    return _Statement(words, start + (found[1] if found else 0), found[0] if found else None)


def _opening_label(
    text: str, marker: re.Match[str], statement: _Statement, task: str
) -> str | None:
    """The label of a statement, or the one it opens with (`A or B`) where it has its own line.

    It is never taken for the verdict, but a different one after it makes two.
    """
    line = text[text.rfind("\n", 0, marker.start()) + 1 : marker.start()]
    if statement.label is not None or line.strip(" \t>#*_-"):
        return statement.label
    opening = re.match(r"\W*(\w+)", statement.words)
    found = read_label(opening.group(1), task) if opening else None
    return found[0] if found else None


def _may_go_on(last: _Statement, lines: list[str], task: str) -> bool:
    """Whether a reply that ran out of tokens may have meant more than the label it ends in.

    `4` alone is taken, as a judge that was given room for the verdict and no more writes it.
    """
    labels = labels_of(task)
    is_begun = any(label != last.label and label.startswith(last.label or "") for label in labels)
    is_whole = last.words.strip(" *_\"'`[]()") in labels
    return len(lines) == 1 and (is_begun or not is_whole)


def _agree(labels: list[str], chosen: _Statement, text: str, task: str) -> tuple[Verdict, int]:
    """The verdict chosen, where no label disagrees with it and nothing behind its line does."""
    other = next((label for label in labels if label != chosen.label), None)
    if other is not None:
        return Verdict("malformed", reason=f"two verdicts: {chosen.label} and {other}"), 0
    line_end = text.find("\n", chosen.position)
    later = text[line_end:] if line_end >= 0 and not chosen.is_json else ""
    reason = contradiction(later, chosen.label or "", task)
    if reason:
        return Verdict("malformed", reason=reason), 0
    return Verdict("value", chosen.label), chosen.position


def _state_unmarked(text: str, task: str, finish_reason: str, is_cut: bool) -> tuple[Verdict, int]:
    found = [*_unmarked_lines(text, task, is_cut), *_json_statements(text, task)]
    labels = [statement.label for statement in found if statement.label is not None]
    if not labels or len(labels) < len(found):
        return _no_value(text, None, [], task, finish_reason), 0
    if any(is_spoken_of(text, text.rfind("\n", 0, s.position) + 1) for s in found):
        return Verdict("malformed", reason="the verdict is only spoken of"), 0
    return _agree([*stated_labels(text, task), *labels], found[-1], text, task)


def _unmarked_lines(text: str, task: str, is_cut: bool) -> Iterator[_Statement]:
    """Statements on the first and the last line, where no marker stands in the reply.

    Lines between them may be quoted from what is judged. The last line of a reply that ran out of
    tokens may not be whole.
    """
    lines = [match for match in re.finditer(r"[^\n]+", text) if match.group().strip()]
    for number, line in enumerate(lines):
        is_first, is_last = number == 0, number == len(lines) - 1
        if is_last and is_cut and not line.group().rstrip().endswith(("}", "$", "]")):
            return
        words = line.group().rstrip()
        is_edge = is_first or is_last
        match = _LINE.fullmatch(words) if is_edge else None
        boxed = BOXED_LINE.fullmatch(words.strip()) if is_last else None
        is_alone = len(lines) == 1
        is_headed = is_last and number > 0 and is_heading(lines[number - 1].group())
        if match is not None:
            yield _statement(match.group(1), line.start() + match.start(1), task)
        elif boxed is not None:
            indent = len(words) - len(words.lstrip())
            yield _statement(boxed.group(1), line.start() + indent + boxed.start(1), task)
        elif (is_alone or is_headed) and read_label(words, task):
            yield _statement(words, line.start(), task)


def _json_statements(text: str, task: str) -> Iterator[_Statement]:
    found, is_own = json_results(text)
    for words, position in found if is_own else ():
        yield replace(_statement(words, position, task), is_json=True)


def _statement(words: str, position: int, task: str) -> _Statement:
    found = read_label(words, task)
    if found is None:
        return _Statement(words, position, None)
    return _Statement(words, position + found[1], found[0])


def _cut(finish_reason: str, place: str) -> Verdict:
    return Verdict("truncated", reason=f"{what_came(finish_reason)} {place}")


def _unfinished(finish_reason: str) -> Verdict:
    if was_cut(finish_reason):
        return _cut(finish_reason, "inside a thinking block")
    return Verdict("malformed", reason="a thinking block is never closed")


def _no_value(
    text: str, tail: str | None, lines: list[str], task: str, finish_reason: str
) -> Verdict:
    if was_cut(finish_reason) and not (tail or "").strip():
        return _cut(finish_reason, f"before the {'result marker' if tail is None else 'verdict'}")
    if was_filtered(finish_reason) or declines(text):
        return Verdict("refused", reason="the reply declines to judge")
    if not text.strip():
        return Verdict("malformed", reason="empty reply")
    if tail is None:
        return Verdict("malformed", reason="no result marker")
    if not tail.strip():
        return Verdict("malformed", reason="nothing after the result marker")
    word = lines[0].strip().strip("*_\"'`[]()<> ").rstrip(".")
    if _ABSTENTION.fullmatch(word):
        return Verdict("abstained", reason=f"the reply names no winner: {word[:40]!r}")
    return Verdict("malformed", reason=f"{word[:40]!r} is not one of {', '.join(labels_of(task))}")


def reasoning_of(reply: str) -> str:
    """Return the reasons of a reply: what stands before its last result marker, without markers and
    thinking. A reply without a marker is returned whole, one that is a verdict alone as nothing.
    """
    start, end, is_open = final_part(reply)
    text = reply[start:end] if not is_open else reply
    markers = list(MARKER.finditer(text))
    if markers:
        text = text[: markers[-1].start()]
    return _OPENING.sub("", text).strip()
