"""The table of cards, and what torch calls them."""

import re
from dataclasses import replace

import pytest

from selene_lib.errors import UserError
from selene_lib.files import write_json
from selene_lib.pipeline.plan import plan_judging, plan_samples
from selene_lib.training.card_plans import plan_on_cards, ways_under
from selene_lib.training.cards import CARDS, MIB, card_named
from selene_lib.training.counting import pair_work
from selene_lib.training.decision import Hardware, decide, refuse_what_does_not_fit
from selene_lib.training.shapes import Shape, read_shape
from selene_lib.training.spec import TrainSpec
from selene_lib.training.verdict_rates import verdicts_per_second

GIB = 1024 * MIB


@pytest.mark.parametrize(
    "device_name, total_memory, expected",
    [
        ("Tesla T4", 14.74, "T4"),
        ("NVIDIA L4", 22.03, "L4"),
        ("NVIDIA A10G", 22.07, "A10G"),
        ("NVIDIA A100-SXM4-40GB", 39.39, "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", 79.15, "A100-80GB"),
        ("NVIDIA A100 80GB PCIe", 79.14, "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", 79.19, "H100-80GB"),
        ("NVIDIA H200", 139.8, "H200"),
        ("NVIDIA GeForce RTX 4090", 23.64, "RTX-4090"),
        ("NVIDIA GeForce RTX 5090", 31.36, "RTX-5090"),
        # other chips whose names look alike
        ("NVIDIA L40S", 44.4, None),
        ("NVIDIA A10", 22.07, None),
        ("NVIDIA H100 PCIe", 79.19, None),
        ("NVIDIA GH200 480GB", 94.5, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 15.9, None),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 19.5, None),
        ("NVIDIA RTX 5000 Ada Generation", 31.5, None),
    ],
)
def test_a_card_is_known_by_its_chip_and_its_memory(device_name, total_memory, expected):
    card = card_named(device_name, int(total_memory * GIB))
    assert (card and card.name) == expected


def test_only_the_t4_lacks_bf16():
    assert [name for name, card in CARDS.items() if not card.native_bf16] == ["T4"]
    assert all(name == card.name for name, card in CARDS.items())


# ---- planning for cards nobody here has

QWEN_72B = {
    "model_type": "qwen2",
    "hidden_size": 8192,
    "intermediate_size": 29568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
}
PAPER = TrainSpec(
    base_model="meta-llama/Llama-3.1-8B-Instruct",
    quantisation="nf4",
    n_steps=9000,
    batch_size=64,
    max_length_tokens=8192,
)


def test_what_does_not_fit_is_said_and_refused_before_loading(tmp_path):
    write_json(tmp_path / "config.json", QWEN_72B)
    spec = replace(PAPER, base_model=str(tmp_path))
    by_card = {plan.card: plan for plan in plan_on_cards(spec)}
    assert not by_card["T4"].fits and by_card["A100-80GB"].fits
    assert by_card["T4"].row()["memory"].startswith("does not fit: ")
    assert ways_under(by_card["T4"], 1) == []
    hardware = Hardware.of_card(CARDS["T4"], unsloth=True)
    with pytest.raises(UserError, match="does not fit this GPU's 16 GB"):
        refuse_what_does_not_fit(decide(spec, hardware), spec, hardware)


def test_nothing_is_recomputed_where_that_fits_and_the_longest_row_too():
    t4, _, _, h100 = plan_on_cards(PAPER)
    assert h100.keeping and h100.run.hours == h100.keeping.hours < h100.recomputing.hours
    assert h100.run.peak_memory_bytes < CARDS["H100-80GB"].memory_bytes
    assert t4.run.gradient_checkpointing and t4.keeping is None
    # rows twice as long fit no more, though a pair of mean length does
    longer = plan_on_cards(replace(PAPER, max_length_tokens=16384), cards=["H100-80GB"])[0]
    assert longer.keeping is None and longer.run.gradient_checkpointing


def test_ways_under_a_day_reach_it():
    plan = plan_on_cards(PAPER, cards=["A100-80GB"])[0]
    cards, pairs = ways_under(plan, 9000 * 64)
    n_cards = int(re.search(r"by (\d+) cards", cards)[1])
    assert plan.run.hours / n_cards * 1.05 <= 24 < plan.run.hours / (n_cards - 1) * 1.05
    n_pairs = int(re.search(r"by ([\d,]+) pairs", pairs)[1].replace(",", ""))
    shorter = plan_on_cards(replace(PAPER, n_steps=n_pairs // 64), cards=["A100-80GB"])[0]
    assert 23 < shorter.run.hours <= 24
    (h100,) = plan_on_cards(PAPER, cards=["H100-80GB"])
    assert any("FP8" in line for line in ways_under(h100, 9000 * 64))
    assert "as it is" in ways_under(h100, 9000 * 64, hours=1000)[0]


def test_the_work_of_a_pair_by_hand():
    """Two layers of hidden size 4: 2 FLOPs a weight and token, 4 * 4 a query and key and layer."""
    shape = Shape(4, 8, 2, 2, 2, 2, 10, True)
    work = pair_work(shape, 3, 2, shared=True)
    assert work.weights == 2 * 2 * (4 * 16 + 3 * 32) * 7
    assert work.attention == 4 * 4 * 2 * (3 * 3 / 2 + 2 * 2 * (3 + 1))
    assert work.head == 2 * 4 * 10 * 4
    frozen = work.training(PAPER, recomputed_share=1)
    assert frozen == 3 * work.weights + 4.5 * work.attention + 3 * work.head


@pytest.mark.slow
@pytest.mark.parametrize("config", ["LlamaConfig", "Qwen3Config", "GPT2Config", "Gemma2Config"])
def test_a_shape_weighs_what_the_model_laid_out_weighs(tmp_path, config):
    import torch
    import transformers

    made = getattr(transformers, config)(num_hidden_layers=2)
    made.save_pretrained(tmp_path)
    shape = read_shape(TrainSpec(base_model=str(tmp_path)))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(made)
    assert shape.n_parameters == pytest.approx(sum(p.numel() for p in model.parameters()), rel=1e-4)
    assert shape.n_layers == 2 and shape.vocabulary == made.vocab_size


def test_the_sources_of_the_paper_run_hold_fewer_samples_than_the_paper_names():
    found = plan_samples("paper")
    assert found["n_held_at_most"] < found["n_asked"] < found["n_published"]
    assert found["n_held_at_most"] == pytest.approx(458_000, abs=1000)


def test_a_served_judge_is_planned_for_each_card():
    found = plan_judging("paper")
    by_card = {row["card"]: row for row in found["cards"]}
    assert by_card["T4"]["hours"] is None, "16 GB of weights in 16 bits do not fit"
    h100, l4 = by_card["H100-80GB"], by_card["L4"]
    assert h100["verdicts_per_second"] > 5 * l4["verdicts_per_second"] > 0
    hours = found["n_verdicts_about"] / h100["verdicts_per_second"] / 3600
    assert h100["hours"] == pytest.approx(hours)
    twice = plan_judging("paper", {"04.seeds": "0,1"})["n_verdicts_about"]
    assert found["n_verdicts_about"] < twice < 2 * found["n_verdicts_about"]


def test_the_rate_of_a_judge_is_bound_by_what_it_moves_and_what_it_computes():
    shape, card = read_shape(PAPER), CARDS["H100-80GB"]
    rate = verdicts_per_second(shape, card, 1500, 250)
    assert rate < 0.35 * card.flops_per_second / (2 * shape.n_linear * 1500)
    assert verdicts_per_second(shape, card, 1500, 500) < rate
    slow = replace(card, bytes_per_second=card.bytes_per_second / 4)
    assert verdicts_per_second(shape, slow, 1500, 250) < rate
