"""Read the verdict of a reply, never a silent number.

It is one of value / malformed / truncated / refused / abstained. The parser sees generated text
only. It is anchored to the **last** result marker and takes a label only where the line after that
marker is exactly one of the task's labels. It never repairs: `4.5`, `A or B`, `Apple` and
`INCORRECT` are `malformed`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from selene_lib.records import LABELS, Task, VerdictStatus

REASONING_MARK = "**Reasoning:**"
RESULT_MARK = "**Result:**"
# The marker as models type it: **Result:**, **Result**:, **RESULT:**, and **Result: A** with the
# label inside the bold.
MARKER = re.compile(r"\*\*\s*result\s*(?:\*\*\s*:|:)[ \t]*(?:\*\*)?", re.IGNORECASE)
_OPEN, _CLOSE = r"[\s*_\"'`\[(<“‘]*", r"[\s*_\"'`\])>”’]*"
_BARE = re.compile(rf"{_OPEN}(\w+){_CLOSE}\.?{_CLOSE}")
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


def parse_verdict(reply: str, task: Task, *, finish_reason: str = "stop") -> Verdict:
    """Read the verdict after the **last** result marker of a reply.

    `reply` is generated text only, never the prompt. The line after the marker must be exactly one
    label of the task, give or take stars, brackets, quotes and a final full stop; a second,
    different label on a line of its own makes it malformed. Without a label the reply is named for
    what it is: `truncated` (tokens ran out before the verdict), `refused` (it opens by declining),
    `abstained` (it says that there is no verdict), `malformed`.
    """
    tail = _after_marker(reply)
    lines = [line for line in (tail or "").splitlines() if line.strip()]
    value = _bare_label(lines[0], task) if lines else None
    if value is None:
        return _no_value(reply, tail, lines, task, finish_reason)
    for line in lines[1:]:
        other = _bare_label(line, task)
        if other not in (None, value):
            return Verdict("malformed", reason=f"two verdicts: {value} and {other}")
    return Verdict("value", value)


def declines(text: str) -> bool:
    """Whether a text opens by declining what it was asked: "I'm sorry, but I can't help with that".

    A text that speaks of another one that declines, or that cannot find a fault, does not.
    """
    opening = text.strip().removeprefix(REASONING_MARK).strip().replace("’", "'")
    return _REFUSAL.match(opening) is not None


def _after_marker(reply: str) -> str | None:
    ends = [match.end() for match in MARKER.finditer(reply)]
    return reply[ends[-1] :] if ends else None


def _bare_label(line: str, task: Task) -> str | None:
    match = _BARE.fullmatch(line)
    return match.group(1) if match and match.group(1) in LABELS[task] else None


def _no_value(
    reply: str, tail: str | None, lines: list[str], task: Task, finish_reason: str
) -> Verdict:
    if not lines and finish_reason == "length":
        missing = "result marker" if tail is None else "verdict"
        return Verdict("truncated", reason=f"the token limit came before the {missing}")
    if finish_reason == "content_filter" or declines(reply):
        return Verdict("refused", reason="the reply declines to judge")
    if not reply.strip():
        return Verdict("malformed", reason="empty reply")
    if tail is None:
        return Verdict("malformed", reason="no result marker")
    if not lines:
        return Verdict("malformed", reason="nothing after the result marker")
    word = lines[0].strip().strip("*_\"'`[]()<> ").rstrip(".")
    if _ABSTENTION.fullmatch(word):
        return Verdict("abstained", reason=f"the reply names no winner: {word[:40]!r}")
    return Verdict("malformed", reason=f"{word[:40]!r} is not one of {', '.join(LABELS[task])}")
