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

_CHARACTERS_PER_TOKEN = 4  # only to foresee costs, and where a server reports no usage
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_REASONING = ("reasoning_content", "reasoning")  # vLLM and DeepSeek; OpenRouter and others


class Unreadable(ValueError):
    """A body with status 200 that holds no reply; the text says what it holds."""

    def __init__(self, words: str, error: Mapping[str, Any] | None = None) -> None:
        super().__init__(words)
        self.error = error  # the server's own error object, where there is one


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
    if not text.strip():
        row |= _without_text(message, row["finish_reason"], reasoning)
    row |= _usage(data.get("usage"), messages, row["text"] + reasoning)
    if logprobs:
        row["logprobs"] = read_logprobs(choice)
    return row


def _json_of(body: str) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, or deep nesting
        if body.lstrip()[:1] == "<":
            raise Unreadable("the server answers HTML, not JSON") from error
        raise Unreadable(f"malformed reply: not JSON ({error})") from error
    if not isinstance(data, dict):
        raise Unreadable(f"malformed reply: a {type(data).__name__}, no object")
    return data


def _choice(data: dict[str, Any]) -> dict[str, Any]:
    choices = data.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    error = data.get("error")
    if error:
        raise Unreadable(f"the server answers an error: {words_of(data)}", as_error(error))
    raise Unreadable("malformed reply: no choices in it")


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
            if isinstance(words, str):
                (thought if kind in ("thinking", "reasoning") else said).append(words)
    return clean("".join(said)), clean("".join(thought))


def _without_text(message: Mapping[str, Any], finish: str, reasoning: str) -> dict[str, Any]:
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        return {"text": clean(refusal), "finish_reason": "content_filter", "note": "refused"}
    if message.get("tool_calls") or message.get("function_call"):
        return {"note": "a call of a tool and no text"}
    if reasoning and finish != "length":
        return {"note": "reasoning and no text after it"}
    return {}


def _usage(usage: Any, messages: Sequence[Mapping[str, str]], text: str) -> dict[str, Any]:
    """Tokens as the server counts them, or estimated where what it says is no count."""
    told = usage if isinstance(usage, dict) else {}
    counts = (told.get("prompt_tokens"), told.get("completion_tokens"))
    if all(type(n) is int and n >= 0 for n in counts):
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
        known = [_logprob(other) for other in others] if isinstance(others, list) else []
        steps.append({"token": best[0], "logprob": best[1], "top": dict(filter(None, known))})
    return steps


def _logprob(entry: Any) -> tuple[str, float] | None:
    if not isinstance(entry, dict):
        return None
    token, value = entry.get("token"), entry.get("logprob")
    if not isinstance(token, str) or isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return clean(token), value
