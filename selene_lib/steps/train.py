"""Notebook 04: the same pairs under other losses and seeds, and what each arm makes of held-out
pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.files import copy_folder
from selene_lib.models.parallel import side_by_side
from selene_lib.records import PreferencePair, unit_hash
from selene_lib.training.run import train

if TYPE_CHECKING:
    from selene_lib.training.spec import TrainSpec


HELD_OUT = ("dpo", "nll", "margin", "reward_accuracy")


def train_arms(
    spec: TrainSpec,
    arms: Sequence[tuple[str, int]],
    pairs: Sequence[PreferencePair],
    work: Path,
    out: Path,
    validation: Sequence[PreferencePair] = (),
) -> tuple[Any, Any, Any]:
    """Train every arm from the same base; adapters go to `out/<loss>-seed<n>`, checkpoints stay in
    `work`.

    Returns three tables: the curves (deterministic: arm, step, loss, margin ...), the telemetry
    (seconds, tokens/s, memory), and one row an arm of what its judge makes of the `validation`
    pairs that fit, whatever it was trained with: dpo, nll, margin, reward_accuracy. An arm that was
    finished before is not trained again, a broken one goes on from its last checkpoint.
    """
    import pandas as pd

    jobs = [
        (train, (replace_arm(spec, loss, seed), pairs, work / f"{loss}-seed{seed}", validation))
        for loss, seed in arms
    ]
    curves, telemetry, held_out = [], [], []
    for (loss, seed), result in zip(arms, side_by_side(jobs, spec.base_model, "arms")):
        name = f"{loss}-seed{seed}"
        copy_folder(result.adapter_dir, out / name)
        about = {"arm": name, "loss_kind": loss, "seed": seed}
        curves.append(pd.read_csv(result.log_path).assign(**about))
        telemetry.append(pd.read_csv(result.telemetry_path).assign(**about))
        measured = result.validation or {}  # in this order, whether just measured or read back
        held_out.append(
            {
                **about,
                "n_pairs": result.n_validation,
                **{name: measured[name] for name in HELD_OUT if name in measured},
            }
        )
    return (
        pd.concat(curves, ignore_index=True),
        pd.concat(telemetry, ignore_index=True),
        pd.DataFrame(held_out),
    )


def held_out_pairs(pairs: Sequence[PreferencePair], n: int, seed: int) -> list[PreferencePair]:
    """Return `n` of the pairs, drawn by `(seed, id)` from all sources alike."""
    return sorted(pairs, key=lambda pair: unit_hash(seed, "held out", pair.id))[:n]


def compare_losses(held_out: Any) -> Any:
    """Return mean, lowest and highest value over the seeds of each loss, of every metric of the
    held-out pairs.
    """
    metrics = [name for name in HELD_OUT if name in held_out]
    if not metrics:
        return (
            held_out.groupby("loss_kind", sort=False)
            .size()
            .rename("n_arms_without_held_out_pairs")
            .to_frame()
        )
    return held_out.groupby("loss_kind", sort=False)[metrics].agg(["mean", "min", "max"])


def replace_arm(spec: TrainSpec, loss: str, seed: int) -> TrainSpec:
    """Return the spec of one arm."""
    return replace(spec, loss=loss, seed=seed)  # type: ignore[arg-type]
