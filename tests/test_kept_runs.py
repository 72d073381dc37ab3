"""Short runs of an ablation: margins as the plain formula gives them, outcomes asked once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from selene_lib import nano
from selene_lib.ablation.kept_runs import KeptRun
from selene_lib.ablation.margins import (
    CHUNK_TOKENS,
    MarginRun,
    preference_margins,
    trusted_pairs,
)
from selene_lib.ablation.short_runs import ShortRun, development_items
from selene_lib.files import write_parquet
from selene_lib.models.loading import open_model, open_tokenizer
from selene_lib.models.names import resolve_model
from selene_lib.prompts.chat import encode_chat
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import PreferencePair, Sample
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trusted(tmp_path_factory) -> list[PreferencePair]:
    path = tmp_path_factory.mktemp("dev") / "dev.parquet"
    samples = [s for name in nano.NANO_SETS for s in nano.make_set(name, 8, seed=5)]
    write_parquet(path, samples, Sample)
    return trusted_pairs(path, [], "nano", 8, 0)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    """An adapter of random weights, so that it moves what the base says."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = open_model(resolve_model("embedded"), dtype=torch.float32)
    net = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    folder = tmp_path_factory.mktemp("adapter")
    net.save_pretrained(folder)
    return folder


def plain_margins(adapter: Path | None, pairs: list[PreferencePair]) -> list[float]:
    """log p(chosen | prompt) - log p(rejected | prompt) by one forward a reply, with all logits."""
    net = open_model(resolve_model("embedded"), dtype=torch.float32).eval()
    if adapter is not None:
        from peft import PeftModel

        net = PeftModel.from_pretrained(net, str(adapter)).eval()
    tokenizer = open_tokenizer(resolve_model("embedded"))

    def logp(prompt: str, reply: str) -> float:
        ids = encode_chat(tokenizer, prompt, reply)
        begin = len(encode_chat(tokenizer, prompt, None))
        with torch.inference_mode():
            logits = net(input_ids=torch.tensor([ids])).logits[0].double()
        chosen = logits[begin - 1 : -1].log_softmax(-1)
        return chosen.gather(1, torch.tensor(ids[begin:])[:, None]).sum().item()

    return [logp(p.prompt, p.chosen) - logp(p.prompt, p.rejected) for p in pairs]


@pytest.mark.parametrize("trained", [False, True])
def test_margins_are_those_of_the_plain_formula(trusted, adapter, trained):
    used = adapter if trained else None
    plain = np.array(plain_margins(used, trusted))
    found = np.array(preference_margins("embedded", used, trusted))
    print(f"largest difference {np.abs(found - plain).max():.1e} nats over {len(plain)} pairs")
    assert len(found) == len(trusted) > 20 and np.abs(plain).max() > 1
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-4)
    if trained:
        assert np.abs(found - preference_margins("embedded", None, trusted)).max() > 0.1


def test_no_more_than_a_chunk_of_tokens_meets_the_vocabulary(trusted, monkeypatch):
    seen = []
    plain = torch.nn.Linear.forward

    def forward(self, x):
        if self.out_features == vocabulary:
            seen.append(x.shape[0])
        return plain(self, x)

    net = open_model(resolve_model("embedded"), dtype=torch.float32)
    vocabulary = net.config.vocab_size
    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    preference_margins("embedded", None, trusted)
    tokenizer = open_tokenizer(resolve_model("embedded"))
    replies = [(p.prompt, reply) for p in trusted for reply in (p.chosen, p.rejected)]
    n_tokens = sum(
        len(encode_chat(tokenizer, prompt, reply)) - len(encode_chat(tokenizer, prompt, None))
        for prompt, reply in replies
    )
    assert max(seen) <= CHUNK_TOKENS and sum(seen) == n_tokens


@dataclass(frozen=True)
class Counting(KeptRun):
    """Keeps what it was asked to train and measure, instead of doing it."""

    done: list
    salt: str = ""

    title = "counting"

    def _train(self, pairs, seed, n_steps, folder):
        self.done.append((seed, n_steps, folder.parent))
        return folder

    def _identity(self):
        return [self.salt]

    def _measure(self, adapter):
        self.done.append(adapter)
        return [1.0, 0.0] if adapter is None else [0.5, 0.25]


def test_an_outcome_is_kept_under_all_it_depends_on(tmp_path, trusted):
    run = Counting(TrainSpec(base_model="x"), tmp_path, [])
    assert run(trusted, 1, 5).tolist() == [0.5, 0.25] and run.done[0] == (1, 5, tmp_path)
    n_done = len(run.done)
    assert run(trusted, 1, 5).tolist() == [0.5, 0.25] and len(run.done) == n_done
    assert run([], 1, 0).tolist() == [1.0, 0.0] and run.done[-1] is None
    others = [
        lambda: run(trusted[1:], 1, 5),
        lambda: run(trusted, 2, 5),
        lambda: run(trusted, 1, 6),
        lambda: replace(run, salt="other")(trusted, 1, 5),
        lambda: replace(run, spec=TrainSpec(base_model="x", beta=0.2))(trusted, 1, 5),
    ]
    for other in others:
        n_done = len(run.done)
        other()
        assert len(run.done) == n_done + 2
    for field in ("prompt", "chosen", "rejected"):  # of the same ids
        n_done = len(run.done)
        run([replace(p, **{field: getattr(p, field) + " so"}) for p in trusted], 1, 5)
        assert len(run.done) == n_done + 2, field
    jobs = [(trusted, 1, 5), ([], 1, 0)]
    assert [o.tolist() for o in run.many(jobs)] == [[0.5, 0.25], [1.0, 0.0]]


def test_a_damaged_outcome_is_named_and_measured_again(tmp_path, capsys):
    run = Counting(TrainSpec(base_model="x"), tmp_path, [])
    run([], 1, 0)
    (kept,) = tmp_path.glob("*.json")
    for broken in (kept.read_text().replace("1.0", "0.5"), '{"key"', "[1.0, 0.0]"):
        kept.write_text(broken)
        assert run([], 1, 0).tolist() == [1.0, 0.0]
        assert "measured again" in capsys.readouterr().err
    assert len(run.done) == 4 and len(list((tmp_path / "damaged").iterdir())) == 3


def test_what_is_measured_is_a_part_of_the_key(tmp_path, trusted):
    spec = TrainSpec(base_model="x")
    prompt = Prompt("Is it?", "classification", "nano/classification")
    short = ShortRun(spec, tmp_path, [(prompt, "Yes")], max_new_tokens=110)
    margins = MarginRun(spec, tmp_path, trusted[:2])
    others = [
        replace(short, items=[(prompt, "No")]),
        replace(short, items=[(replace(prompt, text="Was it?"), "Yes")]),
        replace(short, max_new_tokens=20),
        replace(margins, trusted=[replace(p, chosen=p.chosen + " so") for p in trusted[:2]]),
        replace(margins, trusted=[replace(p, rejected="no") for p in trusted[:2]]),
    ]
    keys = {run._key([], 0, 0) for run in (short, margins, *others)}
    assert len(keys) == 7
    base = tmp_path / "base"
    base.mkdir()
    seen = set()
    for name, text in (("config.json", "{}"), ("config.json", "{1}"), ("chat_template.jinja", "x")):
        (base / name).write_text(text)
        seen.add(replace(short, spec=TrainSpec(base_model=str(base)))._key([], 0, 0))
    assert len(seen) == 3


def test_a_short_run_judges_the_development_items(tmp_path):
    samples = [s for name in nano.NANO_SETS for s in nano.make_set(name, 6, seed=5)]
    write_parquet(tmp_path / "dev.parquet", samples, Sample)
    items = development_items(tmp_path / "dev.parquet", [], "nano", 2, 0)
    spec = TrainSpec(base_model=resolve_model("embedded"))
    run = ShortRun(spec, tmp_path, items, max_new_tokens=110)
    assert len(items) == 6
    outcome = run([], 0, 0)  # of the base
    assert set(outcome.tolist()) <= {0.0, 1.0} and len(outcome) == 6
