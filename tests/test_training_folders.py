"""Folders of trainings: what they hold is of what is asked, or is moved aside and made again."""

import json
import os
import shutil
from dataclasses import replace

import pytest
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.files import read_proven, sha256_file, write_proven
from selene_lib.training.card import recorded_facts
from selene_lib.training.checkpoints import all_checkpoints, latest_whole
from selene_lib.training.run import train
from selene_lib.training.runlog import read_log
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow
PAIRS = make_pairs(4)


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    base = make_base(tmp_path_factory.mktemp("base"), hidden=32)
    return TrainSpec(str(base), n_steps=2, batch_size=2, lora_r=2, device="cpu", save_every_steps=1)


@pytest.fixture(scope="module")
def straight(spec, tmp_path_factory):
    return train(spec, PAIRS, tmp_path_factory.mktemp("straight"), progress=False)


@pytest.fixture
def folder(straight, tmp_path):
    return shutil.copytree(straight.adapter_dir.parent, tmp_path / "run")


def is_as_straight(result, straight) -> bool:
    same_log = result.log_path.read_bytes() == straight.log_path.read_bytes()
    return same_log and sha256_file(result.adapter_dir) == sha256_file(straight.adapter_dir)


OTHERS = {
    "rate": lambda spec: (replace(spec, learning_rate=1e-3), PAIRS),
    "pairs": lambda spec: (spec, make_pairs(4, seed=5)),
    "loss": lambda spec: (replace(spec, loss="nll"), PAIRS),
}


def first_of(cases, n=3):
    """The first cases; each trains, so the others of the same kind are among the long tests."""
    marks = [[]] * n + [pytest.mark.long] * max(0, len(cases) - n)
    return [pytest.param(case, id=name, marks=m) for (name, case), m in zip(cases.items(), marks)]


@pytest.mark.parametrize(
    ("other", "lost"),
    [
        ("rate", "identity.json"),
        ("pairs", "identity.json training.json"),
        ("loss", "identity.json"),
    ],
)
def test_results_whose_identity_is_lost_are_not_those_of_other_settings(
    spec, straight, folder, tmp_path, capsys, other, lost
):
    for name in lost.split():
        (folder / name).unlink()
    asked, pairs = OTHERS[other](spec)
    result = train(asked, pairs, folder, progress=False)
    assert "identity.json: no such file" in capsys.readouterr().err
    assert result.resumed_from_step == 0 and not is_as_straight(result, straight)
    assert is_as_straight(result, train(asked, pairs, tmp_path / "alone", progress=False))
    kept = folder / "damaged" / "adapter"
    assert sha256_file(kept) == sha256_file(straight.adapter_dir)


def test_starting_over_leaves_no_result_of_before(spec, straight, folder, monkeypatch):
    from selene_lib.training import run

    def killed(job):
        raise KeyboardInterrupt

    other = replace(spec, learning_rate=1e-3)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(run, "train_with_selene", killed)
        train(other, PAIRS, folder, resume=False, progress=False)
    result = train(other, PAIRS, folder, progress=False)
    assert result.spec["learning_rate"] == 1e-3 and not is_as_straight(result, straight)


def without(name, key):
    def change(folder):
        values = read_proven(folder / name)
        del values[key]
        write_proven(folder / name, values)

    return change


def holding(name, text):
    return lambda folder: (folder / name).write_text(text)


def other_kind(name, make):
    def change(folder):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return change


def of_other_settings(folder):
    values = read_proven(folder / "training.json")
    values["spec"]["learning_rate"] = 1e-3
    write_proven(folder / "training.json", values)


DAMAGES = {
    **{
        f"identity without {key}": without("identity.json", key)
        for key in ("spec", "data_sha256", "base_sha256")
    },
    **{f"result without {key}": without("training.json", key) for key in ("n_pairs", "n_steps")},
    "identity of numbers": holding("identity.json", '{"spec": 1, "data_sha256": 2}'),
    "result with more": holding("training.json", '{"adapter_dir": "x"}'),
    "result of other settings": of_other_settings,
    "identity is a folder": other_kind("identity.json", os.mkdir),
    "identity is a pipe": other_kind("identity.json", os.mkfifo),
    "result is a folder": other_kind("training.json", os.mkdir),
    "log is a pipe": other_kind("log.csv", os.mkfifo),
    "adapter is a file": other_kind("adapter", lambda path: path.write_text("x")),
}


@pytest.mark.parametrize("damage", first_of(DAMAGES))
def test_a_damaged_folder_is_named_kept_aside_and_made_again(
    spec, straight, folder, capsys, damage
):
    damage(folder)
    result = train(spec, PAIRS, folder, progress=False)
    assert is_as_straight(result, straight)
    assert any((folder / "damaged").iterdir()) and "damaged" in capsys.readouterr().err


def sealed(folder, name, text):
    (folder / name / "sealed.json").write_text(text)


STRANGE = {
    "copied to a later step": lambda f: shutil.copytree(
        f / "checkpoint-1", f / f"checkpoint-{9**20}"
    ),
    "copied to another step": lambda f: shutil.copytree(f / "checkpoint-1", f / "checkpoint-3"),
    "copied with zeros": lambda f: shutil.copytree(f / "checkpoint-1", f / "checkpoint-0002"),
    "a file": other_kind("checkpoint-2", lambda path: path.write_text("x")),
    "seal is a folder": other_kind("checkpoint-2/sealed.json", os.mkdir),
    "seal is a pipe": other_kind("checkpoint-2/sealed.json", os.mkfifo),
    "seal names no files": lambda f: sealed(f, "checkpoint-2", '{"step": 2, "files": {}}'),
    "seal holds a list": lambda f: sealed(f, "checkpoint-2", '{"step": 2, "files": []}'),
}


@pytest.mark.parametrize("change", first_of(STRANGE))
def test_a_checkpoint_counts_as_the_step_that_its_seal_says(spec, straight, folder, capsys, change):
    (folder / "training.json").unlink()
    change(folder)
    result = train(spec, PAIRS, folder, progress=False)
    assert is_as_straight(result, straight) and result.resumed_from_step <= 2
    assert "it is kept as" in capsys.readouterr().err and any((folder / "damaged").iterdir())


def test_a_checkpoint_of_another_training_is_not_resumed(spec, straight, tmp_path, capsys):
    other = train(replace(spec, seed=1), PAIRS, tmp_path / "other", progress=False)
    (tmp_path / "other" / "training.json").unlink()
    shutil.rmtree(tmp_path / "other" / "checkpoint-2")
    shutil.copytree(straight.adapter_dir.parent / "checkpoint-2", tmp_path / "other/checkpoint-2")
    before = sha256_file(other.adapter_dir)
    result = train(replace(spec, seed=1), PAIRS, tmp_path / "other", progress=False)
    assert "of other settings or pairs" in capsys.readouterr().err
    assert result.resumed_from_step == 1 and sha256_file(result.adapter_dir) == before


def test_a_folder_by_another_hand_is_no_checkpoint(tmp_path):
    for name in ("checkpoint-²", "checkpoint-x", "checkpoint-1a"):
        (tmp_path / name).mkdir()
    assert all_checkpoints(tmp_path) == [] and latest_whole(tmp_path) is None


def test_what_is_no_folder_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="file is no folder"):
            train(TrainSpec("/nowhere"), PAIRS, out)
    cached = TrainSpec("/nowhere", reference_cache=str(tmp_path / "file"))
    with pytest.raises(UserError, match="file is no folder"):
        train(cached, PAIRS, tmp_path / "run")


@pytest.mark.parametrize(
    "text", first_of({text: text for text in ("[]", "{", "null", '{"ids": 1}', '{"sha256": {}}')})
)
def test_a_damaged_set_of_tokens_is_made_again(spec, straight, folder, text):
    (folder / "training.json").unlink()
    for about in (folder / "reference" / "encoded").glob("*/about.json"):
        about.write_text(text)
    assert is_as_straight(train(spec, PAIRS, folder, progress=False), straight)


def test_a_log_from_before_the_first_checkpoint_is_not_read(spec, straight, folder):
    for name in ("training.json", "checkpoint-1", "checkpoint-2"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (folder / "log.csv").write_bytes(b"step,loss\nx,\xff\n")
    assert is_as_straight(train(spec, PAIRS, folder, progress=False), straight)


def test_a_model_card_says_nothing_of_a_training_that_is_damaged(straight, folder, capsys):
    facts = recorded_facts(folder / "adapter", "base")
    assert facts["training"]["n_pairs"] == 4 and facts["losses"]
    (folder / "log.csv").write_bytes(b"step,loss\nx,\xff\n")
    assert recorded_facts(folder / "adapter", "base")["losses"] == []
    (folder / "training.json").write_text("[]")
    assert "n_pairs" not in recorded_facts(folder / "adapter", "base")["training"]
    assert capsys.readouterr().err.count("says nothing of the training") == 2


def test_a_step_holds_each_pair_once_at_most(spec, tmp_path, capsys):
    asked = replace(spec, batch_size=1_000_000)
    result = train(asked, PAIRS, tmp_path / "run", progress=False)
    assert "batch_size is 1000000, but there are 4 pairs" in capsys.readouterr().err
    assert result.spec["batch_size"] == 4 and "4 pairs" in result.decision["reasons"][-1]
    exact = train(replace(spec, batch_size=4), PAIRS, tmp_path / "exact", progress=False)
    assert is_as_straight(result, exact)
    again = train(asked, PAIRS, tmp_path / "run", progress=False)
    assert again.n_steps == 2 and "made again" not in capsys.readouterr().err


def test_no_pair_is_longer_than_the_base_has_positions(tmp_path, capsys):
    base = make_base(tmp_path / "base", hidden=32, max_position_embeddings=64)
    long = replace(PAIRS[0], id="long", prompt=" ".join(["good"] * 60))
    short = [replace(pair, prompt="good", chosen="Yes", rejected="No") for pair in PAIRS]
    spec = TrainSpec(
        str(base), n_steps=1, batch_size=1, device="cpu", lora_r=2, max_length_tokens=100_000
    )
    result = train(spec, [*short, long], tmp_path / "run", progress=False)
    assert "max_length_tokens is 100000" in capsys.readouterr().err
    assert result.spec["max_length_tokens"] == 64 and result.n_dropped == {"too long": 1}
    with pytest.raises(UserError, match=r"pair long has .* max_length_tokens=64"):
        train(replace(spec, overlong="error"), [*short, long], tmp_path / "error", progress=False)


def test_a_base_with_fewer_positions_than_any_pair_says_so(tmp_path):
    base = make_base(tmp_path / "base", hidden=32, max_position_embeddings=8)
    with pytest.raises(UserError, match="a base with more positions"):
        train(TrainSpec(str(base), n_steps=1, device="cpu"), PAIRS, tmp_path, progress=False)
    config = json.loads((base / "config.json").read_text()) | {"max_position_embeddings": 1}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="has 1 positions"):
        train(TrainSpec(str(base), n_steps=1, device="cpu"), PAIRS, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [
        ("selene", {}),
        ("selene", {"n_steps": 1, "loss": "nll"}),
        ("selene", {"n_steps": 1, "lora_targets": "up_proj"}),
        ("trl", {"n_steps": 1}),
    ],
)
def test_the_last_update_is_checked_before_it_is_saved(spec, tmp_path, trainer, settings):
    wild = replace(spec, learning_rate=1e30, schedule="constant", warmup_share=0.0, trainer=trainer)
    asked = replace(wild, **settings)
    with pytest.raises(UserError, match=r"stopped at step [12]: .* is not finite") as error:
        train(asked, PAIRS, tmp_path / "run", make_pairs(2, seed=9), progress=False)
    assert "learning_rate (now 1e+30)" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "run" / "adapter").exists()
    assert len(read_log(tmp_path / "run" / "log.csv")) <= 2
