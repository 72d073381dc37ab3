"""Generated token ids as text, with the marks of a thinking block in it wherever they belong.

Some chat templates open the thinking block themselves, so that a reply starts inside it without the
opening mark; some tokenizers hold the marks as special tokens, which decoding leaves out. Either
way a draft would be read as the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selene_lib.prompts.chat import encode_prompt
from selene_lib.prompts.control_tokens import OPENS_THOUGHT, THOUGHT_MARK


class ReplyDecoder:
    """Decodes the replies of one tokenizer; `opening` is what its chat template opened."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        opened = OPENS_THOUGHT.search(encode_prompt(tokenizer, "x")[0])
        self.opening = opened.group().lstrip() if opened else ""
        special = getattr(tokenizer, "added_tokens_decoder", {}).items()
        self._marks = {
            number: token.content
            for number, token in special
            if token.special and THOUGHT_MARK.fullmatch(token.content)
        }

    def reply(self, ids: Sequence[int]) -> str:
        """The text of a reply from its first token on, with the mark that the template wrote."""
        return self.opening + self.text(ids)

    def text(self, ids: Sequence[int]) -> str:
        """The text of some tokens; special ones are left out but for the marks of a thought."""
        if not self._marks or not self._marks.keys() & set(ids):
            return self._decode(ids)
        parts, begin = [], 0
        for place, number in enumerate(ids):
            if number in self._marks:
                parts += [self._decode(ids[begin:place]), self._marks[number]]
                begin = place + 1
        return "".join([*parts, self._decode(ids[begin:])])

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
