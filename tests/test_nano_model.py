"""The tokenizer and the shipped base model.

Exact round trips, one BOS, hashes, and replies that keep the format.
"""

import hashlib
import json

import pytest

from selene_lib import nano
from selene_lib.prompts.chat import encode_chat
from selene_lib.prompts.rendering import render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS

pytestmark = pytest.mark.slow


transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tokenizer():
    return transformers.AutoTokenizer.from_pretrained(nano.base_path())


def samples(n=40):
    made = [s for name in nano.NANO_SOURCES for s in nano.make_source(name, n, seed=0)]
    made += [s for name in nano.NANO_SETS for s in nano.make_set(name, n, seed=0)]
    return made + [s for name in nano.NANO_DOMAINS for s in nano.make_domain(name, n, seed=0)]


def test_round_trip_is_exact_on_all_prompts_and_critiques_and_they_are_short(tokenizer):
    for sample in samples():
        for critique in (True, False):
            prompt = render(sample, family="nano", critique=critique).text
            ids = tokenizer.encode(prompt, add_special_tokens=False)
            assert tokenizer.decode(ids) == prompt
            assert len(ids) <= 120
        for label in LABELS[sample.task]:
            reply = nano.teacher_critique(sample, label, seed=0)
            ids = tokenizer.encode(reply, add_special_tokens=False)
            assert tokenizer.decode(ids) == reply
            assert 10 <= len(ids) <= 90


@pytest.mark.parametrize(
    "text",
    [
        "日本語 🙂 naïve",
        "a\r\n\t  b",
        "def f(x):\n    return x**2  # ünï",
        "",
        "**Result:** 5\n\n**Result:**",
        "12345.678",
    ],
)
def test_any_text_comes_back_exactly(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_every_word_of_the_world_is_one_token(tokenizer):
    from selene_lib.nano.tokenizer import world_words

    assert all(
        len(tokenizer.encode(f" {word}", add_special_tokens=False)) == 1 for word in world_words()
    )


def test_one_bos_and_the_end_token_after_the_reply(tokenizer):
    sample = nano.make_set("nano-pairwise", 1, seed=0)[0]
    ids = encode_chat(
        tokenizer, render(sample, family="nano").text, nano.teacher_critique(sample, "A", seed=0)
    )
    assert ids.count(tokenizer.bos_token_id) == 1 and ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.eos_token_id) == 1 and ids[-1] == tokenizer.eos_token_id


def test_tokenizer_is_what_the_script_builds(tokenizer):
    from selene_lib.nano.tokenizer import build_tokenizer

    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_shipped_files_have_their_hashes_and_are_small():
    lines = (nano.base_path() / "SHA256SUMS").read_text().splitlines()
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_log.csv",
    } <= {x.split()[1] for x in lines}
    for line in lines:
        digest, name = line.split()
        content = (nano.base_path() / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, name
        assert len(content) < 10_000_000


def test_linear_layers_suit_four_bit_quantisation():
    config = json.loads((nano.base_path() / "config.json").read_text())
    widths = (
        config["hidden_size"],
        config["intermediate_size"],
        config["vocab_size"],
        config["head_dim"] * config["num_attention_heads"],
    )
    assert all(width % 32 == 0 for width in widths)
    assert config["max_position_embeddings"] >= 4096


def test_base_keeps_the_reply_format(tokenizer):
    import torch

    model = transformers.AutoModelForCausalLM.from_pretrained(
        nano.base_path(), dtype=torch.float32
    ).eval()
    items = [
        s
        for name in ("nano-absolute", "nano-classification", "nano-pairwise")
        for s in nano.make_set(name, 17, seed=9)
    ][:50]
    n_malformed = 0
    for sample in items:
        ids = torch.tensor([encode_chat(tokenizer, render(sample, family="nano").text, None)])
        with torch.no_grad():
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=100,
                do_sample=False,
            )[0, ids.shape[1] :]
        n_malformed += (
            parse_verdict(tokenizer.decode(out, skip_special_tokens=True), sample.task).status
            != "value"
        )
    assert n_malformed <= 1


def test_pretraining_by_steps_is_repeatable_and_keeps_a_log(tmp_path):
    from selene_lib.nano.pretrain import PretrainSpec, pretrain

    spec = PretrainSpec(hidden=64, n_layers=2, n_heads=2, head_dim=32, n_steps=3, batch_documents=4)
    for name in ("one", "two"):
        pretrain(spec, tmp_path / name)
    digests = {
        hashlib.sha256((tmp_path / name / "model.safetensors").read_bytes()).hexdigest()
        for name in ("one", "two")
    }
    assert len(digests) == 1
    log = (tmp_path / "one" / "training_log.csv").read_text().splitlines()
    assert log[0].startswith("step,minutes,n_tokens") and log[-1].startswith("3,")


def test_wired_heads_look_up_before_any_training():
    import torch

    from selene_lib.nano.pretrain import PretrainSpec, build_model
    from selene_lib.nano.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    model = build_model(PretrainSpec(), len(tokenizer), tokenizer)
    text = " Describe corn, ladder, toad.\nResponse: parlour blue, ladder bright, toad dark.\n"
    text += "Rubric: each item described Items: toad"
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
    words = tokenizer.convert_ids_to_tokens(ids[0])
    attention = model(input_ids=ids, output_attentions=True).attentions
    assert attention[0][0, 0, -1].argmax() == len(words) - 2
    assert attention[0][0, 1, -1].argmax() == len(words) - 3
    followers = {words[i] for i in attention[1][0, 0, -1].topk(2).indices.tolist()}
    assert followers == {"Ġdark", "."}, "what followed the two earlier mentions of toad"
    assert torch.isfinite(attention[1]).all()
