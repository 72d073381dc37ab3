"""What generators in this process share: the store's key, and batches of what it lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from selene_lib.curation.generators.protocol import Generation, Request
from selene_lib.models.reply_store import ReplyStore, request_key


def generate_batched(
    name: str,
    settings: Mapping[str, Any],
    requests: Sequence[Request],
    store: ReplyStore | None,
    answer: Callable[[Sequence[Request]], list[Generation]],
    *,
    size: int,
) -> list[Generation]:
    """Return one generation a request.

    Each batch of `size` is stored as soon as `answer` returns it.
    """
    keys = [key_of(name, settings, r) for r in requests]

    def rows(indices: list[int]) -> list[dict[str, Any]]:
        batch = [requests[i] for i in indices]
        return [{"model": name, **_row(g)} for g in answer(batch)]

    kept = (store if store is not None else ReplyStore(None)).fill(keys, rows, size=size)
    return [
        Generation(row["text"], row["finish_reason"], row["n_prompt_tokens"], row["n_reply_tokens"])
        for row in kept
    ]


def key_of(name: str, settings: Mapping[str, Any], request: Request) -> str:
    """The store's key of a request to the generator `name` with these settings."""
    sampling = {**settings, "temperature": request.temperature}
    return request_key(
        name,
        [{"role": "user", "content": request.prompt}],
        sampling,
        request.draw_seed,
        request.attempt,
    )


def _row(generation: Generation) -> dict[str, Any]:
    return {
        "text": generation.text,
        "finish_reason": generation.finish_reason,
        "n_prompt_tokens": generation.n_prompt_tokens,
        "n_reply_tokens": generation.n_reply_tokens,
    }
