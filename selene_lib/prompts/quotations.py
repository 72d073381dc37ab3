"""What a reply quotes or sets apart: no verdict is read from it.

Paired tags and brackets of any name but those of a verdict or of plain markup, code fences and
block quotes that are not the reply's own, and a notation that a sentence only speaks of. What is
hidden keeps its length, so that places in the text stay what they are.
"""

from __future__ import annotations

import re

from selene_lib.prompts.control_tokens import final_part

_TAG = re.compile(
    r"(?:<|&lt;)(?P<close>\s*/)?\s*(?P<name>[a-z][\w:.-]{0,40})(?:\s[^<>\n]*)?(?:>|&gt;)"
    r"|[\[{(](?P<close2>/)?(?P<name2>[a-z][\w:.-]{0,40})[\]})]",
    re.IGNORECASE,
)
# Tags that hold a verdict or a whole evaluation, and plain markup
_OPEN_NAMES = re.compile(
    r"(?:final[_-]?)?(?:result|verdict|answer|score|label|rating|grade|decision|judge?ment"
    r"|evaluation|choice|conclusion|winner|critique|feedback|assessment|final)"
    r"|b|i|u|em|strong|p|div|span|mark|center|font|big|small|h[1-6]|ul|ol|li|a",
    re.IGNORECASE,
)
_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>[^`\n]*)$", re.MULTILINE)
_THOUGHT_INFO = re.compile(r"think|thought|reason|reflect|scratch|draft|analysis", re.IGNORECASE)
_QUOTED_LINES = re.compile(r"(?:^[ \t]*>[^\n]*(?:\n|\Z))+", re.MULTILINE)
_IN_FORM = re.compile(r"\s*(?:\*\*|__)?\s*reasoning|\s*\{", re.IGNORECASE)
_STATED = re.compile(
    r"(?:\*\*|__)\s*result\b|^[^\w\n]*(?:final\s+)?(?:result|verdict)\b",
    re.IGNORECASE | re.MULTILINE,
)
# A mark as our prompts show it in the texts to be judged: who writes it so quotes them
_ESCAPED_MARK = re.compile(r"(?:\\[*_]){2}[^\n]*")
_VISIBLE = re.compile(r"[^\n]")
_COMMENT = re.compile(r"<!--(?:(?!-->)[^\0])*(?:-->|\Z)")
_NEAR = 300  # characters in front of a mark that may speak of it
_HIDDEN = "\ufffc"
# "The response says **Result:** A", "I would not write", "it ends with": the last words before it
_SPEAKS_OF_IT = re.compile(
    r"\b(?:say|says|said|saying|writ\w+|wrote|stat(?:es?|ed|ing)|contain\w*|includ\w+|repl(?:y|ies|ied)"
    r"|reads?|tells?|told|not|n['’]t|never|without|instead of|than"
    r"|(?:end|finish|begin|start)(?:s|ed|ing)? (?:with|in))[\s,:：\"'“‘`*_]*\Z",
    re.IGNORECASE,
)
_FENCE_AT_END = re.compile(r"(?:`{3,}|~{3,})[^`\n]*\Z")
# A line that ends in a colon, and hands over to what is quoted, supposed or denied
_HANDS_OVER = re.compile(
    r"\b(?:if|suppos\w+|assum\w+|were|contain\w*|includ\w+|sa(?:ys?|id)|writes?|wrote|stat(?:es?|ed)"
    r"|claim\w*|reads?|quot\w+|demand\w*|request\w*|output\w*|print\w*|inject\w*|instruct\w*|asks?|asked|tells?|told|planted|hidden"
    r"|pretend\w*|imagin\w+|example|instance|ends?|expected|otherwise"
    r"|i\b[^.\n]{0,40}(?:\bnot|n['’]t|never|cannot|refuse))\b[^.\n]*[:：][\s*_\"'“`]*\Z",
    re.IGNORECASE,
)


def readable_part(reply: str) -> tuple[str, int, bool]:
    """Return the part of a reply that a verdict is read from, where it begins, and whether a block
    of thoughts is still open. What it quotes is hidden.
    """
    start, end, is_open = final_part(reply)
    text = reply[start:end]
    if is_open:
        return text, start, True
    text, is_open = _without_fences(_without_tags(text))
    return _without_quotes(text), start, is_open


def is_spoken_of(text: str, position: int) -> bool:
    """Whether the words in front of a place speak of what stands there: "It says", "If so:"."""
    if _is_in_fence(text, position):
        return True
    before = text[:position].rstrip()
    if _may_hold_fences(before):
        before = _FENCE_AT_END.sub("", before)
    gap = text[len(before) : position]
    line = before[before.rfind("\n") + 1 :].strip(" \t*_#>-")
    if "\n" not in gap and line and line[-1] in "\"'“‘`«":
        return bool(line.strip("\"'“‘`«")) or bool(text[position:].partition("\n")[2].strip())
    line = line[-_NEAR:]
    is_apart = gap.count("\n") > 1 and not line.endswith((":", "："))
    return not is_apart and bool(_SPEAKS_OF_IT.search(line) or _HANDS_OVER.search(line))


def _is_in_fence(text: str, position: int) -> bool:
    """Whether a place lies in a code fence below which the text goes on."""
    fences = list(_FENCE.finditer(text)) if _may_hold_fences(text) else []
    n_before = sum(fence.start() < position for fence in fences)
    if n_before % 2 == 0 or n_before == len(fences):
        return False
    return bool(text[fences[n_before].end() :].strip())


def _hide(text: str, start: int, end: int) -> str:
    return text[:start] + _VISIBLE.sub(_HIDDEN, text[start:end]) + text[end:]


def _without_tags(text: str) -> str:
    if not any(sign in text for sign in "<&[{("):
        return text
    for comment in _COMMENT.finditer(text) if "<!--" in text else ():
        text = _hide(text, comment.start(), comment.end())
    opened: dict[str, int] = {}
    for match in _TAG.finditer(text):
        name = (match["name"] or match["name2"]).lower()
        if _OPEN_NAMES.fullmatch(name):
            continue
        if not (match["close"] or match["close2"]):
            opened.setdefault(name, match.start())
        elif name in opened:
            text = _hide(text, opened.pop(name), match.end())
    return text


def _without_fences(text: str) -> tuple[str, bool]:
    """Hide code fences that are not the reply's own; True where one of thoughts is never closed.

    What is fenced behind a verdict may be another one, and stays.
    """
    if not _may_hold_fences(text):
        return text, False
    stated = _STATED.search(text)
    position = 0
    while (begin := _FENCE.search(text, position)) is not None:
        close = re.compile(rf"^[ \t]*{re.escape(begin['fence'])}+[ \t]*$", re.MULTILINE)
        end = close.search(text, begin.end())
        is_thought = bool(_THOUGHT_INFO.search(begin["info"]))
        if is_thought and end is None:
            return text, True
        position = end.end() if end else len(text)
        inside = text[begin.end() : end.start() if end else len(text)]
        is_first = not text[: begin.start()].strip()  # read below it, or two verdicts with it
        is_kept = is_first or (stated is not None and stated.end() <= begin.start())
        if is_thought or not (is_kept or _is_own(text, begin.start(), inside, position)):
            text = _hide(text, begin.start(), position)
    return text, False


def _may_hold_fences(text: str) -> bool:
    """Whether a text holds a fence's signs: most hold none, and patterns need not look for them."""
    return "```" in text or "~~~" in text or ":::" in text


def _without_quotes(text: str) -> str:
    for match in _ESCAPED_MARK.finditer(text) if "\\" in text else ():
        text = _hide(text, match.start(), match.end())
    for match in _QUOTED_LINES.finditer(text) if ">" in text else ():
        if not _is_own(text, match.start(), match.group(), match.end()):
            text = _hide(text, match.start(), match.end())
    return text


def _is_own(text: str, start: int, inside: str, end: int) -> bool:
    """Whether a fence or a block quote is the reply itself: all of it, its end, or JSON in it."""
    before = text[:start].rstrip()
    is_introduced = before.endswith((":", "："))
    if text[end:].strip():
        return inside.lstrip().startswith("{") and not is_introduced
    return not before or bool(_IN_FORM.match(inside)) or not is_introduced
