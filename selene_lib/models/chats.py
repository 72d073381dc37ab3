"""One chat to complete, and what came back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ChatRequest:
    """One chat to complete.

    `seed` and `attempt` are part of its identity; `logprobs` asks for so many alternatives a token
    (0: none). `form` holds the reply to a form, where the server can: `{"choice": [...]}` or
    `{"regex": "..."}`, as vLLM's `structured_outputs` takes it.
    """

    messages: Sequence[Mapping[str, str]]
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None
    attempt: int = 0
    logprobs: int = 0
    form: Mapping[str, Any] | None = None

    def sampling(self) -> dict[str, Any]:
        """The settings that, with messages, seed and attempt, make this request what it is."""
        found: dict[str, Any] = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "logprobs": self.logprobs,
        }
        return {**found, "form": dict(self.form)} if self.form else found


@dataclass(frozen=True)
class ChatReply:
    """What came back.

    `logprobs` is a list of `{"token", "logprob", "top": {token: logprob}}`, None where not asked
    for or not given. `reasoning` is what a server keeps apart from the text, `note` says why there
    is no text. `error` is empty for an answer; else `text` is empty, `finish_reason` is `error`,
    nothing was stored, and `is_final` says that asking again would change nothing.
    """

    text: str
    finish_reason: str = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    logprobs: list[dict[str, Any]] | None = None
    error: str = ""
    is_final: bool = False
    reasoning: str = ""
    note: str = ""
