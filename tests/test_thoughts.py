"""Replies that begin inside a thinking block: the draft is no verdict, whoever opened the block."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from selene_lib.judges.local import LocalJudge
from selene_lib.judges.probabilities import verdict_position
from selene_lib.prompts.thoughts import ReplyDecoder
from selene_lib.prompts.verdicts import parse_verdict

DRAFT = "First try.\n**Result:** 2\nHmm, too low.\n"


class Words:
    """A tokenizer whose tokens are words; its chat template ends as it is told."""

    bos_token = None
    bos_token_id = None
    name_or_path = "words"
    all_special_tokens = ()

    def __init__(self, ending: str, special: tuple[str, ...] = ("<eos>",)) -> None:
        self.ending, self.special = ending, special
        self.words: list[str] = list(special)
        self.added_tokens_decoder = {
            i: SimpleNamespace(content=word, special=True) for i, word in enumerate(special)
        }

    def apply_chat_template(self, messages, **_) -> str:
        return f"<user>{messages[0]['content']}</user><assistant>{self.ending}"

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return []

    def decode(self, ids, **_) -> str:
        return "".join(self.words[i] for i in ids if i >= len(self.special))

    def ids(self, *parts: str) -> list[int]:
        found = []
        for part in parts:
            if part not in self.words:
                self.words.append(part)
            found.append(self.words.index(part))
        return found


@pytest.mark.parametrize("opening", ["<think>\n", "<think>", "[THINK]", "<|START_THINKING|>"])
def test_a_block_that_the_template_opened_is_a_draft_until_it_is_closed(opening):
    closing = opening.strip().replace("START", "END")
    closing = closing if "END" in closing else f"{closing[0]}/{closing[1:]}"
    words = Words(opening)
    decoder = ReplyDecoder(words)
    cut = decoder.reply(words.ids(DRAFT))
    assert parse_verdict(cut, "absolute", finish_reason="length").status == "truncated"
    assert parse_verdict(cut, "absolute").status == "malformed"
    whole = decoder.reply(words.ids(DRAFT, closing, "\n\n**Result:** 4"))
    assert parse_verdict(whole, "absolute").value == "4"
    assert whole[verdict_position(whole)] == "4"
    undecided = decoder.reply(words.ids(DRAFT, closing, "\nI cannot decide."))
    assert parse_verdict(undecided, "absolute").value is None


def test_marks_that_are_special_tokens_stay_in_the_text():
    words = Words("", ("<eos>", "[THINK]", "[/THINK]"))
    decoder = ReplyDecoder(words)
    assert decoder.opening == ""
    ids = words.ids("[THINK]", DRAFT, "[/THINK]", "**Result:** 4", "<eos>")
    assert decoder.reply(ids) == f"[THINK]{DRAFT}[/THINK]**Result:** 4"
    assert parse_verdict(decoder.reply(ids), "absolute").value == "4"
    assert parse_verdict(decoder.reply(ids[:2]), "absolute").value is None
    assert decoder.reply(words.ids(DRAFT)) == DRAFT


def test_a_draft_does_not_end_a_reply():
    words, judge = Words("<think>\n"), object.__new__(LocalJudge)
    judge._decoder = ReplyDecoder(words)
    assert not judge._verdict_written(words.ids("**Result:** 2\n"))
    assert judge._verdict_written(words.ids("**Result:** 2\n", "</think>\n", "**Result:** 4\n"))
    plain = Words("")
    judge._decoder = ReplyDecoder(plain)
    assert judge._verdict_written(plain.ids("**Result:** 2\n"))


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (f"Okay, let me see. {DRAFT}", None),  # a served template may have opened the block
        (DRAFT + "So rather", None),
        ("**Reasoning:** fine\n\n**Result:** 2\nand so on", "2"),
        ("**Result:** 2\n\nThe answer is", "2"),
        ("Okay.\n**Result:** 2", "2"),
    ],
)
def test_a_cut_reply_out_of_form_that_went_on_may_be_a_draft(reply, value):
    found = parse_verdict(reply, "absolute", finish_reason="length")
    assert found.value == value and (found.status == "truncated") == (value is None)
    whole = parse_verdict(reply, "absolute", finish_reason="stop")
    assert whole.value == (None if "Hmm" in reply else "2"), "taken back in the same breath"


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("<think >", "</think >"),
        ("< think>", "< /think>"),
        ('<think step="1">', "</think>"),
        ("&lt;think&gt;", "&lt;/think&gt;"),
        (
            "<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ],
)
def test_odd_spellings_of_a_block_are_blocks(opening, closing):
    draft = f"{opening}**Result:** 2"
    assert parse_verdict(draft, "absolute", finish_reason="length").status == "truncated"
    assert parse_verdict(f"{draft}{closing}\n**Result:** 4", "absolute").value == "4"
    assert parse_verdict(f"{draft}</reasoning>**Result:** 4", "absolute").value is None or (
        "channel" in opening
    )
