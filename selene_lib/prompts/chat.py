"""The one encoder of a chat.

Data, training, judging and export turn text into token ids here and nowhere else. A prompt is one
user message rendered by the tokenizer's own chat template up to the generation prompt; a completion
is what the template adds for the assistant. Both halves are tokenised apart, exactly as they meet
at generation time (the model reads the prompt ids and writes completion ids), so the prompt ids are
a prefix of prompt + completion ids by construction and never merge across the border.
"""

from __future__ import annotations

import datetime
from typing import Any

from selene_lib.errors import UserError

_TEMPLATE_DATE = datetime.date(2024, 7, 26)  # any one day would do


def encode_chat(tokenizer: Any, prompt: str, completion: str | None) -> list[int]:
    """Encode one user message, and the assistant's reply to it if there is one.

    Returns the ids of the prompt up to and including the generation prompt, followed by the
    completion's ids and the end token. There is exactly one BOS where the tokenizer has one by
    convention, at the front. Control tokens written out inside the texts (`<|eot_id|>` in a
    response to be judged) are broken up, so no text can open or close a message. Raises ValueError
    when the chat template renders the prompt differently with and without a reply.
    """
    head, ids = encode_prompt(tokenizer, prompt)
    if completion is None:
        return ids
    return ids + encode_completion(tokenizer, prompt, head, completion)


def encode_prompt(tokenizer: Any, prompt: str) -> tuple[str, list[int]]:
    """Return the text of the prompt, through the generation prompt, and its ids.

    The text is what the tokenizer's chat template makes of it.
    """
    message = [{"role": "user", "content": neutralise(tokenizer, prompt)}]
    head = _through_template(tokenizer, message, add_generation_prompt=True)
    return head, _with_one_bos(tokenizer, tokenizer.encode(head, add_special_tokens=False))


def encode_completion(tokenizer: Any, prompt: str, head: str, completion: str) -> list[int]:
    """Return the ids of what the template adds to `head` for the reply, through the end token."""
    message = [{"role": "user", "content": neutralise(tokenizer, prompt)}]
    reply = {"role": "assistant", "content": neutralise(tokenizer, completion)}
    whole = _through_template(tokenizer, [*message, reply], add_generation_prompt=False)
    if not whole.startswith(head):
        raise UserError(
            f"the chat template of {tokenizer.name_or_path!r} renders a prompt differently once a "
            "reply follows; training would see other prompts than judging does: "
            "use a template that only appends the reply"
        )
    ids = tokenizer.encode(whole[len(head) :], add_special_tokens=False)
    return _until_end_token(tokenizer, ids)


def _through_template(
    tokenizer: Any, messages: list[dict[str, str]], *, add_generation_prompt: bool
) -> str:
    """Render a conversation by the tokenizer's chat template, on one date for ever.

    Some templates write today's date into every prompt: the same prompt would have other ids
    tomorrow, and a stored reply would no longer belong to it.
    """
    return tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
        strftime_now=_TEMPLATE_DATE.strftime,
    )


def _end_token_id(tokenizer: Any) -> int:
    """The token that ends a completion; a tokenizer without one is a UserError."""
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"tokenizer {tokenizer.name_or_path!r} has no eos_token: "
            "set the token that ends an assistant's reply"
        )
    return tokenizer.eos_token_id


def neutralise(tokenizer: Any, text: str) -> str:
    """Break up the control tokens of this tokenizer where a text spells them out.

    A space goes after their first character.
    """
    for token in _control_tokens(tokenizer):
        if token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    cached = getattr(tokenizer, "_selene_control_tokens", None)
    if cached is None:
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        names = {token.content for token in added if token.special}
        names |= set(tokenizer.all_special_tokens)
        # The longest first: one control token may be a part of another.
        spelt = sorted((n for n in names if len(n) > 1), key=lambda n: (-len(n), n))
        cached = tokenizer._selene_control_tokens = tuple(spelt)
    return cached


def _with_one_bos(tokenizer: Any, ids: list[int]) -> list[int]:
    """Make a leading run of BOS one BOS. Further inside a BOS may be the template's own mark:
    SmolLM2 and others open every message with it.
    """
    bos = tokenizer.bos_token_id
    if bos is None:
        return ids
    n_leading = 0
    while n_leading < len(ids) and ids[n_leading] == bos:
        n_leading += 1
    if n_leading or adds_bos_by_itself(tokenizer, bos):
        return [bos, *ids[n_leading:]]
    return ids


def adds_bos_by_itself(tokenizer: Any, bos: int) -> bool:
    """Whether this tokenizer puts a BOS in front of plain text: asked once."""
    cached = getattr(tokenizer, "_selene_adds_bos", None)
    if cached is None:
        first = tokenizer.encode("", add_special_tokens=True)[:1]
        cached = tokenizer._selene_adds_bos = first == [bos]
    return cached


def _until_end_token(tokenizer: Any, ids: list[int]) -> list[int]:
    """Cut what a template writes after the end token (a newline, say).

    Add the end token where a template writes none.
    """
    end = _end_token_id(tokenizer)
    if end not in ids:
        return [*ids, end]
    return ids[: len(ids) - ids[::-1].index(end)]
