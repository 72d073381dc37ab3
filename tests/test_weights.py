"""Weights that are missing, foreign, damaged or not finite: named in one line, never used."""

from __future__ import annotations

import json
import math
import os
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.judges.local import LocalJudge
from selene_lib.models.adapters import RECORD, read_record, weights_sha256
from selene_lib.prompts.rendering import Prompt
from selene_lib.training.run import train
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow


PROMPT = [Prompt("good ``` bad", "classification", "t")]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    spec = TrainSpec(base_model=str(base), n_steps=2, batch_size=2, device="cpu", lora_r=2)
    return train(spec, make_pairs(4), tmp_path_factory.mktemp("run"), progress=False).adapter_dir


def judge(base, adapter=None):
    return LocalJudge(base, adapter=adapter, device="cpu", max_new_tokens=4)


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / folder.name)


def changed_weights(path, change):
    tensors = change(load_file(path))
    save_file(tensors, path, metadata={"format": "pt"})


def one_line(error) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_an_adapter_knows_its_base_in_any_precision(base, trained, tmp_path):
    assert read_record(trained)["base_sha256"] == weights_sha256(str(base))
    half = copied(base, tmp_path)
    changed_weights(
        half / "model.safetensors", lambda t: {k: v.to(torch.bfloat16) for k, v in t.items()}
    )
    assert weights_sha256(str(half)) == weights_sha256(str(base))
    assert judge(base, trained).judge(PROMPT)


def test_an_adapter_of_another_base_is_refused(base, trained, tmp_path):
    other = make_base(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="with other weights") as error:
        judge(other, trained)
    assert "train again" in one_line(error)


def test_an_adapter_without_a_record_loads_with_one_warning(base, trained, tmp_path, caplog):
    old = copied(trained, tmp_path)
    (old / RECORD).unlink()
    judge(base, old)
    assert [r.levelname for r in caplog.records if "which base" in r.getMessage()] == ["WARNING"]


def test_one_flipped_bit_of_an_adapter_or_of_its_record_is_found(base, trained, tmp_path):
    for number, name in enumerate(("adapter_model.safetensors", "adapter_config.json", RECORD)):
        bad = copied(trained, tmp_path / str(number))
        data = bytearray((bad / name).read_bytes())
        scale = data.find(b'"lora_alpha": ') + len(b'"lora_alpha": ')
        place = scale if name == "adapter_config.json" else len(data) - 6
        data[place] ^= 1
        (bad / name).write_bytes(data)
        with pytest.raises(UserError, match=r"damaged|does not fit") as error:
            judge(base, bad)
        assert name in one_line(error)


@pytest.mark.parametrize("files", [[], None, "x", {"../elsewhere": "0"}])
def test_a_record_by_another_hand_names_no_file_to_open(base, trained, tmp_path, files):
    other = copied(trained, tmp_path)
    record = {k: v for k, v in json.loads((other / RECORD).read_text()).items() if k != "checksum"}
    (other / RECORD).write_text(json.dumps({**record, "files": files}))
    assert judge(base, other).judge(PROMPT)


@pytest.mark.parametrize("change", [{"r": 0}, {"lora_alpha": "x"}, {"target_modules": 5}, None])
def test_an_adapter_configuration_of_another_shape_is_named(base, trained, tmp_path, change):
    bad = copied(trained, tmp_path)
    config = json.loads((bad / "adapter_config.json").read_text())
    (bad / "adapter_config.json").write_text(json.dumps(config | change if change else []))
    with pytest.raises(UserError, match="does not fit the model") as error:
        judge(base, bad)
    one_line(error)


def renamed(tensors):
    return {key.replace("layers.0", "layers.7"): value for key, value in tensors.items()}


def fewer(tensors):
    return dict(list(tensors.items())[2:])


@pytest.mark.parametrize("change", [renamed, fewer])
def test_an_adapter_whose_weights_have_no_place_is_refused(base, trained, tmp_path, change):
    bad = copied(trained, tmp_path)
    changed_weights(bad / "adapter_model.safetensors", change)
    with pytest.raises(UserError, match="does not match the model") as error:
        judge(base, bad)
    one_line(error)


def test_an_adapter_with_narrowed_targets_is_refused(base, trained, tmp_path):
    bad = copied(trained, tmp_path)
    config = json.loads((bad / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj"]
    (bad / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="have no place"):
        judge(base, bad)


def test_an_adapter_that_is_not_whole_or_not_finite_is_refused(base, trained, tmp_path):
    bad = copied(trained, tmp_path)
    weights = bad / "adapter_model.safetensors"
    changed_weights(weights, lambda t: {k: v * math.nan for k, v in t.items()})
    with pytest.raises(UserError, match="not finite"):
        judge(base, bad)
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(UserError, match="damaged") as error:
        judge(base, bad)
    one_line(error)
    weights.unlink()
    with pytest.raises(UserError, match="no weights"):
        judge(base, bad)
    with pytest.raises(UserError, match="no adapter in"):
        judge(base, tmp_path)


def test_a_base_that_is_not_whole_or_not_finite_is_refused(base, trained, tmp_path):
    bad = copied(base, tmp_path)
    weights = bad / "model.safetensors"
    changed_weights(weights, lambda t: {k: v * math.nan for k, v in t.items()})
    with pytest.raises(UserError, match="logits are not finite"):
        judge(bad).judge(PROMPT)
    spec = TrainSpec(base_model=str(bad), n_steps=1, batch_size=2, device="cpu")
    with pytest.raises(UserError, match="logits are not finite"):
        train(spec, make_pairs(4), tmp_path / "run", progress=False)
    changed_weights(weights, lambda t: dict(list(t.items())[:-1]))
    with pytest.raises(UserError, match="1 of its weights are in none of its files") as error:
        judge(bad)
    one_line(error)
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(UserError, match="cannot load model") as error:
        judge(bad)
    one_line(error)
    with pytest.raises(UserError, match="is an adapter, no model"):
        judge(trained)


@pytest.mark.parametrize("extra", ["layer", "tensor"])
def test_weights_without_a_place_in_the_configuration_are_refused(base, tmp_path, extra):
    bad = copied(base, tmp_path)
    if extra == "layer":
        config = json.loads((bad / "config.json").read_text()) | {"num_hidden_layers": 1}
        (bad / "config.json").write_text(json.dumps(config))
    else:
        changed_weights(
            bad / "model.safetensors", lambda t: t | {"model.layers.0.gate.bias": torch.ones(3)}
        )
    spec = TrainSpec(base_model=str(bad), n_steps=1, batch_size=2, device="cpu")
    number = {"layer": 9, "tensor": 1}[extra]
    for use in (judge, lambda _: train(spec, make_pairs(4), tmp_path / "run", progress=False)):
        with pytest.raises(UserError, match=f"no place for {number} of the weights") as error:
            use(bad)
        one_line(error)


def test_stored_buffers_and_a_head_that_is_the_embedding_are_no_weights_too_many(base, tmp_path):
    old = copied(base, tmp_path)
    names = ("model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.attn.masked_bias")
    changed_weights(
        old / "model.safetensors", lambda t: t | {name: torch.ones(1) for name in names}
    )
    assert judge(old).judge(PROMPT)


ODD_FILES = {
    "config.json": [
        "[]",
        "null",
        {"num_attention_heads": 0},
        {"vocab_size": "64"},
        {"dtype": "float99"},
        {"rms_norm_eps": "x"},
        {"pad_token_id": 999},
    ],
    "tokenizer_config.json": ["[]", "{", {"model_max_length": "x"}, {"eos_token": 5}],
    "generation_config.json": ["[]", "null"],
    "special_tokens_map.json": ["[]"],
    "model.safetensors.index.json": ["[]"],
}


@pytest.mark.parametrize(
    ("file", "change"), [(file, change) for file, some in ODD_FILES.items() for change in some]
)
def test_a_file_of_another_shape_is_named(base, tmp_path, file, change):
    bad = copied(base, tmp_path)
    if isinstance(change, dict):
        change = json.dumps(json.loads((bad / file).read_text()) | change)
    (bad / file).write_text(change)
    with pytest.raises(UserError, match=rf"cannot load model .*{file}") as error:
        judge(bad)
    one_line(error)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("config.json", os.mkdir),
        ("config.json", os.mkfifo),
        ("model.safetensors", os.mkfifo),
        ("tokenizer.json", os.mkfifo),
    ],
)
def test_a_folder_or_pipe_in_place_of_a_file_is_named(base, tmp_path, name, make):
    bad = copied(base, tmp_path)
    (bad / name).unlink()
    make(bad / name)
    with pytest.raises(UserError, match=rf"its {name} (is no file|holds no JSON object)"):
        judge(bad)


def test_a_tokenizer_of_a_larger_model_is_named(tmp_path):
    small = make_base(tmp_path / "small", vocab_size=32, hidden=32)
    spec = TrainSpec(base_model=str(small), n_steps=1, batch_size=2, device="cpu")
    with pytest.raises(UserError, match=r"gives token \d+, but the model knows 32 tokens"):
        train(spec, make_pairs(4), tmp_path / "run", progress=False)


def test_steps_without_end_are_refused(base, tmp_path):
    spec = TrainSpec(base_model=str(base), n_epochs=1e9, batch_size=2, device="cpu")
    with pytest.raises(UserError, match=r"2000000000 steps of 2 pairs .* lower n_steps"):
        train(spec, make_pairs(4), tmp_path / "run", progress=False)


TEMPLATES = {
    None: "no chat template",
    "{% for m in messages %}{{ m['role'] }}{% endfor %}": "leaves the user message out",
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('system first') }}{% endif %}"
    "{{ messages[0]['content'] }}": "without a system message",
    "{{ messages[0]['content'": "without a system message",
    "{% for i in range(100000000) %}{% endfor %}": "Range too big",
    "{{ 1 / 0 }}": "division by zero",
}


@pytest.mark.parametrize(("template", "message"), TEMPLATES.items())
def test_a_chat_template_that_shows_no_prompt_is_refused(base, tmp_path, template, message):
    bad = copied(base, tmp_path)
    (bad / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((bad / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bad / "tokenizer_config.json").write_text(json.dumps(settings))
    if template is not None:
        (bad / "chat_template.jinja").write_text(template)
    with pytest.raises(UserError, match=message) as error:
        judge(bad)
    one_line(error)


def test_a_training_that_leaves_the_finite_stops_and_saves_nothing(base, tmp_path):
    spec = TrainSpec(
        base_model=str(base),
        n_steps=6,
        batch_size=2,
        device="cpu",
        learning_rate=1e30,
        schedule="constant",
        warmup_share=0.0,
        save_every_steps=1,
    )
    with pytest.raises(UserError, match=r"stopped at step \d: .* is not finite") as error:
        train(spec, make_pairs(6), tmp_path, progress=False)
    assert "learning_rate" in one_line(error)
    assert not (tmp_path / "adapter").exists() and not (tmp_path / "training.json").exists()
    for path in tmp_path.rglob("*.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(path).values())
    assert "nan" not in (tmp_path / "log.csv").read_text().lower()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("learning_rate", math.nan),
        ("learning_rate", -1e-4),
        ("learning_rate", 0),
        ("learning_rate", "fast"),
        ("alpha", math.nan),
        ("alpha", -1),
        ("beta", 0),
        ("beta", math.inf),
        ("lora_r", 0),
        ("lora_r", 2.5),
        ("batch_size", "8"),
        ("batch_size", True),
        ("n_steps", 0),
        ("n_epochs", 0),
        ("warmup_share", 1.5),
        ("max_length_tokens", 0),
        ("lora_targets", ""),
        ("lora_targets", "q_proj, v_proj"),
        ("base_model", None),
        ("base_model", "half \ud800"),
        ("revision", 5),
        ("reference_cache", "no\0name"),
        ("packing", "no"),
        ("report_to", 5),
    ],
)
def test_settings_that_cannot_train_are_refused_by_name(setting, value):
    with pytest.raises(UserError, match=f"^{setting} is") as error:
        TrainSpec.from_dict({"base_model": "x", setting: value})
    one_line(error)


def test_unknown_layers_are_named_before_anything_is_loaded(base, tmp_path):
    spec = TrainSpec(base_model=str(base), device="cpu", lora_targets="q_proj,nose")
    with pytest.raises(UserError, match=r"no layer 'nose'.*q_proj"):
        train(spec, make_pairs(4), tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rejected": "same", "chosen": "same"}, "the same text"),
        ({"chosen": " \n"}, "chosen text is empty"),
        ({"rejected": ""}, "rejected text is empty"),
        ({"prompt": ""}, "prompt text is empty"),
        ({"chosen": None}, r"chosen is no text \(NoneType\)"),
        ({"rejected": 5}, r"rejected is no text \(int\)"),
        ({"prompt": "half \ud800"}, "prompt text holds a NUL.*no characters"),
        ({"meta": {"elastic": [5]}}, "no list of .start, end. within the prompt"),
    ],
)
def test_pairs_that_teach_nothing_are_refused(tmp_path, change, message):
    pairs = make_pairs(3)
    pairs[1] = replace(pairs[1], **change)
    with pytest.raises(UserError, match=f"1 of 3 pairs .*{message} .first pair-0-1"):
        train(TrainSpec(base_model="/nowhere"), pairs, tmp_path)
    with pytest.raises(UserError, match=f"1 of 3 held-out pairs .*{message} .first pair-0-1"):
        train(TrainSpec(base_model="/nowhere"), make_pairs(3, seed=1), tmp_path, pairs)
    with pytest.raises(UserError, match="no preference pairs"):
        train(TrainSpec(base_model="/nowhere"), [], tmp_path)


def test_pairs_without_a_name_are_counted(tmp_path):
    odd = [*make_pairs(1), replace(make_pairs(1)[0], id="\udfff"), {"prompt": "x"}]
    with pytest.raises(UserError, match=r"the id text holds a NUL.*\(first number 2"):
        train(TrainSpec(base_model="/nowhere"), odd, tmp_path)
    with pytest.raises(UserError, match=r"a dict is no PreferencePair \(first number 3"):
        train(TrainSpec(base_model="/nowhere"), [odd[0], odd[0], odd[2]], tmp_path)


def test_what_is_no_list_of_pairs_is_refused(tmp_path):
    for odd in (iter(make_pairs(2)), "pairs", {"prompt": "x"}, 5):
        with pytest.raises(UserError, match="pairs are a list of PreferencePair, not a"):
            train(TrainSpec(base_model="/nowhere"), odd, tmp_path)
        with pytest.raises(UserError, match="pairs are a list of PreferencePair, not a"):
            train(TrainSpec(base_model="/nowhere"), make_pairs(2), tmp_path, odd)


def test_held_out_pairs_that_are_trained_on_are_refused(tmp_path):
    pairs, held_out = make_pairs(3), make_pairs(2, seed=1)
    renamed = replace(pairs[1], id="again")
    turned = replace(renamed, chosen=renamed.rejected, rejected=renamed.chosen)
    for one in (renamed, turned):
        with pytest.raises(UserError, match=r"1 of 3 held-out pairs are trained on .*first again"):
            train(TrainSpec(base_model="/nowhere"), pairs, tmp_path, [*held_out, one])
    with pytest.raises(UserError, match="base_model /nowhere: no such folder"):
        train(TrainSpec(base_model="/nowhere"), pairs, tmp_path, held_out)
