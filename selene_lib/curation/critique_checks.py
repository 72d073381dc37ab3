"""What a critique may not be: unread, off its task, at odds with itself, or aware of the answer.

It must have a verdict, and the one that was asked for; it may not contradict that verdict, nor say
that it was told the answer. Pure functions on text. The patterns look for plain statements only: a
doubtful sentence is kept, because the verdict itself is checked exactly and the tests hold
sentences of both kinds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from selene_lib.prompts.verdicts import MARKER, parse_verdict
from selene_lib.records import Task

if TYPE_CHECKING:
    from selene_lib.curation.generators.protocol import Generation

_REASONING = re.compile(r"\*\*\s*reasoning\s*(?:\*\*\s*:|:)[ \t]*(?:\*\*)?", re.IGNORECASE)
_FIXED = (
    r"(?:given|provided|stated|assigned|predetermined|settled|requested|required|expected|desired"
    r"|target|gold(?:en)?|ground[- ]truth|known)"
)
_ANSWER = r"(?:verdict|judg(?:e)?ment|label|decision|result|conclusion|score|rating|grade|winner)"
_BE = r"(?:was|were|am|are|have been|['’]ve been|['’]m)"
_BEFORE = (
    r"(?:given to me|provided to me"
    r"|(?:given|provided|settled|decided|fixed) (?:in advance|beforehand)|predetermined"
    r"|you (?:gave|provided|asked for))"
)
_LEAKS = (
    rf"\b(?:i|we)\s*{_BE}\s+(?:told|asked|instructed|given|required|directed)\b"
    rf"[^.\n]{{0,80}}\b{_ANSWER}",
    r"\b(?:as|since|because)\s+(?:i\s+(?:was|am|have been)\s+)?"
    r"(?:instructed|told|directed|requested)\b",
    rf"\b(?:the|this|your)\s+{_FIXED}\s+"
    r"(?:verdict|judg(?:e)?ment|label|decision|score|rating|grade|winner)\b",
    rf"\b{_ANSWER}\s+(?:that\s+)?(?:(?:was|were|is|has been|had been)\s+)?"
    rf"(?:already\s+)?{_BEFORE}\b",
    r"\b(?:told|instructed|asked)\s+(?:me\s+)?to\s+"
    r"(?:argue|justify|reach|come to|arrive at|conclude|support|assign|give)\b",
    rf"\b(?:argue|arguing|argument)\s+for\s+(?:the|this)\s+{_ANSWER}\b",
    r"\bgold(?:en)?\s+(?:label|verdict|answer|score)\b"
    r"|\bground[- ]truth\s+(?:label|verdict|score)\b",
)
LEAKS = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _LEAKS)
_SIDE = r"(?i:response|answer|assistant|option|output)"
_BETTER = (
    r"(?i:better|superior|stronger|preferable|the winner"
    r"|more (?:accurate|helpful|correct|complete|relevant|appropriate|honest))"
)
_ADVERBS = (
    r"(?i:(?:clearly|much|slightly|overall|therefore|thus|far|significantly|also|still|the"
    r"|generally)\s+)*"
)
_PREFERS = re.compile(
    rf"\b([AB])\s+(?:is|was)\s+{_ADVERBS}{_BETTER}"
    rf"|\b(?i:prefer(?:s|red)?)\s+(?:{_SIDE}\s+)?([AB])\b"
    r"|\b([AB])\s+(?:wins|deserves to win)\b"
)
_SCORES = re.compile(
    r"\b(?:score|rating|grade|mark)\s*(?:of|is|:|should be|must be|would be)\s*"
    r"\**([1-5])\b(?!\s*[-–.]\d)"
    r"|\b(?:deserves?|merits?|earns?|warrants?)\s+"
    r"(?:an?\s+)?(?:score\s+of\s+|rating\s+of\s+)?([1-5])\b"
    r"|\b([1-5])\s*(?:/|out of)\s*5\b",
    re.I,
)
_SAYS = re.compile(
    rf"\b(?:answer|{_ANSWER})\s*(?:is|should be|must be|:)\s*[\"'“‘*(]*(yes|no)\b"
    r"(?!\s+\w+\s+(?:doubt|way))",
    re.I,
)
_HEDGED = re.compile(
    r"\b(?:not|never|n['’]t|if|although|though|while|whereas|unless|might|may|could|would)\b", re.I
)


def reasoning_of(text: str) -> str:
    """The reasoning of a reply, stripped: what stands before the last result marker.

    The reasoning marker is left out.
    """
    ends = [match.start() for match in MARKER.finditer(text)]
    head = text[: ends[-1]] if ends else text
    return _REASONING.sub("", head, count=1).strip()


def leaks(text: str) -> str:
    """The first passage that says that the verdict was known beforehand, or an empty string."""
    return next((match.group(0) for pattern in LEAKS if (match := pattern.search(text))), "")


def contradiction(reasoning: str, verdict: str, task: Task) -> str:
    """The other verdict that the end of the reasoning states in words, else an empty string.

    Only the last two sentences are read, only plain statements count (no sentence with a negation,
    a concession or a condition), and a text that states both is not called a contradiction.
    """
    pattern = {"pairwise": _PREFERS, "absolute": _SCORES, "classification": _SAYS}[task]
    stated = set()
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", reasoning.strip())[-2:]:
        if _HEDGED.search(sentence):
            continue
        for match in pattern.finditer(sentence):
            stated.add(next(group for group in match.groups() if group))
    said = {word.capitalize() if task == "classification" else word for word in stated}
    return "" if verdict in said else min(said, default="")


def check_reply(reply: Generation, asked: str | None, task: Task) -> tuple[str | None, str]:
    """Return `(verdict, reason)`: an empty reason if the reply may be used, else why not.

    `asked=None` accepts any verdict (rejection sampling).
    """
    if reply.error:
        return None, f"call failed: {reply.error}"
    verdict = parse_verdict(reply.text, task, finish_reason=reply.finish_reason)
    if verdict.reason.startswith("two "):
        return None, "more than one result line"
    if verdict.value is None:
        return None, verdict.status
    if not MARKER.search(reply.text):  # read all the same; but a judge would be taught this form
        return None, "malformed"
    return verdict.value, _fault(reasoning_of(reply.text), verdict.value, asked, task)


def _fault(reasoning: str, verdict: str, asked: str | None, task: Task) -> str:
    if asked is not None and verdict != asked:
        return "another verdict than asked"
    if not reasoning:
        return "no reasoning"
    if MARKER.search(reasoning):
        return "more than one result line"
    if leaks(reasoning):
        return "says that it was told the answer"
    return "contradicts its own verdict" if contradiction(reasoning, verdict, task) else ""
