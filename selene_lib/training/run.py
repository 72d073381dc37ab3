"""`train`: from a spec and preference pairs to an adapter, resumable to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.files import read_json, write_json
from selene_lib.models.names import is_embedded
from selene_lib.models.parallel import use_one_thread
from selene_lib.records import PreferencePair
from selene_lib.training import checkpoints
from selene_lib.training.batching import global_batches, n_steps_for
from selene_lib.training.encoding import EncodedPair, EncodedSet, encode_pairs
from selene_lib.training.model import Loaded, load
from selene_lib.training.processes import Process, join
from selene_lib.training.saving import compute_reference, save_adapter
from selene_lib.training.spec import TrainSpec

RESULT = "training.json"


@dataclass(frozen=True)
class TrainResult:
    """What a run left: paths, counts, and the decision it ran under. `n_dropped` counts overlong
    pairs by reason.
    """

    adapter_dir: Path
    log_path: Path
    telemetry_path: Path
    n_steps: int
    n_pairs: int
    n_trainable_parameters: int
    n_dropped: dict[str, int] = field(default_factory=dict)
    n_shortened: int = 0
    resumed_from_step: int = 0
    n_validation: int = 0
    validation: dict[str, float] | None = None
    decision: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)


def train(
    spec: TrainSpec,
    pairs: Sequence[PreferencePair],
    out_dir: str | Path,
    validation: Sequence[PreferencePair] | None = None,
    *,
    resume: bool = True,
    progress: bool | None = None,
) -> TrainResult:
    """Train an adapter (or the full weights) on preference pairs; a killed run continues from its
    last whole checkpoint.

    `out_dir` gets `adapter/`, `log.csv` (deterministic), `telemetry.csv` (this machine),
    `training.json` and checkpoints. A finished run of the same spec, pairs and base is read back,
    not run again; a folder of something else is a UserError unless `resume=False`. The embedded
    model trains on one thread (more are slower for it) and, unless asked, without a bar, since its
    arms run side by side.
    """
    embedded = is_embedded(spec.base_model)
    if embedded:
        use_one_thread()
    if progress is None:
        progress = not embedded
    out_dir, loaded = Path(out_dir), load(spec)
    spec = loaded.spec
    process = join(loaded.decision.device)
    if process.rank == 0:
        checkpoints.claim(
            out_dir, spec, pairs, loaded.base_fingerprint, resume=resume, held_out=validation or ()
        )
        checkpoints.remove_broken(out_dir)
    process.wait_for_others()
    finished = _read_result(out_dir) if resume else None
    if finished is not None:
        return finished
    encoded = encode_pairs(
        loaded.tokenizer, pairs, max_length_tokens=spec.max_length_tokens, overlong=spec.overlong
    )
    n_steps = n_steps_for(len(encoded.pairs), spec.batch_size, spec.n_steps, spec.n_epochs)
    held_out = encode_pairs(
        loaded.tokenizer,
        validation or [],
        max_length_tokens=spec.max_length_tokens,
        overlong=spec.overlong,
    )
    if spec.trainer == "trl":
        from selene_lib.training.trl_trainer import train_with_trl as run_steps
    else:
        run_steps = train_with_selene
    resumed_from, metrics = run_steps(
        spec, loaded, encoded.pairs, held_out.pairs, out_dir, n_steps, progress, process
    )
    return _write_result(
        process, out_dir, spec, loaded, encoded, n_steps, resumed_from, metrics, len(held_out.pairs)
    )


def train_with_selene(
    spec: TrainSpec,
    loaded: Loaded,
    pairs: Sequence[EncodedPair],
    held_out: Sequence[EncodedPair],
    out_dir: Path,
    n_steps: int,
    progress: bool,
    process: Process,
) -> tuple[int, dict[str, float] | None]:
    """Run the steps with our trainer; return the step it continued from and the validation metrics."""
    from transformers import TrainingArguments, set_seed

    from selene_lib.training.trainer import PairTrainer, ProgressBar, argument_values, measure_pairs

    batches = global_batches([pair.id for pair in pairs], spec.batch_size, n_steps, spec.seed)
    used = sorted({i for batch in batches for i in batch})
    known = compute_reference(
        spec, loaded, [*(pairs[i] for i in used), *held_out], out_dir, progress, process
    )
    reference = np.full((len(pairs), 2), np.nan)  # a pair no step asks for stays nan
    reference[used] = known[: len(used)]
    checkpoint = checkpoints.latest_whole(out_dir)
    from_step = checkpoints.step_of(checkpoint) if checkpoint else 0
    set_seed(spec.seed)
    # a step's micro-batches are ours, so the Trainer's own batch and accumulation stay 1
    args = TrainingArguments(
        **argument_values(spec, loaded, out_dir, n_steps),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
    )
    callbacks = [ProgressBar()] if progress else []
    trainer = PairTrainer(
        loaded, spec, pairs, reference, batches, args, from_step=from_step, callbacks=callbacks
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    metrics = measure_pairs(loaded, spec, held_out, known[len(used) :]) if held_out else None
    save_adapter(trainer, out_dir / "adapter")
    return from_step, metrics


def _write_result(
    process: Process,
    out_dir: Path,
    spec: TrainSpec,
    loaded: Loaded,
    encoded: EncodedSet,
    n_steps: int,
    resumed_from: int,
    metrics: dict[str, float] | None,
    n_validation: int,
) -> TrainResult:
    trainable = sum(
        parameter.numel() for parameter in loaded.model.parameters() if parameter.requires_grad
    )
    result = TrainResult(
        adapter_dir=out_dir / "adapter",
        log_path=out_dir / "log.csv",
        telemetry_path=out_dir / "telemetry.csv",
        n_steps=n_steps,
        n_pairs=len(encoded.pairs),
        n_trainable_parameters=trainable,
        n_dropped=encoded.n_dropped,
        n_shortened=len(encoded.shortened_ids),
        resumed_from_step=resumed_from,
        n_validation=n_validation,
        validation=metrics,
        decision=loaded.decision.to_dict(),
        spec=spec.to_dict(),
    )
    values = {
        f.name: getattr(result, f.name)
        for f in fields(result)
        if f.type != "Path" and f.name != "resumed_from_step"
    }
    if process.rank == 0:
        write_json(out_dir / RESULT, values)
    return result


def _read_result(out_dir: Path) -> TrainResult | None:
    if not (out_dir / RESULT).exists() or not (out_dir / "adapter").is_dir():
        return None
    paths = {
        "adapter_dir": out_dir / "adapter",
        "log_path": out_dir / "log.csv",
        "telemetry_path": out_dir / "telemetry.csv",
    }
    return TrainResult(**paths, **read_json(out_dir / RESULT))
