"""Prompts that are too long: cut in the middle of their responses, and how much went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from selene_lib.errors import UserError
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


def why_unfit(prompts: Sequence[Prompt], fit: Callable[[Prompt], Any]) -> dict[int, str]:
    """Return which prompts `fit` cannot cut to size, by place, and why."""
    reasons = {}
    for place, prompt in enumerate(prompts):
        try:
            fit(prompt)
        except UserError:  # a matter of the model, not of the prompt
            raise
        except ValueError as error:
            reasons[place] = str(error)
    return reasons


def check_counts(**counts: int | None) -> None:
    """Raise a UserError for a count of tokens that is not at least 1; None is not given."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
