"""An adapter on the upper layers only, with the states below it computed once: the same numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.training.encoding import encode_pairs
from selene_lib.training.model import open_for_training
from selene_lib.training.reference import live_logps, reference_logps
from selene_lib.training.run import train
from selene_lib.training.spec import TrainSpec
from selene_lib.training.trainer import losses_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"), layers=4)


def spec_of(base, **changes) -> TrainSpec:
    settings = {"lora_first_layer": 2, "n_steps": 6, "batch_size": 4, "learning_rate": 5e-3}
    return TrainSpec(base_model=str(base), max_length_tokens=256, **{**settings, **changes})


def losses_and_gradients(base, pairs, **changes):
    loaded = open_for_training(spec_of(base, **changes))
    encoded = encode_pairs(loaded.tokenizer, pairs, max_length_tokens=256).pairs
    torch.manual_seed(0)
    for name, weight in loaded.model.named_parameters():
        if "lora_B" in name:  # a fresh adapter has zeros here, which would hide the layers above
            weight.data.normal_(std=0.1)
    zeros = torch.zeros(len(encoded), 2)
    losses = losses_of(loaded.model, loaded, loaded.spec, encoded, zeros, device="cpu")
    losses.total.sum().backward()
    gradients = {n: p.grad for n, p in loaded.model.named_parameters() if p.grad is not None}
    return losses.total.detach(), gradients


@pytest.mark.parametrize("layout", ["shared_prefix", "pairs"])
def test_kept_states_change_no_number(base, layout):
    pairs = make_pairs(5)
    plain, plain_gradients = losses_and_gradients(base, pairs, layout=layout)
    kept, kept_gradients = losses_and_gradients(base, pairs, layout=layout, keep_frozen_states=True)
    torch.testing.assert_close(kept, plain, rtol=1e-5, atol=1e-5)
    assert set(kept_gradients) == set(plain_gradients) and kept_gradients
    for name, gradient in plain_gradients.items():
        torch.testing.assert_close(kept_gradients[name], gradient, rtol=1e-3, atol=1e-5)


def test_states_of_several_threads_are_those_of_one_to_the_bit(base):
    loaded = open_for_training(spec_of(base, keep_frozen_states=True))
    pairs = encode_pairs(loaded.tokenizer, make_pairs(24), max_length_tokens=256).pairs
    found, n_threads = {}, torch.get_num_threads()
    try:
        for n in (1, 4):
            torch.set_num_threads(n)
            loaded.frozen._kept.clear()
            found[n] = loaded.frozen.of_pairs(pairs)
            assert torch.get_num_threads() == n, "the threads keep their setting to themselves"
    finally:
        torch.set_num_threads(n_threads)
    assert all(torch.equal(one, other) for one, other in zip(found[1], found[4]))
    assert len(loaded.model.get_decoder().layers) == 4, "the decoder is whole again"


def test_only_the_upper_layers_get_an_adapter(base):
    model = open_for_training(spec_of(base)).model
    adapted = {
        name.split("layers.")[1][0] for name, _ in model.named_parameters() if "lora" in name
    }
    assert adapted == {"2", "3"}
    assert not any("lm_head" in name for name, _ in model.named_parameters() if "lora" in name)


def test_a_run_with_kept_states_ends_where_the_plain_one_ends(base, tmp_path):
    pairs, held_out = make_pairs(12), make_pairs(4, seed=9)
    logs = {}
    for kept in (False, True):
        spec = spec_of(base, keep_frozen_states=kept)
        result = train(spec, pairs, tmp_path / str(kept), held_out)
        logs[kept] = pd.read_csv(result.log_path)
        assert json.loads((tmp_path / str(kept) / "training.json").read_text())["validation"]
    assert logs[True]["loss"].iloc[-1] < logs[True]["loss"].iloc[0], "it learns"
    columns = ["loss", "dpo", "nll", "margin"]
    pd.testing.assert_frame_equal(logs[True][columns], logs[False][columns], rtol=1e-3, atol=1e-4)
    names = (tmp_path / "True" / "adapter" / "adapter_config.json").read_text()
    assert json.loads(names)["layers_to_transform"] == [2, 3], "names are those of the whole model"


def test_a_reference_that_lost_some_rows_is_filled_with_the_same_values(base, tmp_path):
    def values(rows_left=None):
        if rows_left is not None:
            (cache,) = tmp_path.glob("*.jsonl")
            lines = cache.read_text().splitlines(keepends=True)
            cache.write_text("".join(lines[i] for i in rows_left))
        loaded = open_for_training(spec_of(base, keep_frozen_states=True))
        encoded = encode_pairs(loaded.tokenizer, make_pairs(20), max_length_tokens=256).pairs
        plain = live_logps(open_for_training(spec_of(base)), encoded)
        return reference_logps(loaded, encoded, tmp_path), plain

    whole, plain = values()
    assert np.abs(whole - plain).max() < 1e-3
    for rows_left in (range(5), [0, 9, 17], range(8, 19)):
        again, _ = values(rows_left)
        assert np.array_equal(whole, again)
    (cache,) = tmp_path.glob("*.jsonl")
    assert len(cache.read_text().splitlines()) == 20, "each pair once"


def test_the_adapter_judges_like_any_other(base, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    result = train(spec_of(base, keep_frozen_states=True), make_pairs(12), tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.arange(3, 20)[None]
    before = plain(ids).logits
    after = PeftModel.from_pretrained(plain, str(result.adapter_dir))(ids).logits
    assert (after - before).abs().max() > 1e-3


def test_what_cannot_be_is_said(base):
    with pytest.raises(UserError, match="lora_first_layer over 0"):
        spec_of(base, lora_first_layer=0, keep_frozen_states=True)
    with pytest.raises(UserError, match="0 to 3"):
        open_for_training(replace(spec_of(base), lora_first_layer=9))
