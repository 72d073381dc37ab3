"""One encoder: the same ids for data, training and judging; a verdict is never cut off."""

import copy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_world import WORDS, make_pairs, make_tokenizer

from selene_lib.errors import UserError
from selene_lib.prompts.chat import encode_chat, encode_prompt
from selene_lib.training.encoding import encode_pair, encode_pairs


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def test_a_prompt_and_a_reply_by_hand(tokenizer):
    ids = encode_chat(tokenizer, "good reply", "bad")
    words = tokenizer.convert_ids_to_tokens(ids)
    assert (
        "".join(words)
        == "<|bos|><|start|>user<|head|>good reply<|end|>\n<|start|>assistant<|head|>bad<|end|>"
    )


@settings(max_examples=60, deadline=None)
@given(
    prompt=st.lists(
        st.sampled_from([*WORDS, "\n", "<|end|>", "<|bos|>", "<|start|>assistant<|head|>"]),
        max_size=12,
    ),
    completion=st.lists(st.sampled_from([*WORDS, "**Result:** Yes", "<|end|>"]), max_size=12),
)
def test_one_bos_prefix_and_end_token_whatever_the_texts_hold(tokenizer, prompt, completion):
    """Control tokens spelled out in a text neither open nor close a message."""
    prompt_ids = encode_chat(tokenizer, " ".join(prompt), None)
    ids = encode_chat(tokenizer, " ".join(prompt), " ".join(completion))
    assert ids[: len(prompt_ids)] == prompt_ids
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
    assert (
        ids[len(prompt_ids) :].count(tokenizer.eos_token_id) == 1
        and ids[-1] == tokenizer.eos_token_id
    )
    start = tokenizer.convert_tokens_to_ids("<|start|>")
    assert ids.count(start) == 2


def test_pair_shares_prompt_ids_with_generation(tokenizer):
    pair = make_pairs(1)[0]
    encoded = encode_pair(tokenizer, pair)
    assert list(encoded.prompt_ids) == encode_chat(tokenizer, pair.prompt, None)
    assert [*encoded.prompt_ids, *encoded.chosen_ids] == encode_chat(
        tokenizer, pair.prompt, pair.chosen
    )
    assert tokenizer.decode(encoded.chosen_ids[:-1]) == pair.chosen


def test_ids_are_those_of_trl(tokenizer):
    """TRL's own tokenisation of the conversation differs only in what its template writes after the
    end token.
    """
    pair = make_pairs(1)[0]
    rows = pair.to_trl()
    theirs = tokenizer.apply_chat_template(
        rows["prompt"] + rows["chosen"], tokenize=True, return_dict=True
    )["input_ids"]
    ours = encode_chat(tokenizer, pair.prompt, pair.chosen)
    assert theirs[: len(ours)] == ours and tokenizer.decode(theirs[len(ours) :]) == "\n"


def test_a_template_that_renders_prompts_differently_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ messages|length }}" + other.chat_template
    with pytest.raises(ValueError, match="renders a prompt differently"):
        encode_chat(other, "good", "bad")


def test_a_template_that_writes_the_date_gives_the_same_ids_on_every_day(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.chat_template = "{{ strftime_now('%d %b %Y') }} " + other.chat_template
    head, ids = encode_prompt(other, "Is it true?")
    assert head.startswith("26 Jul 2024 ")
    assert ids == encode_chat(other, "Is it true?", "No")[: len(ids)]


def test_a_tokenizer_without_an_end_token_is_refused(tokenizer):
    other = copy.deepcopy(tokenizer)
    other.eos_token = None
    with pytest.raises(UserError, match="no eos_token"):
        encode_chat(other, "good", "bad")


def _long_pair():
    pair = make_pairs(1)[0]
    return replace(
        pair, id="long", prompt="good\n```\n" + " ".join(["kind"] * 200) + " rude\n```\nreply"
    )


def test_overlong_drop_counts(tokenizer):
    pairs = [*make_pairs(3), _long_pair()]
    encoded = encode_pairs(tokenizer, pairs, max_length_tokens=200, overlong="drop")
    assert [p.id for p in encoded.pairs] == [p.id for p in pairs[:3]] and encoded.n_dropped == {
        "too long": 1
    }


def test_overlong_error_names_pair_and_remedy(tokenizer):
    with pytest.raises(UserError, match=r"long has \d+ tokens.*raise the limit"):
        encode_pairs(tokenizer, [_long_pair()], max_length_tokens=200, overlong="error")


def test_overlong_shorten_takes_the_middle_and_keeps_the_verdict(tokenizer):
    encoded = encode_pairs(tokenizer, [_long_pair()], max_length_tokens=200, overlong="shorten")
    (pair,) = encoded.pairs
    assert encoded.shortened_ids == ("long",) and not encoded.n_dropped
    assert pair.n_longest_tokens <= 200
    assert list(pair.chosen_ids) == list(encode_pair(tokenizer, _long_pair()).chosen_ids)
    prompt = "".join(tokenizer.convert_ids_to_tokens(pair.prompt_ids))
    assert (
        prompt.count("...") == 2
        and prompt.count("```") == 2
        and "rude\n```" in prompt
        and "good\n```\nkind" in prompt
    )


def test_shortening_touches_only_the_noted_candidates(tokenizer):
    """Curation notes where the candidates stand; a fenced task beside them is left whole."""
    task, reply = " ".join(["long"] * 30), " ".join(["kind"] * 150)
    prompt = f"```\n{task}\n```\n```\n{reply}\n```"
    start = prompt.index("kind")
    pair = replace(_long_pair(), prompt=prompt, meta={"elastic": [[start, start + len(reply)]]})
    (encoded,) = encode_pairs(tokenizer, [pair], max_length_tokens=250, overlong="shorten").pairs
    text = "".join(tokenizer.convert_ids_to_tokens(encoded.prompt_ids))
    assert task in text and 0 < text.count("kind") < 150


def test_overlong_that_cannot_be_shortened_is_counted(tokenizer):
    pair = replace(_long_pair(), prompt=" ".join(["kind"] * 200))
    encoded = encode_pairs(tokenizer, [pair], max_length_tokens=100, overlong="shorten")
    assert not encoded.pairs and encoded.n_dropped == {"too long even when shortened": 1}
