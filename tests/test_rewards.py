"""Reward models: the same score alone and in a batch, NaN stops, ArmoRM's head by hand, and a real
reward model of the embedded world.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from generators_world import make_samples, stub_teacher

from selene_lib.curation.critiques import as_shown, generate_critiques
from selene_lib.curation.filters import filter_reward
from selene_lib.curation.generators.teacher import TeacherGenerator
from selene_lib.curation.pairs import build_pairs
from selene_lib.curation.rewards.nano import NanoReward, teacher_examples
from selene_lib.curation.rewards.opening import open_reward
from selene_lib.curation.rewards.thresholds import (
    default_thresholds,
    reward_histogram,
    score_critiques,
    threshold_grid,
)
from selene_lib.errors import UserError

pytestmark = pytest.mark.slow

CHAT = "{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
CHAT += "{{ m['content'] }}<|eot_id|>{% endfor %}"
CHAT += "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"


class Length:
    """The longer the better: enough to follow a reward through the tables."""

    name, revision = "length", "1"

    def score(self, prompts, replies):
        return np.array([float(len(r)) for r in replies])


def tokenizer():
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    names = [*special, *"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ*:\n.'0123456789"]
    raw = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        unk_token="<unk>",
        eos_token="<|eot_id|>",
        additional_special_tokens=special[2:],
    )
    made.chat_template = CHAT
    return made


def llama_config(n_tokens: int, **more):
    from transformers import LlamaConfig

    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    return LlamaConfig(
        vocab_size=n_tokens, max_position_embeddings=256, pad_token_id=None, **sizes, **more
    )


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    import torch
    from transformers import LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("rm")
    words = tokenizer()
    torch.manual_seed(0)
    LlamaForSequenceClassification(llama_config(len(words), num_labels=1)).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


PROMPTS = ["is it good", "say a", "is it good", "one two three", "x", "say b"]
REPLIES = ["yes it is", "a", "no it is not at all", "four", "y", "c"]


def test_a_reply_scores_the_same_alone_and_in_a_batch(classifier):
    model = open_reward(str(classifier))
    together = model.score(PROMPTS, REPLIES)
    alone = np.array([model.score([p], [r])[0] for p, r in zip(PROMPTS, REPLIES)])
    assert np.abs(together - alone).max() < 1e-6
    assert np.abs(model.score(PROMPTS[::-1], REPLIES[::-1])[::-1] - together).max() < 1e-6
    assert len(np.unique(together.round(5))) == len(PROMPTS) and len(model.revision) == 16


def test_the_score_is_that_of_transformers_on_the_same_tokens(classifier):
    import torch
    from transformers import AutoModelForSequenceClassification

    from selene_lib.prompts.chat import encode_chat

    plain = AutoModelForSequenceClassification.from_pretrained(classifier)
    with torch.no_grad():
        expected = [
            plain(torch.tensor([encode_chat(tokenizer(), p, r)])).logits[0, 0].item()
            for p, r in zip(PROMPTS, REPLIES)
        ]
    assert open_reward(str(classifier)).score(PROMPTS, REPLIES) == pytest.approx(expected, abs=1e-6)


def test_nan_stops_and_long_chats_are_named(classifier, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for path in classifier.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"][0, 0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="gave nan to reply 0"):
        open_reward(str(broken)).score(PROMPTS, REPLIES)
    with pytest.raises(UserError, match="reads 256; filter by length first"):
        open_reward(str(classifier)).score(["x " * 200], ["y"])
    with pytest.raises(UserError, match="cannot load reward model"):
        open_reward(str(tmp_path / "nowhere"))


def test_a_classifier_with_many_outputs_is_refused(tmp_path):
    from transformers import LlamaForSequenceClassification

    words = tokenizer()
    LlamaForSequenceClassification(llama_config(len(words), num_labels=3)).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has 3 outputs"):
        open_reward(str(tmp_path))


def test_armo_head_by_its_published_formula(tmp_path):
    import torch
    from safetensors.torch import save_file
    from transformers import LlamaModel

    from selene_lib.prompts.chat import encode_chat

    words = tokenizer()
    torch.manual_seed(1)
    body = LlamaModel(llama_config(len(words))).eval()
    config = body.config.to_dict() | {
        "architectures": ["LlamaForRewardModelWithGating"],
        "model_type": "llama",
        "gating_temperature": 10,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    words.save_pretrained(tmp_path)
    head = {
        "regression_layer.weight": torch.randn(3, 16),
        "reward_transform_matrix": torch.randn(3, 3),
        "gating.logit_scale": torch.tensor([1.5]),
        "gating.layers.0.weight": torch.randn(8, 16),
        "gating.layers.0.bias": torch.randn(8),
        "gating.layers.1.weight": torch.randn(3, 8),
        "gating.layers.1.bias": torch.randn(3),
    }
    save_file(
        {**{f"model.{k}": v.contiguous() for k, v in body.state_dict().items()}, **head},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    model = open_reward(str(tmp_path))
    scores = model.score(PROMPTS, REPLIES)
    for prompt, reply, score in zip(PROMPTS, REPLIES, scores):
        ids = encode_chat(words, prompt, reply)
        with torch.no_grad():
            hidden = body(torch.tensor([ids])).last_hidden_state[0]
        n_prompt = len(encode_chat(words, prompt, None))
        turn = n_prompt - len(
            words.encode(
                "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                add_special_tokens=False,
            )
        )
        assert ids[turn] == words.eos_token_id
        inner = torch.relu(
            head["gating.layers.0.weight"] @ hidden[turn] + head["gating.layers.0.bias"]
        )
        gate = (
            torch.softmax(
                (head["gating.layers.1.weight"] @ inner + head["gating.layers.1.bias"]) / 10, 0
            )
            * 1.5
        )
        rewards = (head["regression_layer.weight"] @ hidden[-1]) @ head["reward_transform_matrix"]
        assert score == pytest.approx((gate * rewards).sum().item(), abs=1e-4)
    assert type(model).__name__ == "ArmoReward"
    save_file(
        {f"model.{k}": v.contiguous() for k, v in body.state_dict().items()},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(UserError, match=r"no tensor .gating\.layers\.0\.weight"):
        open_reward(str(tmp_path))


def test_rewards_follow_critiques_into_pairs_and_tables():
    samples = make_samples(60)
    critiques = generate_critiques(
        samples, TeacherGenerator(stub_teacher), store=None, seed=4
    ).critiques
    scored = score_critiques(samples, critiques, Length(), seed=4)
    assert [c.reward for c in scored] == [float(len(c.text)) for c in critiques]
    pairs = build_pairs(samples, scored, seed=4)
    assert all(p.chosen_reward and p.rejected_reward for p in pairs)
    limits = default_thresholds(pairs, 0.25)
    assert list(limits) == [pairs[0].source]
    assert 44 <= len(filter_reward(pairs, limits).kept) <= 60
    assert sum(r["n"] for r in reward_histogram(pairs, n_bins=5)) == 120
    assert threshold_grid(pairs, [0.0, 0.5])[0] is None
    shown = [as_shown(sample, 4) for sample in samples]
    other = next(s for s in range(9) if [as_shown(x, s) for x in samples] != shown)
    with pytest.raises(ValueError, match="another seed"):
        score_critiques(samples, critiques, Length(), seed=other)


def test_a_nan_reward_stops_the_pipeline():
    class Broken(Length):
        def score(self, prompts, replies):
            return np.array([1.0, float("nan")] * (len(replies) // 2))

    samples = make_samples(3)
    critiques = generate_critiques(samples, TeacherGenerator(stub_teacher), store=None).critiques
    with pytest.raises(ValueError, match=f"reward of {critiques[1].id} is nan"):
        score_critiques(samples, critiques, Broken())


@pytest.fixture(scope="module")
def nano_reward() -> NanoReward:
    nano = pytest.importorskip("selene_lib.nano")
    names = [
        name
        for name, _ in nano.NANO_SOURCES.items()
        if name not in ("nano-poisoned", "nano-redundant")
    ]
    trusted = [s for name in names for s in nano.make_source(name, 90, seed=900_001)]
    return NanoReward.fit_teacher(trusted)


def test_the_nano_reward_tells_sound_critiques_from_unsound_ones_it_never_saw(nano_reward):
    from sklearn.metrics import roc_auc_score

    from selene_lib import nano

    names = [name for name in nano.NANO_SETS if not nano.make_set(name, 1, seed=5)[0].meta["ood"]]
    prompts, replies, sound = teacher_examples(
        [s for name in names for s in nano.make_set(name, 60, seed=5)]
    )
    scores = nano_reward.score(prompts, replies)
    assert roc_auc_score(sound, scores) > 0.85
    alone = [nano_reward.score([p], [r])[0] for p, r in zip(prompts[:20], replies[:20])]
    assert np.array_equal(alone, scores[:20]) or np.abs(np.array(alone) - scores[:20]).max() < 1e-12


def test_the_nano_reward_sees_the_poisoned_source(nano_reward):
    from selene_lib import nano

    rewards = {}
    for name in nano.NANO_SOURCES:
        samples = nano.make_source(name, 60, seed=3)
        found = generate_critiques(samples, TeacherGenerator(), store=None, family="nano").critiques
        scored = score_critiques(samples, found, nano_reward, family="nano")
        rewards[name] = np.mean([c.reward for c in scored if c.agrees]) - np.mean(
            [c.reward for c in scored if not c.agrees]
        )
    assert rewards["nano-poisoned"] < 0 < min(v for k, v in rewards.items() if k != "nano-poisoned")


def test_fitting_needs_both_kinds_and_nano_is_not_opened_by_name():
    with pytest.raises(ValueError, match="sound and unsound"):
        NanoReward.fit(["p"], ["**Reasoning:** x\n\n**Result:** A"], [True])
    with pytest.raises(UserError, match="fitted, not opened"):
        open_reward("nano")
    assert open_reward("none") is None
