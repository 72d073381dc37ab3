"""One encoder: the same ids for data, training and judging; a verdict is never cut off."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_world import WORDS, make_pairs, make_tokenizer

from selene_lib.errors import UserError
from selene_lib.prompts.chat import encode_chat, encode_prompt
from selene_lib.training import encoded_store
from selene_lib.training.encoded_store import encode_once, encoding_key
from selene_lib.training.encoding import EncodedPairs, encode_pair, encode_pairs


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


# ---- many pairs, on disk


def test_pairs_of_one_flat_array_are_the_pairs_that_went_in(tokenizer):
    made = [encode_pair(tokenizer, pair) for pair in make_pairs(5)]
    flat = EncodedPairs.of(made)
    assert list(flat) == made and flat[-1] == made[-1] and flat[1:3] == made[1:3]
    assert flat[0] != replace(made[0], chosen_ids=made[0].chosen_ids[::-1])
    assert flat.tokens.nbytes == 4 * sum(pair.n_shared_tokens for pair in made)
    with pytest.raises(IndexError):
        flat[5]


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_set_is_encoded_once_and_read_back(tokenizer, tmp_path, monkeypatch, n_jobs):
    pairs = [*make_pairs(6), _long_pair()]
    limits = {"max_length_tokens": 200, "overlong": "shorten"}
    plain = encode_pairs(tokenizer, pairs, **limits)
    monkeypatch.setattr(encoded_store, "PAIRS_A_PART", 3)  # several parts
    made = encode_once(tokenizer, pairs, tmp_path, n_jobs=n_jobs, **limits)
    (place,) = tmp_path.iterdir()
    monkeypatch.setattr(encoded_store, "encode_pairs", None)  # it would be called in vain
    for found in (made, encode_once(tokenizer, pairs, tmp_path, **limits)):
        assert list(found.pairs) == list(plain.pairs) and found.shortened_ids == ("long",)
        assert isinstance(found.pairs.tokens, np.memmap)
    monkeypatch.undo()
    (place / "tokens.bin").write_bytes(b"\0" * (place / "tokens.bin").stat().st_size)
    again = encode_once(tokenizer, pairs, tmp_path, **limits)
    assert list(again.pairs) == list(plain.pairs), "a damaged set is made again"


@pytest.mark.parametrize("what", ["limit", "text", "spans", "template"])
def test_another_input_is_another_set(tokenizer, what):
    pairs, other = make_pairs(2), copy.deepcopy(tokenizer)
    before = encoding_key(tokenizer, pairs, 200, "drop")
    limit = 201 if what == "limit" else 200
    if what == "text":
        pairs[1] = replace(pairs[1], rejected=pairs[1].rejected + " rude")
    if what == "spans":
        pairs[1] = replace(pairs[1], meta={"elastic": [[0, 3]]})
    if what == "template":
        other.chat_template = "{# new #}" + other.chat_template
    assert encoding_key(other, pairs, limit, "drop") != before


def test_no_pair_is_a_set_too(tokenizer, tmp_path):
    found = encode_once(tokenizer, [], tmp_path, max_length_tokens=200)
    assert len(found.pairs) == 0 and not found.n_dropped
