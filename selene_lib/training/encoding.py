"""The one encoder of pairs: text becomes token ids here and nowhere else.

A prompt is one user message rendered by the tokenizer's own chat template up to the generation
prompt; a completion is what the template adds for the assistant. Both halves are tokenised apart,
exactly as they meet at generation time (the model reads the prompt ids and writes completion ids),
so the prompt ids are a prefix of prompt + completion ids by construction and never merge across the
border.

Token ids are int32 arrays, four bytes each; the pairs of a set lie in one flat array, so half a
million pairs are what their tokens are and no more (`encoded_store` keeps them on disk).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from selene_lib.errors import UserError
from selene_lib.prompts.chat import encode_chat, encode_completion, encode_prompt
from selene_lib.prompts.rendering import Prompt, shorten
from selene_lib.records import PreferencePair

OverlongPolicy = Literal["drop", "shorten", "error"]
_FENCED = re.compile(r"^(`{3,})[^\n`]*\n(.*?)\n\1[ \t]*$", re.MULTILINE | re.DOTALL)


TokenIds = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class EncodedPair:
    """Token ids of one preference pair: the prompt, and the two completions that follow it.

    Each is an int32 array [n_tokens] (any sequence of ints is taken), each completion ends in the
    end token. Equal are pairs of the same id and tokens.
    """

    id: str
    prompt_ids: TokenIds
    chosen_ids: TokenIds
    rejected_ids: TokenIds

    def __post_init__(self) -> None:
        for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.int32))

    @property
    def parts(self) -> tuple[TokenIds, TokenIds, TokenIds]:
        """Prompt, chosen, rejected."""
        return self.prompt_ids, self.chosen_ids, self.rejected_ids

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, EncodedPair)
            and self.id == other.id
            and all(map(np.array_equal, self.parts, other.parts))
        )

    def __hash__(self) -> int:
        return hash(self.id)

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


class EncodedPairs(Sequence[EncodedPair]):
    """Many pairs in one flat array: `tokens` int32 [n], `lengths` int32 [n_pairs, 3].

    A pair is made when it is asked for and shares the array's memory, which may lie on disk.
    """

    def __init__(self, ids: Sequence[str], lengths: NDArray[np.int32], tokens: TokenIds) -> None:
        self.ids, self.lengths, self.tokens = ids, lengths.reshape(-1, 3), tokens
        self._ends = np.cumsum(self.lengths.sum(axis=1, dtype=np.int64))

    @classmethod
    def of(cls, pairs: Iterable[EncodedPair]) -> EncodedPairs:
        """Put pairs into one array."""
        pairs = list(pairs)
        lengths = [[len(part) for part in pair.parts] for pair in pairs]
        parts = [part for pair in pairs for part in pair.parts]
        tokens = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        return cls([pair.id for pair in pairs], np.array(lengths, np.int32), tokens)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> EncodedPair: ...

    @overload
    def __getitem__(self, index: slice) -> list[EncodedPair]: ...

    def __getitem__(self, index: int | slice) -> EncodedPair | list[EncodedPair]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = range(len(self))[index]  # negative ones, and IndexError
        n_prompt, n_chosen, n_rejected = (int(n) for n in self.lengths[number])
        chosen = int(self._ends[number]) - n_chosen - n_rejected
        return EncodedPair(
            self.ids[number],
            self.tokens[chosen - n_prompt : chosen],
            self.tokens[chosen : chosen + n_chosen],
            self.tokens[chosen + n_chosen : chosen + n_chosen + n_rejected],
        )

    def __iter__(self) -> Iterator[EncodedPair]:
        return (self[i] for i in range(len(self)))


@dataclass(frozen=True)
class EncodedSet:
    """What went in: the encoded pairs, counts of what was dropped, ids that were shortened."""

    pairs: EncodedPairs
    n_dropped: dict[str, int]
    shortened_ids: tuple[str, ...]


def _as_ids(ids: Sequence[int]) -> TokenIds:
    return np.asarray(ids, np.int32)


def encode_pair(tokenizer: Any, pair: PreferencePair) -> EncodedPair:
    """Encode both sides of a pair over the same prompt ids."""
    head, prompt_ids = encode_prompt(tokenizer, pair.prompt)
    chosen, rejected = (
        encode_completion(tokenizer, pair.prompt, head, text)
        for text in (pair.chosen, pair.rejected)
    )
    return EncodedPair(pair.id, _as_ids(prompt_ids), _as_ids(chosen), _as_ids(rejected))


def encode_pairs(
    tokenizer: Any,
    pairs: Sequence[PreferencePair],
    *,
    max_length_tokens: int,
    overlong: OverlongPolicy = "drop",
) -> EncodedSet:
    """Encode pairs, and deal with those whose longer side exceeds `max_length_tokens`.

    A completion, and so a verdict, is never cut. `drop` counts the pair out, `shorten` cuts the
    middle of its longest candidate as judging does and leaves a mark there (a pair that cannot be
    shortened enough is dropped and counted), `error` raises UserError with the first id.
    """
    kept: list[EncodedPair] = []
    dropped: dict[str, int] = {}
    shortened: list[str] = []
    for pair in pairs:
        encoded = encode_pair(tokenizer, pair)
        if encoded.n_longest_tokens > max_length_tokens:
            if overlong == "error":
                raise UserError(
                    f"pair {pair.id} has {encoded.n_longest_tokens} tokens, "
                    f"more than max_length_tokens={max_length_tokens}: "
                    "raise the limit, or set overlong to 'drop' or 'shorten'"
                )
            shorter = (
                _shorten(tokenizer, pair, encoded, max_length_tokens)
                if overlong == "shorten"
                else None
            )
            if shorter is None:
                reason = "too long" if overlong == "drop" else "too long even when shortened"
                dropped[reason] = dropped.get(reason, 0) + 1
                continue
            encoded = shorter
            shortened.append(pair.id)
        kept.append(encoded)
    return EncodedSet(EncodedPairs.of(kept), dropped, tuple(shortened))


def _shorten(
    tokenizer: Any, pair: PreferencePair, encoded: EncodedPair, max_length_tokens: int
) -> EncodedPair | None:
    """Cut the middle of the candidates as judging does (`prompts.shorten`, the same mark).

    None when they alone do not make it fit.
    """
    allowed = max_length_tokens - max(len(encoded.chosen_ids), len(encoded.rejected_ids))
    prompt = Prompt(pair.prompt, pair.task, "", elastic=_candidate_spans(pair))
    try:
        shown, _ = shorten(prompt, lambda text: len(encode_chat(tokenizer, text, None)), allowed)
    except ValueError:
        return None
    return EncodedPair(
        pair.id,
        _as_ids(encode_chat(tokenizer, shown.text, None)),
        encoded.chosen_ids,
        encoded.rejected_ids,
    )


def _candidate_spans(pair: PreferencePair) -> tuple[tuple[int, int], ...]:
    """Where the candidates stand in the prompt.

    As curation noted it in `meta["elastic"]`, else the fenced blocks.
    """
    noted = pair.meta.get("elastic")
    return tuple(
        (start, end)
        for start, end in (noted or [match.span(2) for match in _FENCED.finditer(pair.prompt)])
    )
