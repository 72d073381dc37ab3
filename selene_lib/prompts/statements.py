"""Whether a reply states another verdict than the one that was found in it, or takes that one back.

In front of the verdict only lines of their own count: reasons may weigh both labels in prose.
Behind it sentences count too, and what could mean another label is taken to mean it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

from selene_lib.prompts.labels import json_results, read_label
from selene_lib.records import labels_of

_SET_AS = (
    r"(?:final|overall|total|revised|corrected|updated|new|adjusted|actual|ultimate|last|true|real"
    r"|amended|second|first|initial|definitive|correct)"
)
_LEAD = r"[ \t>#*_•|+-]*(?:(?:the|my|our)[ \t]+)?"
_NAME = (
    rf"(?:(?:{_SET_AS}[ \t]+)*(?:results?|verdicts?|winner|decision|judge?ment|conclusion)"
    rf"|(?:{_SET_AS}[ \t]+)+(?:answers?|scores?|ratings?|grades?|choice))"
)
_NAMED_LINE = re.compile(
    rf"{_LEAD}{_NAME}(?:[ \t]*\([^()\n]*\))?[ \t*_]*(?:is)?[ \t*_]*[:：][ \t*_]*(\S.*)", re.I
)
_HEADING = re.compile(rf"(?:#{{1,6}}[ \t]*|(?:\*\*|__))(?:my[ \t]+)?{_NAME}[ \t:：*_]*", re.I)
BOXED_LINE = re.compile(
    r"(?:(?:so|thus|hence|therefore),?\s+)?(?:(?:the|my)\s+)?"
    r"(?:(?:final\s+)?(?:answer|result|verdict|score)\s*(?:is|:)\s*)?"
    r"([$(\[\\*\s]*\\boxed\s*\{[^{}\n]*\}[$)\]\\*\s]*[.!]?)",
    re.IGNORECASE,
)
_SCORED_LINE = re.compile(rf"{_LEAD}(?:score|rating|grade)[ \t*_]*[:：][ \t*_]*(\S.*)", re.I)
# The same names as keys of JSON: `final_answer`
_JSON_NAME = _NAME.replace("[ \\t]", "[ _-]?").replace("conclusion", "conclusion|winner|preferred")
_IN_JSON = re.compile(rf"[\"'](?:{_JSON_NAME})[\"']\s*:\s*([^,}}\n]*)", re.I)
_IN_TAGS = re.compile(rf"<\s*({_NAME}|answer|score)\s*>([^<>\n]*)<\s*/|\[{_NAME}\]([^\n]*)", re.I)
_REASONS = re.compile(r"[\s#]*(?:\*\*|__)?\s*reasoning\b", re.I)
_BARE = re.compile(r"[\W_]*[^\W_]+[\W_]*")
_ANY_NAME = (
    r"(?:result|verdict|answer|score|rating|grade|mark|winner|decision|judge?ment|conclusion|choice"
    r"|preference|label|evaluation|assessment|outcome|pick|response|option)s?"
)
# A name, then a mark or a verb, then the label: `**Result (revised):** B`, `the score is 2`
_NAMED = re.compile(
    rf"\b{_ANY_NAME}(?:[ \t]*[(（][^()（）\n]*[)）])?"
    r"(?:[^\w\n]{0,20}?[*_:：=>\]→|–—\"-][^\w\n]{0,20}"
    r"|[ \t]+(?=(?:is|was|are|should|would|must|of|to|goes)\b))"
    r"(?:(?:is|was|are|be|should|would|have|been|must|now|of|to|goes|a|an|response|answer|option"
    r"|score)\b[^\w\n]{0,20}){0,9}(?P<label>\w+(?:[.,]\d+)?)",
    re.IGNORECASE,
)
_BOX = re.compile(r"\\boxed\s*\{([^{}\n]*)\}|\[\[([^\[\]\n]*)\]\]")
_SHORT_WORDS = 5
_TAKEN_BACK = re.compile(
    r"\b(?:wait\b[\s,.!…—-]|hmm*\b|scratch that|strike that|oops|never ?mind|i (?:was|am) (?:wrong"
    r"|mistaken)|(?:a|my) mistake\b|mistaken|i meant|on (?:second thoughts?|reflection)"
    r"|take (?:it|that|this) back|chang(?:e|ed|ing) my|the opposite|the other way|vice versa"
    r"|just kidding|let me (?:re|think|correct|double|check)|reconsider"
    r"|(?:ignore|disregard) (?:that|this|the above|my)|should (?:be|have been) (?:higher|lower)"
    r"|not sure\b|cannot be (?:decided|determined)"
    r"|i (?:can ?not|can['’]t|could not|am unable to) (?:decide|determine|judge|tell|say))"
    r"|^[^\w\n]*(?:correction|actually|revis\w+|update|edit|sorry)\b",
    re.IGNORECASE | re.MULTILINE,
)
# How the line below a label goes on with it: `4` / `.5`, `A` / `or B`, `A` / `was in the text`
_GOES_ON = re.compile(
    r"[,;:/%+=?~&^|)\]]|[.–—-]\s*\d|(?:and (?:a )?|a )?half\b|\(?(?:or|nor|to|through|till|until"
    r"|minus|plus|point|but|though|although|if|unless|except|out of|versus|vs)\b"
    r"|(?-i:was|were|is|which|that|stands|appears|would|maybe|perhaps)\b",
    re.IGNORECASE,
)
_BETTER = (
    r"(?:better|best|superior|right|correct|stronger|prefer\w+|(?:the )?winner|winning|ahead"
    r"|my choice|the one)"
)
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10", "zero": "0",
}  # fmt: skip
_NUMBERED = re.compile(r"\d+[.)]\s+\D")  # an item of a list


def stated_labels(text: str, task: str) -> Iterator[str]:
    """Yield each label that a text states in a line of its own, under a heading or as JSON."""
    lines = [line for line in text.split("\n") if line.strip()]
    is_reason = False
    for number, line in enumerate(lines):
        before = lines[number - 1].strip() if number else ""
        named = _NAMED_LINE.fullmatch(line.strip()) or BOXED_LINE.fullmatch(line.strip())
        words = named.group(1) if named else line
        found = read_label(words, task)
        # reasons under their mark, a question with its answer below, a list
        is_reason = is_reason or bool(_REASONS.match(line))
        is_item = before.endswith("?") or line.lstrip().startswith(("- ", "* ", "+ "))
        is_bare = bool(_BARE.fullmatch(words)) and not (is_reason or is_item)
        if found and (named or is_bare or is_heading(before)):
            yield found[0]
    scored = [match[1] for line in lines if (match := _SCORED_LINE.fullmatch(line.strip()))]
    found_words = [words for words, _ in json_results(text)[0]]
    if '"' in text or "'" in text:
        found_words += [match[1] for match in _IN_JSON.finditer(text)]
    if "<" in text or "[" in text:
        found_words += [match[2] or match[3] or "" for match in _IN_TAGS.finditer(text)]
    # several scores are those of several aspects
    for words in found_words + (scored if len(scored) == 1 else []):
        label = read_label(words, task)
        if label:
            yield label[0]


def is_heading(line: str) -> bool:
    """Whether a line is a heading that names a verdict below it: `### Final Result`."""
    return bool(_HEADING.fullmatch(line.strip()))


def contradiction(later: str, label: str, task: str) -> str:
    """Why what stands behind a verdict's line puts another in its place; empty where it does not.

    `later` begins where the line of the verdict ends.
    """
    lines = [line.strip() for line in later.split("\n") if line.strip()]
    if not lines:
        return ""
    if _goes_on(lines[0], label, task):
        return f"the line after {label} goes on: {lines[0][:40]!r}"
    other = next(_others(lines, label, task), None) or _named_other(later, label, task)
    if other:
        return f"two verdicts: {label} and {other}"
    found = _TAKEN_BACK.search(later) or _denials(task, label).search(later)
    if found:
        return f"{label} is taken back: {found.group().strip()[:40]!r}"
    return ""


def _goes_on(line: str, label: str, task: str) -> bool:
    """Whether a line goes on with the label above it, so that both say something else."""
    if _GOES_ON.match(line) or _GOES_ON.match(line.lstrip("*_\"' ")):
        return True
    is_joined = line.lower().startswith("and ")
    return is_joined and any(_is_other(word, label, task) for word in re.findall(r"\w+", line))


def _others(lines: list[str], label: str, task: str) -> Iterator[str]:
    """Other labels that are a line, end one behind a colon, or stand in a line of a few words."""
    for line in lines:
        item = line.lstrip(" \t>#*_•|+-")
        found = read_label(item, task) or read_label(re.sub(r"\A\d+[.)]\s+", "", item), task)
        words = re.findall(r"\d+[.,]\d+|\w+", line)
        is_short = len(words) <= _SHORT_WORDS and label.lower() not in line.lower().split()
        after_colon = re.search(r"[:：]\W{0,20}(\w+)\W{0,20}\Z", line)
        if found and found[0] != label:
            yield found[0]
        elif not found and is_short and not _NUMBERED.match(line):
            yield from (word for word in words if _is_other(word, label, task))
        elif after_colon and _is_other(after_colon[1], label, task):
            yield after_colon[1]


def _named_other(later: str, label: str, task: str) -> str | None:
    for match in _NAMED.finditer(later):
        word = match["label"]
        if _is_other(word, label, task):
            return word
    for match in _BOX.finditer(later):
        words = match[1] or match[2] or ""
        found = read_label(words, task)
        if not found or found[0] != label:
            return words.strip()[:40] or "nothing"
    return None


def _is_other(word: str, label: str, task: str) -> bool:
    """Whether a word is a label, or a number, other than `label`."""
    if task.startswith("absolute"):
        number = _NUMBERS.get(word.lower(), word)
        return number[0].isdigit() and number != label
    if task == "pairwise" and word == "a":  # "the result is a ..."
        return False
    return word.lower() in {other.lower() for other in labels_of(task) if other != label}


@functools.cache
def _denials(task: str, label: str) -> re.Pattern[str]:
    """Sentences that state another label than this one, or say that it is not this one."""
    others = "|".join(other for other in labels_of(task) if other != label)
    if task == "classification":
        others = "(?:no|nope|nah)" if label == "Yes" else "(?:yes|yep|yeah)"
    not_it = rf"\b(?:not|n['’]t be|never)\s+(?:an?\s+|the\s+)?(?:response\s+)?[\"'*]*{label}\b"
    if task == "pairwise":
        more = _other_response(label, others)
    elif task == "classification":
        more = (
            rf"(?:^|[.!?:]\s)[^\w\n]{{0,20}}{others}[ \t]*[,.;:!]"
            r"|\b(?:is|be|say|meant?|to|was|actually|rather|so|hence|thus|therefore),?\s+(?:an?\s+)?"
            rf"[\"'*]*{others}[\"'*]*\s*(?:$|[.,;:!?])"
        )
    else:
        more = _other_score(label, labels_of(task)[-1])
    return re.compile(f"{not_it}|{more}", re.IGNORECASE | re.MULTILINE)


def _other_response(label: str, other: str) -> str:
    """Patterns of "B is better", "I prefer B", "A is worse"; capital letters, as "a" is a word."""
    label, other = f"(?-i:{label})", f"(?-i:{other})"
    place = "second" if "B" in other else "first"
    certainly = r"(?:(?:clearly|actually)\s+)?"
    return (
        rf"\b{other}\b[\"'*)\]]*\s+(?:(?:is|was|seems|looks|appears|(?:would|should|must) be)\s+"
        rf"(?:(?!not|never|no\b)\w+\s+){{0,2}}?{_BETTER}|{certainly}(?:wins?|beats|edges|prevails"
        r"|outperforms|should (?:win|have won)|deserves)\b)"
        r"|\b(?:prefer|choos\w+|chose|pick(?:ed)?|select(?:ed)?|favou?r|(?:go|going|opt|settle|vote)"
        r" (?:with|on|for)|meant?|say|make it|chang\w+ (?:\w+ ){0,2}to|switch\w* to|it['’]?s|is|be)"
        rf"\s+(?:the\s+)?(?:(?:response|answer|option)\s+)?[\"'*]*{other}\b"
        rf"|\b{label}\b[\"'*]*\s+(?:is|was)\s+{certainly}(?:worse|wrong|inferior|weaker"
        r"|not (?:(?:the|a) )?(?:better|right|correct|winner|best))"
        rf"|\b{other}\s*>+\s*{label}\b|\b{label}\s*(?:<+\s*|or ){other}\b|\b{other} or {label}\b"
        rf"|\bthe (?:other|{place})(?: one| response| answer)? "
        rf"(?:(?:is|was) {certainly}(?:the |a )?{_BETTER}|wins)"
    )


def _other_score(label: str, highest: str) -> str:
    """Patterns of "it deserves a 2", "lowered to 2", "2 out of 5"."""
    same = "|".join([label, *(word for word, digits in _NUMBERS.items() if digits == label)])
    number = rf"[\"'*]*(?!(?:{same})\b(?![.,]\d))(?:\d+(?:[.,]\d+)?|{'|'.join(_NUMBERS)})\b"
    return (
        r"\b(?:deserves?|merits?|warrants?|gives?|gave|assign|award|rate|score|grade|make it|say|is"
        r"|be|it['’]s|meant?|(?:chang|lower|rais|revis|reduc|correct)\w*(?:\s+\w+){0,3}\s+to"
        r"|down to|up to|closer to|more like|rather)\s+"
        r"(?:(?:it|this|the)\s+(?:response\s+|answer\s+)?)?"
        r"(?:at\s+|as\s+|with\s+)?(?:an?\s+|only\s+|just\s+|rather\s+)*"
        rf"{number}(?=[\"'*]*\s*(?:$|[.,;:!?)/]|(?:out|stars?|points?|instead|rather|now|not)\b))"
        rf"|\b{label}\s*(?:->|=>|→)\s*{number}"
        rf"|(?<![\d.]){number}\s*(?:/|out of)\s*{highest}\b"
    )
