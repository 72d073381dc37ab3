"""Control tokens of common chat formats: what a text may not plant, and where a reply ends.

The list is kept by hand; a served judge's own tokenizer is not at hand, so the tokens of every
family that we know of are defused for all of them. Sources are the published chat templates of
Llama 2 to 4, Qwen, Gemma 1 to 4, Mistral and Magistral, DeepSeek, GLM, EXAONE, Command A, Kimi,
Seed-OSS, gpt-oss and T5.
"""

from __future__ import annotations

import re

# Each alternative matches the first character of a control token where the rest of it follows.
# `<|` opens most of them: `<|eot_id|>`, `<|im_end|>`, `<|turn>`.
_FIRST_CHARACTERS = (
    r"<(?=\||/?s>|/?(?:start|end)_of_turn>|/?(?:bos|eos|pad|unk|mask)>|｜)",
    r"\[(?=/?(?:INST|SYS)\])",
    r"<(?=<\s*/?SYS)",
    r"<(?=/?(?:think|thinking|thought)>|/?seed:think>)",
    r"◁(?=/?think▷)",
    r"<(?=[a-z_]{1,32}\|>)",
    r"<(?=(?:extra_id_|unused)\d{1,4}>)",
    r"\[(?=\|[a-z_]{1,32}\|\])",
    r"(?-i:\[(?=/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|ARGS"
    r"|CALL_ID|THINK|MODEL_SETTINGS|gMASK|sMASK)\]))",
    r"<(?=(?:sop|eop|start_of_image|end_of_image|start_function_call|end_function_call)>)",
)
CONTROL = re.compile("|".join(_FIRST_CHARACTERS), re.IGNORECASE)

# What a judge that thinks aloud writes around its draft: any name that speaks of thinking.
_THINKING = (
    r"(?:think|thought|reason|reflect|scratch|draft|monologue|deliberat|analy[sz]|inner|ponder"
    r"|ruminat|brainstorm|rationale|contemplat|musing|(?<![a-z])cot(?![a-z]))"
)
_THOUGHT_WORDS = rf"(?:[\w:.-]{{0,40}}?{_THINKING}[\w:.-]{{0,40}})"
_CLOSES = r"(?:/|[^|｜<>\n]{0,60}(?:(?<![a-z])end|suffix|close|stop|finish|exit))"
_THOUGHT_TOKEN = rf"(?=[^|｜<>\n]{{0,60}}{_THINKING})[^|｜<>\n]{{1,64}}[|｜]?>"
_OPEN_THOUGHT = (
    rf"(?:<|&lt;)\s*{_THOUGHT_WORDS}(?:\s[^<>\n]*)?(?:>|&gt;)|\[{_THOUGHT_WORDS}\](?!\()"
    rf"|<[|｜](?!{_CLOSES}){_THOUGHT_TOKEN}|◁think▷|<unused\d{{1,4}}>\s*thought\b"
    r"|<\|channel\|>\s*(?:analysis|commentary)[^<]*<\|message\|>|<\|channel>\s*thought"
)
_CLOSE_THOUGHT = (
    rf"(?:<|&lt;)\s*/\s*{_THOUGHT_WORDS}\s*(?:>|&gt;)|\[/{_THOUGHT_WORDS}\]"
    rf"|<[|｜](?={_CLOSES}){_THOUGHT_TOKEN}|◁/think▷"
    r"|<\|channel\|>\s*final[^<]*<\|message\|>|<channel\|>"
)
# Tokens that end a turn or begin another: what stands behind the first of them is no reply.
_END_OF_REPLY = (
    r"<\|[^|<>\n]{1,64}\|?>|<｜[^｜<>\n]{1,64}｜>|<[a-z_]{1,32}\|>"
    r"|</s>|<(?:start|end)_of_turn>|<eos>|<bos>|<extra_id_\d{1,4}>|<unused\d{1,4}>"
    r"|\[\|[a-z_]{1,32}\|\]|\[/?(?:INST|SYSTEM_PROMPT)\]|<<\s*/?SYS\s*>>|\[gMASK\]|<sop>|<eop>"
)
# What a turn begins or ends with, by any part of its name; a token of another kind may open or
# close a part that is no reply.
_OF_TURNS = re.compile(
    r"</?s>|\[/?INST|SYS\s*>|text|sentence|turn|eot|eom|eos|bos|eop|sop|im_|header|\Wend\W|\Wstart\W"
    r"|message|channel|return|user|assistant|system|observation|human|model|chat|pad|unk|mask|sep"
    r"|role|response|reserved|sequence|gMASK|SYSTEM_PROMPT|extra_id",
    re.IGNORECASE,
)
_MARK = re.compile(
    rf"(?P<open>{_OPEN_THOUGHT})|(?P<close>{_CLOSE_THOUGHT})|(?P<end>{_END_OF_REPLY})",
    re.IGNORECASE,
)
THOUGHT_MARK = re.compile(rf"{_OPEN_THOUGHT}|{_CLOSE_THOUGHT}", re.IGNORECASE)
# What a prompt ends in whose chat template has opened the thinking block.
OPENS_THOUGHT = re.compile(rf"(?:{_OPEN_THOUGHT})\s*\Z", re.IGNORECASE)
_PLAIN_TAG = re.compile(rf"(?:<|&lt;|\[)\s*/?\s*({_THOUGHT_WORDS})(?![\w:.-])", re.IGNORECASE)
_ROLE = re.compile(r"\s*(?:assistant|model|system|user)?\s*", re.IGNORECASE)


def defuse(text: str) -> str:
    """Break up every control token of the kept list: a space goes after its first character."""
    if not _may_hold_marks(text):
        return text
    return CONTROL.sub(lambda match: match.group(0) + " ", text)


def _may_hold_marks(text: str) -> bool:
    """Whether a text holds a character that any of the marks begins with; most hold none."""
    return "<" in text or "[" in text or "&lt;" in text or "◁" in text


def final_part(reply: str) -> tuple[int, int, bool]:
    """Return where the part of a reply begins and ends that may hold its verdict.

    It stands after the last closed thinking block of the first turn and before the first control
    token. The third value is True where a thinking block was opened and never closed: then nothing
    was said yet. So it is where tokens of an unknown kind part what was said, which may be a draft.
    A token between backticks is spoken of, not used.
    """
    start, opened, is_strange = 0, "", False
    if not _may_hold_marks(reply):
        return start, len(reply), False
    for match in _MARK.finditer(reply):
        if _is_quoted(reply, match):
            continue
        if match.lastgroup == "open":
            opened = opened or match.group()
        elif match.lastgroup == "close":
            if _closes(match.group(), opened):
                start, opened = match.end(), ""
        elif opened.startswith("<unused") and match.group().startswith("<unused"):
            start, opened = match.end(), ""
        elif opened:
            if not opened.startswith("<|channel"):  # a channel is several messages long
                break
        elif _ROLE.fullmatch(reply, start, match.start()):
            start = match.end()  # a header before the reply
            is_strange = is_strange or not _OF_TURNS.search(match.group())
        else:
            is_strange = is_strange or not _OF_TURNS.search(match.group())
            is_draft = is_strange and bool(reply[match.end() :].strip())
            return start, match.start(), is_draft or _is_closed_later(reply, match.end())
    return start, len(reply), bool(opened)


def _closes(tag: str, opened: str) -> bool:
    """Whether `tag` ends the block: `</reasoning>` inside `<think>` does not."""
    named = _PLAIN_TAG.match(opened), _PLAIN_TAG.match(tag)
    return None in named or named[0][1].lower() == named[1][1].lower()  # type: ignore[index]


def _is_quoted(reply: str, match: re.Match[str]) -> bool:
    return reply[: match.start()].endswith("`") and reply[match.end() :].startswith("`")


def _is_closed_later(reply: str, position: int) -> bool:
    """Whether a block ends behind `position` that was not opened behind it.

    A chat template may open the block itself; what looked like the reply was a draft.
    """
    for match in _MARK.finditer(reply, position):
        if match.lastgroup in ("open", "close") and not _is_quoted(reply, match):
            return match.lastgroup == "close"
    return False
