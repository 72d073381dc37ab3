"""What a refused request means: for all requests, for this one, for now, or for a setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from selene_lib.errors import UserError
from selene_lib.models.chats import ChatRequest

RETRIED = (408, 409, 425, 429)  # and all of 500 and above
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|balance|credit|funds)|billing|exceeded your current quota"
    r"|credit balance|payment required|out of credits?",
    re.IGNORECASE,
)
# What a server says about one prompt, whatever settings it names beside it.
_ABOUT_PROMPT = re.compile(
    r"context[_ ](?:length|window|size)|maximum context"
    r"|(?:prompt|input|request|message)s?\b.{0,40}\b(?:too (?:long|large)|exceeds)"
    r"|content[_ ](?:filter|policy|management)|flagged|moderation|safety|policy",
    re.IGNORECASE,
)
FORM = "structured_outputs"
_SETTINGS = ("max_completion_tokens", "max_tokens", "temperature", "seed", "top_logprobs", FORM)
_AT_MOST = re.compile(
    r"(?:<=|less than or equal to|at most|maximum(?: value)?(?: of| is)?|up to|and)\s*(\d+)",
    re.IGNORECASE,
)


class ServerError(RuntimeError):
    """A request that got no answer.

    `is_final` says that asking again would change nothing (the server refuses this prompt); other
    failures are asked again by the next run.
    """

    def __init__(self, words: str, *, is_final: bool = False) -> None:
        super().__init__(words)
        self.is_final = is_final


class TryAgain(RuntimeError):
    """A failure that time may mend."""


def is_about_prompt(words: str) -> bool:
    """Whether a server's words blame the prompt: its length or its content."""
    return bool(_ABOUT_PROMPT.search(words))


def refusal_of(status: int, error: Mapping[str, Any], words: str, about: Server) -> Exception:
    """Return what a status and an error body amount to.

    A UserError concerns all requests, a `ServerError` this one, `TryAgain` the moment.
    """
    said = f"HTTP {status}: {words}" if words else f"HTTP {status}"
    codes = " ".join(str(error.get(name, "")) for name in ("code", "type"))
    if status == 402 or (status == 429 and _QUOTA.search(f"{codes} {words}")):
        return UserError(
            f"the credit or quota of the key at {about.base_url} is used up ({said}); "
            "add to it and run again: what was answered is stored"
        )
    if status == 401 or (status == 403 and not is_about_prompt(words)):
        return UserError(
            f"{about.base_url} refuses the key (HTTP {status}); set {about.api_key_env}"
        )
    if status == 404:
        return UserError(
            f"{about.base_url} knows no model {about.model!r} (HTTP 404); check name and address"
        )
    if status in RETRIED or status >= 500:
        return TryAgain(said)
    return ServerError(said, is_final=True)


@dataclass
class Server:
    """Who is asked: address, model, and the environment variable that holds the key."""

    base_url: str
    model: str
    api_key_env: str


@dataclass
class Dialect:
    """Which optional settings a server takes, learned from its refusals, each once."""

    dropped: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    max_top_logprobs: int | None = None
    _tokens_name: str = "max_tokens"

    def settings(self, request: ChatRequest) -> dict[str, Any]:
        """Return the settings of a request as this server takes them."""
        found: dict[str, Any] = {
            "temperature": request.temperature,
            self._tokens_name: request.max_tokens,
        }
        if request.seed is not None:
            found["seed"] = request.seed
        if request.logprobs and "top_logprobs" not in self.dropped:
            asked, most = request.logprobs, self.max_top_logprobs
            found |= {"logprobs": True, "top_logprobs": min(asked, most or asked)}
        if request.form:
            found[FORM] = dict(request.form)
        return {name: value for name, value in found.items() if name not in self.dropped}

    def learn(self, words: str, param: str, sent: Mapping[str, Any]) -> bool:
        """Drop or rename what a refusal names; False where it names no optional setting of `sent`.

        `param` is the setting as the server's error object names it, else empty.
        """
        name = None if is_about_prompt(words) else _named(words, param, sent)
        if name is None:
            return False
        if name == "max_tokens":
            self._tokens_name = "max_completion_tokens"
            self.notes.append("max_tokens is sent as max_completion_tokens")
            return True
        most = _AT_MOST.search(words)
        if name == "top_logprobs" and most and 0 < int(most[1]) < sent[name]:
            self.max_top_logprobs = int(most[1])
            self.notes.append(f"top_logprobs is lowered to {most[1]}")
            return True
        self.dropped.add(name)
        self.notes.append(f"{name.removeprefix('top_')} is left out")
        return True


def _named(words: str, param: str, sent: Mapping[str, Any]) -> str | None:
    """The refused setting: the one the server names as such, else the first in its words."""
    known = [name for name in (*_SETTINGS, "logprobs") if name in sent]
    found = [(0, param)] if param in known else []
    for name in known:
        match = re.search(rf"\b{name}\b", words)
        if match and not found:
            found.append((match.start(), name))
        elif match and match.start() < found[0][0]:
            found[0] = (match.start(), name)
    if not found:
        return None
    return "top_logprobs" if found[0][1] == "logprobs" else found[0][1]
