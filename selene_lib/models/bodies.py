"""What an OpenAI-compatible server sends back, read as data: nothing odd in it is an exception.

A reply without text (a refusal, a call of a tool, a model that spent its tokens on reasoning) was
paid for and is a row like any other, with a note that says what it is. Only a body that is no chat
completion at all is `Unreadable`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from selene_lib.prompts.endings import was_cut

_CHARACTERS_PER_TOKEN = 4  # only to foresee costs, and where a server reports no usage
_MOST_TOKENS = 10**9  # no reply has used more: what says so is no count
_ROUNDING = 1e-3  # a log-probability just above 0 is 0
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_KEEP_ALIVE = re.compile(r"(?:[\ufeff\s]|:[^\n]*\n)+")  # sent in front while a client waits
_REASONING = ("reasoning_content", "reasoning")  # vLLM and DeepSeek; OpenRouter and others
_ANSWER_PARTS = ("text", "output_text")
_THOUGHT_PARTS = re.compile(r"think|thought|reason|analysis|summary", re.IGNORECASE)
_THOUGHT_FLAGS = ("thought", "thinking", "reasoning", "is_thought", "is_reasoning", "encrypted")


class Unreadable(ValueError):
    """A body with status 200 that holds no reply; the text says what it holds."""

    def __init__(
        self, words: str, error: Mapping[str, Any] | None = None, *, is_paid: bool = False
    ) -> None:
        super().__init__(words)
        self.error = error  # the server's own error object, where there is one
        self.is_paid = is_paid  # a reply was in it, which cannot be taken


def guess_tokens(text: str) -> int:
    """Return about how many tokens a text has, without a tokenizer."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def read_body(
    body: str, messages: Sequence[Mapping[str, str]], *, logprobs: bool
) -> dict[str, Any]:
    """Return the store's row of a response body.

    `text`, `finish_reason`, `n_prompt_tokens`, `n_reply_tokens`; where they apply, `logprobs`,
    `reasoning` (kept apart from the text), `note` (why there is no text) and `usage`: `estimated`.
    """
    data = _json_of(body)
    choice = _choice(data)
    message = choice["message"] if isinstance(choice.get("message"), dict) else {}
    text, reasoning = _texts(message)
    finish = choice.get("finish_reason")
    row: dict[str, Any] = {
        "text": text,
        "finish_reason": finish if isinstance(finish, str) and finish else "stop",
    }
    if reasoning:
        row["reasoning"] = reasoning
    refusal = _refusal(message)
    if refusal:  # whatever stands beside it
        row |= {"text": refusal, "finish_reason": "content_filter", "note": "refused"}
    elif not text.strip():
        row |= _without_text(message, row["finish_reason"], reasoning)
    row |= _usage(data.get("usage"), messages, row["text"] + reasoning)
    if logprobs:
        row["logprobs"] = read_logprobs(choice)
    return row


def _json_of(body: str) -> dict[str, Any]:
    start = _KEEP_ALIVE.match(body)
    try:
        data = json.loads(body[start.end() if start else 0 :], object_pairs_hook=_unambiguous)
    except Unreadable:
        raise
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, or deep nesting
        if body.lstrip()[:1] == "<":
            raise Unreadable("the server answers HTML, not JSON") from error
        is_paid = body.lstrip("\ufeff \r\n\t:").startswith("{")
        raise Unreadable(f"malformed reply: not JSON ({error})", is_paid=is_paid) from error
    if not isinstance(data, dict):
        raise Unreadable(f"malformed reply: a {type(data).__name__}, no object")
    return data


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are all different: of two `content` no one can say which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, value in pairs:
            if found[key] != value:
                raise Unreadable(
                    f"malformed reply: two values of {clean(key)[:40]!r} in one object"
                )
    return found


def _choice(data: dict[str, Any]) -> dict[str, Any]:
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        choice = choices[0] if len(choices) == 1 else _first_of(choices)
        if choice.get("error"):  # the provider behind the server broke off
            data = choice
        elif not data.get("error"):
            return choice
    error = data.get("error")
    if error:
        raise Unreadable(f"the server answers an error: {words_of(data)}", as_error(error))
    raise Unreadable("malformed reply: no choices in it")


def _first_of(choices: list[Any]) -> dict[str, Any]:
    """The choice of index 0, where each has an index of its own; one was asked for."""
    by_index = {}
    for choice in choices:
        index = choice.get("index") if isinstance(choice, dict) else None
        if type(index) is int:
            by_index[index] = choice
    if len(by_index) < len(choices) or 0 not in by_index:
        said = f"{len(choices)} choices, and which is first is not said"
        raise Unreadable(f"malformed reply: {said}", is_paid=True)
    return by_index[0]


def as_error(error: Any) -> Mapping[str, Any]:
    """Return an `error` value of a body as an object, whatever the server made it."""
    return error if isinstance(error, dict) else {"message": str(error)}


def words_of(body: Any) -> str:
    """Return what a server says in an error body: its message, else its text in one line."""
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, dict):
            body = error.get("message") or error.get("detail") or error
        else:
            body = error
    return " ".join(clean(str(body)).split())


def clean(text: str) -> str:
    """Return a text that has a UTF-8 form: half surrogate pairs become the replacement sign."""
    return _HALF_PAIR.sub("\ufffd", text)


def _texts(message: Mapping[str, Any]) -> tuple[str, str]:
    """The text of a message, its parts joined, and its reasoning apart from it."""
    said: list[str] = []
    thought: list[str] = []
    for name in _REASONING:
        if isinstance(message.get(name), str) and not thought:
            thought.append(message[name])
    content = message.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, dict):
            kind = str(part.get("type", ""))
            words = part.get("text", part.get(kind))
            if isinstance(words, str) and _is_answer(part, kind):
                said.append(words)
            elif isinstance(words, str) and _is_thought(part, kind):
                thought.append(words)
    return clean("".join(said)), clean("".join(thought))


def _is_thought(part: Mapping[str, Any], kind: str) -> bool:
    return bool(_THOUGHT_PARTS.search(kind)) or any(part.get(name) for name in _THOUGHT_FLAGS)


def _is_answer(part: Mapping[str, Any], kind: str) -> bool:
    """Whether a part is known as answer text; what is of an unknown kind is not read as one."""
    is_known = kind in _ANSWER_PARTS or set(part) == {"text"}
    return is_known and not _is_thought(part, kind) and part.get("channel") in (None, "final")


def _refusal(message: Mapping[str, Any]) -> str:
    """The words of a refusal, in a field of its own or in a part of the content."""
    content = message.get("content")
    for holder in (message, *(content if isinstance(content, list) else ())):
        words = holder.get("refusal") if isinstance(holder, dict) else None
        if isinstance(words, str) and words.strip():
            return clean(words)
    return ""


def _without_text(message: Mapping[str, Any], finish: str, reasoning: str) -> dict[str, Any]:
    if message.get("tool_calls") or message.get("function_call"):
        return {"note": "a call of a tool and no text"}
    if reasoning and not was_cut(finish):
        return {"note": "reasoning and no text after it"}
    return {}


def _usage(usage: Any, messages: Sequence[Mapping[str, str]], text: str) -> dict[str, Any]:
    """Tokens as the server counts them, or estimated where what it says is no count."""
    told = usage if isinstance(usage, dict) else {}
    counts = (told.get("prompt_tokens"), told.get("completion_tokens"))
    is_count = all(type(n) is int and 0 <= n <= _MOST_TOKENS for n in counts)
    # zeros are no counts either: a budget would never be reached
    if is_count and counts[0] and (counts[1] or not text):
        return {"n_prompt_tokens": counts[0], "n_reply_tokens": counts[1]}
    return {
        "n_prompt_tokens": sum(guess_tokens(m["content"]) for m in messages),
        "n_reply_tokens": guess_tokens(text),
        "usage": "estimated",
    }


def read_logprobs(choice: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return `{"token", "logprob", "top"}` a token; None where there are none or they are odd."""
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list) or not content:
        return None
    steps = []
    for entry in content:
        best = _logprob(entry)
        if best is None:
            return None
        others = entry.get("top_logprobs")
        top = {}
        for other in others if isinstance(others, list) else []:
            if _is_impossible(other):
                continue
            known = _logprob(other)
            if known is None:
                return None
            top[known[0]] = known[1]
        steps.append({"token": best[0], "logprob": best[1], "top": top})
    return steps


def _is_impossible(entry: Any) -> bool:
    """Whether an alternative is listed with probability 0."""
    return isinstance(entry, dict) and entry.get("logprob") == -math.inf


def _logprob(entry: Any) -> tuple[str, float] | None:
    """A token and its log-probability: a finite number not above 0; None for anything else."""
    if not isinstance(entry, dict):
        return None
    token, value = entry.get("token"), entry.get("logprob")
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_MOST_TOKENS <= value <= _ROUNDING:  # also NaN, and integers of any length
        return None
    return clean(token), min(0.0, float(value))
