"""Prompts that are too long: cut in the middle of their responses, and how much went."""

from __future__ import annotations

from typing import Any

from selene_lib.prompts.chat import encode_chat
from selene_lib.prompts.rendering import Prompt, shorten


def encode_fitting(tokenizer: Any, prompt: Prompt, max_tokens: int) -> tuple[list[int], int]:
    """Return the ids of a prompt of at most `max_tokens`, and how many characters were cut for it.

    Raises ValueError for a prompt that does not fit even with its responses cut.
    """
    ids = encode_chat(tokenizer, prompt.text, None)
    if len(ids) <= max_tokens:
        return ids, 0
    short, n_cut = shorten(prompt, lambda text: len(encode_chat(tokenizer, text, None)), max_tokens)
    return encode_chat(tokenizer, short.text, None), n_cut


def note_of_cut(n_cut: int) -> dict[str, int]:
    """What a reply's `meta` says of characters cut from its prompt; nothing where none were."""
    return {"n_cut_characters": n_cut} if n_cut else {}
