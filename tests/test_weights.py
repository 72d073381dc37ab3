"""Weights that are missing, foreign, damaged or not finite: named in one line, never used."""

from __future__ import annotations

import json
import math
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


TEMPLATES = {
    None: "no chat template",
    "{% for m in messages %}{{ m['role'] }}{% endfor %}": "leaves the user message out",
    "{% if messages[0]['role'] != 'system' %}{{ raise_exception('system first') }}{% endif %}"
    "{{ messages[0]['content'] }}": "without a system message",
    "{{ messages[0]['content'": "without a system message",
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
    ],
)
def test_pairs_that_teach_nothing_are_refused(tmp_path, change, message):
    pairs = make_pairs(3)
    pairs[1] = replace(pairs[1], **change)
    with pytest.raises(UserError, match=f"1 of 3 pairs .*{message} .first pair-0-1"):
        train(TrainSpec(base_model="/nowhere"), pairs, tmp_path)
    with pytest.raises(UserError, match="no preference pairs"):
        train(TrainSpec(base_model="/nowhere"), [], tmp_path)
