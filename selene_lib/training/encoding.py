"""The one encoder: data, training, judging and export turn text into token ids here and nowhere else.

A prompt is one user message rendered by the tokenizer's own chat template up to the generation prompt; a completion is what the template
adds for the assistant. Both halves are tokenised apart, exactly as they meet at generation time (the model reads the prompt ids and writes
completion ids), so the prompt ids are a prefix of prompt + completion ids by construction and never merge across the border.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from selene_lib.errors import UserError
from selene_lib.prompts.rendering import Prompt, shorten
from selene_lib.records import PreferencePair

OverlongPolicy = Literal["drop", "shorten", "error"]
_FENCED = re.compile(r"^(`{3,})[^\n`]*\n(.*?)\n\1[ \t]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class EncodedPair:
    """Token ids of one preference pair: the prompt, and the two completions that follow it (each ends in the end token)."""

    id: str
    prompt_ids: tuple[int, ...]
    chosen_ids: tuple[int, ...]
    rejected_ids: tuple[int, ...]

    @property
    def n_prompt_tokens(self) -> int:
        return len(self.prompt_ids)

    @property
    def n_longest_tokens(self) -> int:
        """Length of the longer of the two sequences a plain computation would see."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def n_shared_tokens(self) -> int:
        """Length of the row `[prompt | chosen | rejected]`."""
        return len(self.prompt_ids) + len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True)
class EncodedSet:
    """What went in: the encoded pairs, the counts of what was dropped by reason, and the ids whose prompt was shortened."""

    pairs: tuple[EncodedPair, ...]
    n_dropped: dict[str, int]
    shortened_ids: tuple[str, ...]


def encode_chat(tokenizer: Any, prompt: str, completion: str | None) -> list[int]:
    """Encode one user message, and the assistant's reply to it if there is one.

    Returns the ids of the prompt up to and including the generation prompt, followed by the completion's ids and the end token.
    There is exactly one BOS where the tokenizer has one by convention, at the front. Control tokens written out inside the texts
    (`<|eot_id|>` in a response to be judged) are broken up, so no text can open or close a message. Raises ValueError when the chat
    template renders the prompt differently with and without a reply.
    """
    head, ids = _encode_prompt(tokenizer, prompt)
    return ids if completion is None else ids + _encode_completion(tokenizer, prompt, head, completion)


def _encode_prompt(tokenizer: Any, prompt: str) -> tuple[str, list[int]]:
    """Return what the chat template makes of the prompt, up to and including the generation prompt, and its ids."""
    message = [{"role": "user", "content": neutralise(tokenizer, prompt)}]
    head = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    return head, _with_one_bos(tokenizer, tokenizer.encode(head, add_special_tokens=False))


def _encode_completion(tokenizer: Any, prompt: str, head: str, completion: str) -> list[int]:
    """Return the ids of what the template adds to `head` for the reply, through the end token."""
    message = [{"role": "user", "content": neutralise(tokenizer, prompt)}]
    reply = {"role": "assistant", "content": neutralise(tokenizer, completion)}
    whole = tokenizer.apply_chat_template([*message, reply], tokenize=False, add_generation_prompt=False)
    if not whole.startswith(head):
        raise ValueError(
            f"the chat template of {tokenizer.name_or_path!r} renders a prompt differently once a reply follows; "
            "training would see other prompts than judging does: use a template that only appends the reply"
        )
    return _until_end_token(tokenizer, tokenizer.encode(whole[len(head) :], add_special_tokens=False))


def encode_pair(tokenizer: Any, pair: PreferencePair) -> EncodedPair:
    """Encode both sides of a pair over the same prompt ids."""
    head, prompt_ids = _encode_prompt(tokenizer, pair.prompt)
    chosen, rejected = (_encode_completion(tokenizer, pair.prompt, head, text) for text in (pair.chosen, pair.rejected))
    return EncodedPair(pair.id, tuple(prompt_ids), tuple(chosen), tuple(rejected))


def end_token_id(tokenizer: Any) -> int:
    """The token that ends a completion; a tokenizer without one is a UserError."""
    if tokenizer.eos_token_id is None:
        raise UserError(f"tokenizer {tokenizer.name_or_path!r} has no eos_token: set the token that ends an assistant's reply")
    return tokenizer.eos_token_id


def neutralise(tokenizer: Any, text: str) -> str:
    """Break up the control tokens of this tokenizer where a text spells them out, by a space after their first character."""
    for token in _control_tokens(tokenizer):
        if token in text:
            text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    cached = getattr(tokenizer, "_selene_control_tokens", None)
    if cached is None:
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        names = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        cached = tokenizer._selene_control_tokens = tuple(sorted((n for n in names if len(n) > 1), key=lambda n: (-len(n), n)))
    return cached


def _with_one_bos(tokenizer: Any, ids: list[int]) -> list[int]:
    bos = tokenizer.bos_token_id
    if bos is None:
        return ids
    body = [token for token in ids if token != bos]
    return [bos, *body] if len(body) < len(ids) or _adds_bos_by_itself(tokenizer, bos) else body


def _adds_bos_by_itself(tokenizer: Any, bos: int) -> bool:
    """Whether this tokenizer puts a BOS in front of plain text: asked once."""
    cached = getattr(tokenizer, "_selene_adds_bos", None)
    if cached is None:
        cached = tokenizer._selene_adds_bos = tokenizer.encode("", add_special_tokens=True)[:1] == [bos]
    return cached


def _until_end_token(tokenizer: Any, ids: list[int]) -> list[int]:
    """Cut what a template writes after the end token (a newline, say); add the end token where a template writes none."""
    end = end_token_id(tokenizer)
    if end not in ids:
        return [*ids, end]
    return ids[: len(ids) - ids[::-1].index(end)]


def encode_pairs(
    tokenizer: Any, pairs: Sequence[PreferencePair], *, max_length_tokens: int, overlong: OverlongPolicy = "drop"
) -> EncodedSet:
    """Encode pairs, and deal with those whose longer side exceeds `max_length_tokens`. A completion, and so a verdict, is never cut.

    `drop` counts the pair out, `shorten` cuts the middle of its longest candidate as judging does and leaves a mark there (a pair that
    cannot be shortened enough is dropped and counted), `error` raises UserError with the first id.
    """
    kept: list[EncodedPair] = []
    dropped: dict[str, int] = {}
    shortened: list[str] = []
    for pair in pairs:
        encoded = encode_pair(tokenizer, pair)
        if encoded.n_longest_tokens > max_length_tokens:
            if overlong == "error":
                raise UserError(
                    f"pair {pair.id} has {encoded.n_longest_tokens} tokens, more than max_length_tokens={max_length_tokens}: "
                    "raise the limit, or set overlong to 'drop' or 'shorten'"
                )
            shorter = _shorten(tokenizer, pair, encoded, max_length_tokens) if overlong == "shorten" else None
            if shorter is None:
                reason = "too long" if overlong == "drop" else "too long even when shortened"
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            encoded = shorter
            shortened.append(pair.id)
        kept.append(encoded)
    return EncodedSet(tuple(kept), dropped, tuple(shortened))


def _shorten(tokenizer: Any, pair: PreferencePair, encoded: EncodedPair, max_length_tokens: int) -> EncodedPair | None:
    """Cut the middle of the candidates as judging does (`prompts.shorten`, the same mark); None when they alone do not make it fit."""
    allowed = max_length_tokens - max(len(encoded.chosen_ids), len(encoded.rejected_ids))
    prompt = Prompt(pair.prompt, pair.task, "", elastic=_candidate_spans(pair))
    try:
        shown, _ = shorten(prompt, lambda text: len(encode_chat(tokenizer, text, None)), allowed)
    except ValueError:
        return None
    return EncodedPair(pair.id, tuple(encode_chat(tokenizer, shown.text, None)), encoded.chosen_ids, encoded.rejected_ids)


def _candidate_spans(pair: PreferencePair) -> tuple[tuple[int, int], ...]:
    """Where the candidates stand in the prompt: as curation noted it in `meta["elastic"]`, else the fenced blocks."""
    noted = pair.meta.get("elastic")
    return tuple((start, end) for start, end in (noted or [match.span(2) for match in _FENCED.finditer(pair.prompt)]))
