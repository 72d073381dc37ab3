r"""Read one label in the words that stand where a verdict belongs.

The words must be one label and nothing else, give or take its wrapping (stars, quotes, brackets,
`$...$`, `\boxed{...}`), a full stop, and the few set phrases listed in
`selene_lib.prompts.verdicts`.
"""

from __future__ import annotations

import functools
import json
import re

from selene_lib.records import labels_of

_FULL_WIDTH_DIGITS = str.maketrans("０１２３４５６７８９", "0123456789")
# Zero-width and directional characters, soft hyphens, and control characters but white space
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)
_OPENING, _CLOSING = " \t\r\n*_\"'`[(“‘", " \t\r\n*_\"'`])”’"
_WRAPPING = _OPENING + _CLOSING
_LONGEST = 120  # more than any phrase that is a label takes; most lines are longer
# Wrappings that count only as a pair: `<4` and `$4` say something else than 4.
_PAIRS = re.compile(
    r"(?:\\boxed\s*\{|\\(?:text|textbf|mathrm|mathbf)\s*\{|\{)(?P<brace>.*)\}"
    r"|\\\((?P<round>.*)\\\)|\\\[(?P<square>.*)\\\]|\$(?P<dollar>[^$]*)\$|<(?P<angle>[^<>]*)>",
    re.DOTALL,
)
_SUBJECT = r"[,.;:]?\s+(?:it|the\s+(?:answer|response))\s+"
_PHRASES: dict[str, str] = {
    "absolute": r"(?:(?:score|grade|rating)[\s*_]*(?:[:=]|of\b|is\b)?[\s*_]*)?(?P<label>@any@)"
    r"(?:[\s*_]*(?:/|out\s+of)[\s*_]*@highest@)?",
    "classification": rf"(?P<label>yes)(?:{_SUBJECT}(?:does|is|has|did|was))?"
    rf"|(?P<no>no)(?:{_SUBJECT}(?:does|is|has|did|was)(?:\s+not|n['’]t))?",
    "pairwise": r"(?:(?:the\s+)?(?:response|answer|option|assistant|output|candidate)[\s*_]*[:#]?"
    r"[\s*_\"'`(\[]*)?(?P<label>[AB])",
}
_RESULT_KEYS = ("result", "verdict", "final_result", "final_verdict")
# What may stand on the line before a JSON object that is the reply
_BEFORE_JSON = re.compile(r"[\s>,]*(?:`{3,}\s*\w*)?\s*")


@functools.cache
def _pattern(kind: str) -> re.Pattern[str]:
    """What a label of a task, or of `absolute` on another scale, looks like."""
    labels = labels_of(kind)
    text = _PHRASES[kind.partition(" ")[0]]
    text = text.replace("@any@", "|".join(labels)).replace("@highest@", labels[-1])
    return re.compile(text, re.IGNORECASE | re.ASCII)


def read_label(words: str, task: str) -> tuple[str, int] | None:
    """Return the label that `words` are, and where it begins in them; None where they are none.

    `task` may name a scale, as in `absolute 1-10`.
    """
    hides = _INVISIBLE.search(words) is not None
    visible = _INVISIBLE.sub("", words) if hides else words
    if len(visible.strip(_WRAPPING)) > _LONGEST:
        return None
    plain, offset = _unwrap(visible.translate(_FULL_WIDTH_DIGITS))
    match = _pattern(task).fullmatch(plain)
    if match is None:
        return None
    name = "label" if match.group("label") is not None else "no"
    found = match.group(name).lower()
    label = next(label for label in labels_of(task) if label.lower() == found)
    place = offset + match.start(name)
    if hides:
        place = [i for i, sign in enumerate(words) if not _INVISIBLE.match(sign)][place]
    return label, place


def _unwrap(words: str) -> tuple[str, int]:
    """Strip wrapping and one full stop; return what is left and where it began."""
    text, offset, may_stop = words, 0, True
    while True:
        left = text.lstrip(_OPENING)
        inner = left.rstrip(_CLOSING)
        if may_stop and inner.endswith((".", "!", "。", "！")):
            inner, may_stop = inner[:-1], False
        offset += len(text) - len(left)
        pair = _PAIRS.fullmatch(inner)
        if pair is not None:
            offset += pair.start(pair.lastgroup or 0)
            inner = pair.group(pair.lastgroup or 0)
        if inner == text:
            return text, offset
        text = inner


def json_results(text: str) -> tuple[list[tuple[str, int]], bool]:
    """Return the words of each `result` in the JSON objects of a text, and where they begin; and
    whether these objects are how the text states its verdict.

    They are where each of them begins a line and the last one ends the text (a code fence apart).
    """
    if "{" not in text:
        return [], False
    found: list[tuple[str, int]] = []
    end, is_own = 0, True
    decoder = json.JSONDecoder(object_pairs_hook=list)
    position = text.find("{")
    while position >= 0:
        try:
            pairs, after = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position = text.find("{", position + 1)
            continue
        results = _results(text, pairs, position, after)
        before = text[max(end, text.rfind("\n", 0, position) + 1) : position]
        is_own = is_own and (not results or bool(_BEFORE_JSON.fullmatch(before)))
        found += results
        end = after
        position = text.find("{", end)
    return found, is_own and not text[end:].strip().strip("`").strip()


def _results(text: str, pairs: object, start: int, end: int) -> list[tuple[str, int]]:
    if not isinstance(pairs, list):
        return []
    found = []
    for pair in pairs:
        if not isinstance(pair, tuple) or pair[0].strip().lower() not in _RESULT_KEYS:
            continue
        value = pair[1]
        is_plain = isinstance(value, str | int) and not isinstance(value, bool)
        key = re.compile(rf'"{re.escape(pair[0])}"\s*:\s*"?')
        place = key.search(text, start, end)
        found.append((str(value) if is_plain else "", place.end() if place else start))
    return found
