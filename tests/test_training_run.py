"""Whole runs on the CPU: resume after a kill, refusals, the reference cache, out-of-memory
back-off, TRL, NF4, two processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.files import (
    append_jsonl,
    read_jsonl,
    read_proven,
    sha256_file,
    write_proven,
)
from selene_lib.models.loading import keep_4bit_weights_unpacked
from selene_lib.steps.train import train_arms
from selene_lib.training.checkpoints import all_checkpoints, latest_whole, remove_broken, seal
from selene_lib.training.encoding import encode_pairs
from selene_lib.training.model import open_for_training
from selene_lib.training.reference import live_logps, reference_logps
from selene_lib.training.run import train
from selene_lib.training.runlog import read_log
from selene_lib.training.several import read_training_file, train_in_processes, write_training_file
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"), hidden=32)


@pytest.fixture(scope="module")
def spec(base):
    return TrainSpec(
        base_model=str(base),
        n_steps=20,
        batch_size=4,
        lora_r=4,
        lora_dropout=0.1,
        learning_rate=1e-3,
        save_every_steps=5,
    )


@pytest.fixture(scope="module")
def straight(spec, tmp_path_factory):
    return train(
        spec,
        make_pairs(12),
        tmp_path_factory.mktemp("straight"),
        validation=make_pairs(3, seed=9),
        progress=False,
    )


KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import torch
torch.set_num_threads(1)
from training_world import make_pairs
from selene_lib.training.spec import TrainSpec
from selene_lib.training.run import train
from selene_lib.training.trainer import PairTrainer
plain = PairTrainer.training_step
def training_step(self, model, inputs, num_items_in_batch=None):
    if inputs["step"] == 13:  # after the checkpoint of step 10 and three more steps
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(self, model, inputs, num_items_in_batch)
PairTrainer.training_step = training_step
spec = TrainSpec.from_dict({spec!r})
train(spec, make_pairs(12), {out!r}, validation=make_pairs(3, seed=9), progress=False)
"""


def test_killed_and_continued_equals_straight_to_the_last_bit(spec, straight, tmp_path):
    program = KILLED.format(here=str(HERE), spec=spec.to_dict(), out=str(tmp_path / "run"))
    killed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert len(read_log(tmp_path / "run" / "log.csv")) == 13
    shutil.copytree(
        tmp_path / "run" / "checkpoint-10", tmp_path / "run" / "checkpoint-12"
    )  # a save that was cut short
    (tmp_path / "run" / "checkpoint-12" / "sealed.json").unlink()
    result = train(
        spec, make_pairs(12), tmp_path / "run", validation=make_pairs(3, seed=9), progress=False
    )
    assert result.resumed_from_step == 10
    assert result.log_path.read_bytes() == straight.log_path.read_bytes()
    assert sha256_file(result.adapter_dir) == sha256_file(straight.adapter_dir)
    assert result.validation == straight.validation


def test_a_run_learns_and_says_what_it_did(straight, spec):
    log = read_log(straight.log_path)
    assert list(log[0]) == [
        "step",
        "loss",
        "dpo",
        "nll",
        "margin",
        "reward_accuracy",
        "learning_rate",
    ]
    assert [int(row["step"]) for row in log] == list(range(1, 21))
    first = log[0]
    assert float(first["dpo"]) == pytest.approx(np.log(2), abs=1e-5) and float(
        first["margin"]
    ) == pytest.approx(0, abs=1e-4)
    assert float(first["loss"]) == pytest.approx(
        float(first["dpo"]) + float(first["nll"]), abs=1e-5
    )
    assert float(log[-1]["nll"]) < float(first["nll"]) and float(log[-1]["margin"]) > 0.05
    telemetry = read_log(straight.telemetry_path)
    assert all(
        float(row["tokens_per_second"]) > 0 and int(row["peak_memory_bytes"]) > 0
        for row in telemetry
    )
    assert (
        straight.n_pairs == 12
        and straight.n_dropped == {}
        and straight.decision["layout"] == "shared_prefix"
    )
    assert straight.n_trainable_parameters == sum(
        4 * (i + o)
        for i, o in 2 * [(32, 32), (32, 16), (32, 16), (32, 32), (32, 64), (32, 64), (64, 32)]
    )
    config = json.loads((straight.adapter_dir / "adapter_config.json").read_text())
    assert "/" not in config["base_model_name_or_path"]


def test_a_finished_run_is_read_back(straight, spec, monkeypatch):
    from selene_lib.training import run

    monkeypatch.setattr(run, "train_with_selene", lambda *a: pytest.fail("it trained again"))
    again = train(
        spec,
        make_pairs(12),
        straight.adapter_dir.parent,
        validation=make_pairs(3, seed=9),
        progress=False,
    )
    assert replace(again, resumed_from_step=straight.resumed_from_step) == straight


def test_other_settings_other_data_and_another_base_are_refused(straight, spec, tmp_path, base):
    folder = straight.adapter_dir.parent
    with pytest.raises(UserError, match=r"beta: 0.1 there, 0.2 here"):
        train(replace(spec, beta=0.2), make_pairs(12), folder, progress=False)
    with pytest.raises(UserError, match="other pairs: 12 there, 11 here"):
        train(spec, make_pairs(12)[:11], folder, progress=False)
    with pytest.raises(UserError, match="other pairs"):
        train(
            spec,
            [replace(p, chosen=p.chosen + " good") for p in make_pairs(12)],
            folder,
            progress=False,
        )
    shutil.copytree(folder, tmp_path / "run")
    other = make_base(tmp_path / "other", hidden=32, seed=1)
    identity = read_proven(tmp_path / "run" / "identity.json")
    identity["spec"]["base_model"] = str(other)
    write_proven(tmp_path / "run" / "identity.json", identity)
    with pytest.raises(UserError, match="other base weights"):
        train(
            replace(spec, base_model=str(other)), make_pairs(12), tmp_path / "run", progress=False
        )


def test_only_sealed_checkpoints_count(tmp_path):
    for step, whole in ((5, True), (10, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "optimizer.pt").write_text("state")
        if whole:
            seal(tmp_path / f"checkpoint-{step}")
    assert latest_whole(tmp_path).name == "checkpoint-5"
    remove_broken(tmp_path)
    assert [path.name for path in all_checkpoints(tmp_path)] == ["checkpoint-5"]


def test_reference_is_computed_once_checked_and_independent_of_the_company(
    spec, base, tmp_path, monkeypatch
):
    from selene_lib.training import reference

    loaded = open_for_training(spec)
    pairs = encode_pairs(loaded.tokenizer, make_pairs(6), max_length_tokens=400).pairs
    alone = reference_logps(loaded, pairs[3:4], tmp_path / "alone")
    values = reference_logps(loaded, pairs, tmp_path / "all")
    assert np.array_equal(alone, values[3:4])
    monkeypatch.setattr(
        reference, "_compute", lambda *a: pytest.fail("computed twice") if a[3] else None
    )
    assert np.array_equal(reference_logps(loaded, pairs[::-1], tmp_path / "all"), values[::-1])
    (path,) = (tmp_path / "all").glob("*.jsonl")
    rows = read_jsonl(path)
    path.unlink()
    append_jsonl(path, [{**row, "chosen": row["chosen"] - 1} for row in rows])
    with pytest.raises(UserError, match="delete the folder"):
        reference_logps(loaded, pairs, tmp_path / "all")


def test_what_another_arm_has_written_meanwhile_is_not_computed_again(spec, tmp_path, monkeypatch):
    from selene_lib.training import reference

    loaded = open_for_training(spec)
    pairs = encode_pairs(loaded.tokenizer, make_pairs(9), max_length_tokens=400).pairs
    values = reference_logps(loaded, pairs, tmp_path / "other")
    (whole,) = (tmp_path / "other").glob("*.jsonl")
    n_computed = []

    def compute(loaded, group):
        n_computed.append(len(group))
        if len(n_computed) == 2:  # the other arm is through now
            (tmp_path / "mine" / whole.name).write_bytes(whole.read_bytes())
        return plain(loaded, group)

    plain = reference._logps
    monkeypatch.setattr(reference, "_logps", compute)
    monkeypatch.setattr(reference, "_FLUSH_EVERY", 1)
    assert np.array_equal(reference_logps(loaded, pairs, tmp_path / "mine"), values)
    assert n_computed == [1, 1]


def test_a_damaged_reference_is_moved_aside_and_computed_again(spec, tmp_path, capsys):
    loaded = open_for_training(spec)
    pairs = encode_pairs(loaded.tokenizer, make_pairs(3), max_length_tokens=400).pairs
    values = reference_logps(loaded, pairs, tmp_path)
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"key"', b'"k\xffy"', 1))
    assert np.array_equal(reference_logps(loaded, pairs, tmp_path), values)
    assert "1 damaged line(s) (1) moved to" in capsys.readouterr().err
    assert len(read_jsonl(path)) == 3 and path.with_name(f"{path.name}.damaged").is_file()


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damaged",
    [
        ["checkpoint-20/adapter_model.safetensors"],
        ["checkpoint-20/optimizer.pt"],
        ["checkpoint-20/sealed.json"],
        ["checkpoint-20/log.csv", "log.csv"],
        ["identity.json"],
        ["adapter/adapter_model.safetensors"],
        ["log.csv"],
        ["training.json"],
    ],
)
def test_a_damaged_training_is_named_kept_aside_and_made_again(
    spec, straight, tmp_path, capsys, damaged
):
    folder = tmp_path / "run"
    shutil.copytree(straight.adapter_dir.parent, folder)
    if damaged[0].startswith("checkpoint"):  # a run that was killed before its end
        (folder / "training.json").unlink()
        shutil.rmtree(folder / "adapter")
    for name in damaged:
        flip(folder / name)
    result = train(spec, make_pairs(12), folder, validation=make_pairs(3, seed=9), progress=False)
    assert damaged[0].split("/")[0] in capsys.readouterr().err
    assert any((folder / "damaged").iterdir())
    assert sha256_file(result.adapter_dir) == sha256_file(straight.adapter_dir)
    assert result.log_path.read_bytes() == straight.log_path.read_bytes()
    assert result.validation == straight.validation


def test_reference_ignores_the_adapter(spec):
    loaded = open_for_training(spec)
    pairs = encode_pairs(loaded.tokenizer, make_pairs(2), max_length_tokens=400).pairs
    before = live_logps(loaded, pairs)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.3)
    assert np.array_equal(before, live_logps(loaded, pairs))


def test_out_of_memory_halves_the_batch_that_failed_and_keeps_the_step(
    spec, straight, tmp_path, monkeypatch
):
    """One useless attempt, then micro-batches of half the tokens: as many as need be, not one a
    pair.
    """
    from selene_lib.training.trainer import PairTrainer

    plain, asked = PairTrainer.pair_losses, []

    def pair_losses(self, model, indices):
        asked.append(sum(self.pairs[i].n_shared_tokens for i in indices))
        if len(asked) == 1:
            raise torch.OutOfMemoryError("made up by the test")
        return plain(self, model, indices)

    monkeypatch.setattr(PairTrainer, "pair_losses", pair_losses)
    calm = replace(spec, lora_dropout=0.0, n_steps=5, batch_size=6)
    result = train(calm, make_pairs(12), tmp_path / "tight", progress=False)
    monkeypatch.undo()
    roomy = train(calm, make_pairs(12), tmp_path / "roomy", progress=False)
    first, *others = read_log(result.telemetry_path)
    assert f"out of memory at {asked[0]} tokens" in first["event"]
    assert 2 <= int(first["n_micro_batches"]) <= 3 and not any(row["event"] for row in others)
    assert max(asked[1:]) <= asked[0] // 2
    tight, wide = (np.loadtxt(r.log_path, delimiter=",", skiprows=1) for r in (result, roomy))
    assert np.allclose(tight, wide, rtol=1e-5, atol=1e-5)


def test_out_of_memory_with_one_pair_recomputes_then_says_what_to_do(spec, tmp_path, monkeypatch):
    from selene_lib.training.trainer import PairTrainer

    plain = PairTrainer.pair_losses

    def only_recomputing(self, model, indices):
        if not model.base_model.model.model.layers[0].gradient_checkpointing:
            raise torch.OutOfMemoryError("made up by the test")
        return plain(self, model, indices)

    monkeypatch.setattr(PairTrainer, "pair_losses", only_recomputing)
    result = train(replace(spec, n_steps=2), make_pairs(12), tmp_path / "kept", progress=False)
    events = [row["event"] for row in read_log(result.telemetry_path)]
    assert "recomputing from here on" in events[0] and not events[1]

    def never(self, model, indices):
        raise torch.OutOfMemoryError("made up by the test")

    monkeypatch.setattr(PairTrainer, "pair_losses", never)
    with pytest.raises(UserError, match="lower max_length_tokens"):
        train(spec, make_pairs(12), tmp_path / "never", progress=False)


def test_trl_agrees_at_one_pair_a_micro_batch_and_drifts_at_four(spec, base, tmp_path):
    """The `sft` term of TRL is a token mean over the micro-batch; at one pair it is the example's
    own mean.
    """
    losses = {}
    for name, options in {
        "ours": {},
        "one": {"trainer": "trl", "micro_batch_pairs": 1},
        "four": {"trainer": "trl"},
    }.items():
        calm = replace(
            spec,
            lora_dropout=0.0,
            n_steps=6,
            reference_cache=str(tmp_path / "reference"),
            **options,
        )
        result = train(calm, make_pairs(12), tmp_path / name, progress=False)
        losses[name] = np.loadtxt(result.log_path, delimiter=",", skiprows=1, usecols=1)
        assert (result.adapter_dir / "adapter_model.safetensors").exists()
    assert np.abs(losses["one"] / losses["ours"] - 1).max() < 1e-5
    assert np.abs(losses["four"] / losses["ours"] - 1).max() > 1e-3


def test_nll_alone_computes_no_reference_to_train(spec, tmp_path):
    alone = replace(spec, loss="nll", lora_dropout=0.0, n_steps=4)
    result = train(alone, make_pairs(12), tmp_path / "alone", progress=False)
    assert not list((tmp_path / "alone" / "reference").glob("*.jsonl"))
    log = read_log(result.log_path)
    assert float(log[-1]["nll"]) < float(log[0]["nll"])
    assert {row[name] for row in log for name in ("dpo", "margin", "reward_accuracy")} == {"nan"}
    measured = train(
        alone, make_pairs(12), tmp_path / "measured", make_pairs(3, seed=9), progress=False
    )
    assert measured.log_path.read_text() == result.log_path.read_text()
    assert all(np.isfinite(value) for value in measured.validation.values())


def test_nf4_trains_on_the_cpu(tmp_path):
    base = make_base(tmp_path / "base", hidden=64)
    spec = TrainSpec(
        base_model=str(base),
        quantisation="nf4",
        n_steps=12,
        batch_size=4,
        lora_r=4,
        learning_rate=5e-3,
    )
    result = train(spec, make_pairs(8), tmp_path / "run", progress=False)
    log = read_log(result.log_path)
    assert float(log[-1]["nll"]) < float(log[0]["nll"]) - 0.3


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_4_bit_weights_survive_an_evaluation(tmp_path, dtype):
    """In bfloat16 a CPU that multiplies it would repack the weights in the first forward in eval
    mode, and every later backward would be silently wrong.
    """
    base = make_base(tmp_path / "base", hidden=64)
    spec = TrainSpec(base_model=str(base), quantisation="nf4", lora_r=4, dtype=dtype)
    loaded = open_for_training(spec)
    assert keep_4bit_weights_unpacked(loaded.model) == 14
    pairs = encode_pairs(loaded.tokenizer, make_pairs(3), max_length_tokens=400).pairs
    gradients = []
    for _ in range(2):
        gradients.append(_gradient(loaded, pairs))
        live_logps(loaded, pairs)  # a forward in eval mode
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-7)


def _gradient(loaded, pairs):
    from selene_lib.training.forward import lay_out_for
    from selene_lib.training.logprobs import completion_inputs

    batch = lay_out_for(loaded.decision, pairs, pad_token_id=0)
    loaded.model.train()
    loss = loaded.model(**completion_inputs(batch, loaded.decision.attention)).sum()
    parameters = [p for p in loaded.model.parameters() if p.requires_grad]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])


def test_full_fine_tuning_moves_the_weights(base, tmp_path):
    spec = TrainSpec(
        base_model=str(base), adapter="full", n_steps=3, batch_size=4, learning_rate=1e-3
    )
    result = train(spec, make_pairs(8), tmp_path, progress=False)
    assert (result.adapter_dir / "model.safetensors").exists()
    assert float(read_log(result.log_path)[-1]["loss"]) < float(
        read_log(result.log_path)[0]["loss"]
    )


@pytest.mark.long
def test_two_processes_train_what_one_does(spec, tmp_path, monkeypatch):
    """As notebook 04 does it: the arms in two processes (gloo), then read back like any others."""
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent))
    calm = replace(spec, lora_dropout=0.0, n_steps=6, micro_batch_pairs=1)
    arms, held_out = [("dpo_nll", 0)], make_pairs(3, seed=9)
    tables = {
        n: train_arms(
            calm, arms, make_pairs(12), tmp_path / f"{n}", tmp_path / f"out{n}", held_out, n_gpus=n
        )
        for n in (1, 2)
    }
    caches = sorted((tmp_path / "2" / "dpo_nll-seed0" / "reference").glob("*.jsonl"))
    assert len(caches) == 2 and min(len(path.read_text().splitlines()) for path in caches) >= 6
    for one, two, compared in zip(tables[1], tables[2], (True, False, True)):
        assert list(one) == list(two) and len(one) == len(two)
        numbers = (table.select_dtypes("number") for table in (one, two))
        assert not compared or np.allclose(*numbers, rtol=1e-5, atol=1e-5)
    assert (tmp_path / "out2" / "dpo_nll-seed0" / "adapter_model.safetensors").exists()


def test_a_training_file_that_is_none_says_what_it_should_be(tmp_path, spec):
    with pytest.raises(UserError, match="notebook 04 writes one"):
        read_training_file(tmp_path / "training.yaml")
    run = HERE.parent / "runs" / "colab.yaml"
    with pytest.raises(UserError, match="selene reproduce --run"):
        read_training_file(run)
    written = write_training_file(tmp_path, spec, [("nll", 3)], make_pairs(2))
    found = read_training_file(written)
    assert found.spec == spec and found.arms == (("nll", 3),)


@pytest.mark.parametrize(
    "change",
    ["spec: []", "arms: 5", "arms: [dpo]", "arms: [[dpo, x]]", "pairs: 3", "arms: [", "\x00"],
)
def test_a_training_file_of_another_shape_is_named(tmp_path, spec, change):
    written = write_training_file(tmp_path, spec, [("nll", 3)], make_pairs(2))
    key = change.partition(":")[0]
    kept = yaml.safe_load(written.read_text())
    kept.pop(key, None)
    written.write_text(yaml.safe_dump(kept) + change)
    with pytest.raises(UserError, match=r"training\.yaml") as error:
        read_training_file(written)
    assert "\n" not in str(error.value)


def test_more_processes_than_gpus_are_refused_before_any_is_started(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match="n_gpus is 2, but this machine has 1"):
        train_in_processes(tmp_path / "training.yaml", 2)
