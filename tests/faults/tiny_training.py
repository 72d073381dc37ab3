"""A training of two arms and an export that take seconds, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
N_STEPS = 24


def prepare(folder: Path) -> None:
    """Make the base, and an adapter for the embedded model to be exported."""
    import torch
    from peft import LoraConfig, get_peft_model
    from training_world import make_base

    from selene_lib.models.adapters import write_record
    from selene_lib.models.loading import open_model
    from selene_lib.models.names import resolve_model

    make_base(folder / "base", hidden=32)
    torch.manual_seed(0)
    base = open_model(resolve_model("embedded"), dtype=torch.float32)
    net = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in net.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.01)
    net.save_pretrained(folder / "adapter")
    write_record(folder / "adapter", resolve_model("embedded"), None, "nano")


def train(folder: Path, home: Path) -> None:
    """Train two arms side by side, a checkpoint a step."""
    from training_world import make_pairs

    from selene_lib.files import write_csv
    from selene_lib.steps.train import train_arms
    from selene_lib.training.spec import TrainSpec

    spec = TrainSpec(
        base_model=str(folder / "base"),
        n_steps=N_STEPS,
        batch_size=4,
        lora_r=4,
        save_every_steps=1,
        reference_cache=str(home / "reference"),
    )
    arms = (("dpo_nll", 0), ("dpo", 1))
    work, out = home / "work", home / "out"
    curves, _, held_out = train_arms(
        spec, arms, make_pairs(12), work, out / "adapters", make_pairs(3, seed=9)
    )
    write_csv(out / "training.csv", curves)
    write_csv(out / "held_out.csv", held_out)


def export(folder: Path, home: Path) -> None:
    """Export the adapter of the embedded model, compared on few items."""
    from selene_lib import nano
    from selene_lib.models.names import resolve_model
    from selene_lib.training.export import export_judge

    golden = nano.make_set("nano-classification", 6, seed=5)
    export_judge(
        resolve_model("embedded"),
        folder / "adapter",
        home / "out",
        golden=golden,
        name="judge",
        min_readable=3,
        allowed_share=0.5,
    )
