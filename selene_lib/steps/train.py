"""Notebook 04: the same pairs under other losses and seeds, measured on held-out pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from selene_lib.files import copy_folder
from selene_lib.models.names import resolve_model
from selene_lib.models.parallel import side_by_side
from selene_lib.records import PreferencePair, unit_hash
from selene_lib.training.run import TrainResult, train
from selene_lib.training.several import (
    arm_folder,
    spec_of_arm,
    train_in_processes,
    write_training_file,
)
from selene_lib.training.spec import TrainSpec

HELD_OUT = ("dpo", "nll", "margin", "reward_accuracy")


def train_arms(
    spec: TrainSpec,
    arms: Sequence[tuple[str, int]],
    pairs: Sequence[PreferencePair],
    work: Path,
    out: Path,
    validation: Sequence[PreferencePair] = (),
    n_gpus: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Train every arm from the same base; adapters go to `out/<loss>-seed<n>`.

    Checkpoints stay in `work`. Returns three tables: the curves (deterministic: arm, step, loss,
    margin ...), the telemetry (seconds, tokens/s, memory), and one row an arm of what its judge
    makes of the `validation` pairs that fit, whatever it was trained with: dpo, nll, margin,
    reward_accuracy. An arm that was finished before is not trained again, a broken one goes on from
    its last checkpoint.

    With `n_gpus` over 1 each arm is trained by so many processes, one a GPU, which
    `work/training.yaml` tells what to do; the same numbers to rounding.
    """
    if n_gpus > 1:
        train_in_processes(write_training_file(work, spec, arms, pairs, validation), n_gpus)
    jobs = [
        (train, (spec_of_arm(spec, arm), pairs, work / arm_folder(arm), validation)) for arm in arms
    ]
    curves, telemetry, held_out = [], [], []
    for (loss, seed), result in zip(arms, side_by_side(jobs, spec.base_model, "arms")):
        name = arm_folder((loss, seed))
        copy_folder(result.adapter_dir, out / name)
        about = {"arm": name, "loss_kind": loss, "seed": seed}
        curves.append(pd.read_csv(result.log_path).assign(**about))
        telemetry.append(pd.read_csv(result.telemetry_path).assign(**about))
        held_out.append({**about, "n_pairs": result.n_validation, **_measured(result)})
    return (
        pd.concat(curves, ignore_index=True),
        pd.concat(telemetry, ignore_index=True),
        pd.DataFrame(held_out),
    )


def _measured(result: TrainResult) -> dict[str, float]:
    """The metrics of held-out pairs in the order of `HELD_OUT`, just measured or read back."""
    found = result.validation or {}
    return {name: found[name] for name in HELD_OUT if name in found}


def held_out_pairs(pairs: Sequence[PreferencePair], n: int, seed: int) -> list[PreferencePair]:
    """Return `n` of the pairs, drawn by `(seed, id)` from all sources alike."""
    return sorted(pairs, key=lambda pair: unit_hash(seed, "held out", pair.id))[:n]


def compare_losses(held_out: pd.DataFrame) -> pd.DataFrame:
    """Return mean, lowest and highest value over the seeds of each loss, by metric."""
    metrics = [name for name in HELD_OUT if name in held_out]
    by_loss = held_out.groupby("loss_kind", sort=False)
    if not metrics:
        return by_loss.size().rename("n_arms_without_held_out_pairs").to_frame()
    return by_loss[metrics].agg(["mean", "min", "max"])


def encoded_pair(pair: PreferencePair, base_model: str) -> pd.DataFrame:
    """Return one pair as the model sees it: its tokens, a dot between two, and who counts them.

    A prompt is read and never learnt; both replies follow the same prompt tokens.
    """
    from selene_lib.models.loading import open_tokenizer
    from selene_lib.training.encoding import encode_pair

    tokenizer = open_tokenizer(resolve_model(base_model))
    encoded = encode_pair(tokenizer, pair)
    loss = ("no", "both terms", "the preference term alone")
    rows = []
    for name, ids, where in zip(("prompt", "chosen", "rejected"), encoded.parts, loss):
        tokens = "·".join(tokenizer.decode([int(token)]) for token in ids)
        rows.append({"part": name, "n_tokens": len(ids), "in the loss": where, "tokens": tokens})
    return pd.DataFrame(rows)
