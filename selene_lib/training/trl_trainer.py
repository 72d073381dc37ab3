"""`trainer: trl`: the same run through `trl.DPOTrainer`, as yardstick and for who wants it.

Same token ids, same order of pairs, same cached reference, same adapter. What differs is TRL's: two
sequences a pair with full logits, and for `dpo_nll` an NLL that is the mean over all chosen tokens
of the **micro-batch** (`sft`); the two trainers agree to rounding at one pair a micro-batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, set_seed

# trl exports its names lazily, and unsloth replaces them at this place
from trl import DPOConfig, DPOTrainer  # type: ignore[attr-defined]

from selene_lib.errors import UserError
from selene_lib.training import checkpoints
from selene_lib.training.batching import global_batches
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.finite import StopAtNonFinite, refuse_non_finite
from selene_lib.training.job import Trained, TrainingJob
from selene_lib.training.runlog import LOG_COLUMNS, TELEMETRY_COLUMNS, StepLog, peak_memory_bytes
from selene_lib.training.spec import TrainSpec
from selene_lib.training.trainer import (
    ProgressBar,
    argument_values,
    output_folder,
    train_and_save,
)

LOSS_TYPES = {"dpo_nll": ["sigmoid", "sft"], "dpo": ["sigmoid"], "nll": ["sft"]}


class EncodedDPOTrainer(DPOTrainer):
    """`trl.DPOTrainer` on rows that are tokenised, ordered and scored by the reference already."""

    step_log: StepLog | None = None
    telemetry_log: StepLog | None = None

    def __init__(
        self, *args: Any, log_dir: Path | None = None, from_step: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        if log_dir and self.is_world_process_zero():
            self.step_log = StepLog(log_dir / "log.csv", LOG_COLUMNS, from_step=from_step)
            self.telemetry_log = StepLog(
                log_dir / "telemetry.csv", TELEMETRY_COLUMNS, from_step=from_step
            )

    def _prepare_dataset(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, *args: Any, **kwargs: Any) -> Dataset:
        return dataset

    def _get_train_sampler(self, dataset: Any = None) -> SequentialSampler:
        assert isinstance(self.train_dataset, Dataset)  # the one that `to_dataset` made
        return SequentialSampler(self.train_dataset)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write our two CSV files beside TRL's own logging."""
        super().log(logs, start_time)
        is_step = "rewards/margins" in logs and "learning_rate" in logs
        if self.step_log and is_step:
            step = self.state.global_step
            row = {
                "step": step,
                "loss": logs["loss"],
                "margin": logs["rewards/margins"],
                "reward_accuracy": logs["rewards/accuracies"],
            }
            self.step_log.write(row | {"learning_rate": float(logs["learning_rate"])})
        if self.telemetry_log and is_step:
            peak = {"step": self.state.global_step, "peak_memory_bytes": peak_memory_bytes()}
            self.telemetry_log.write(peak)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        refuse_non_finite(model, f"checkpoint-{self.state.global_step}")
        super()._save_checkpoint(model, trial)
        if self.is_world_process_zero():
            folder = output_folder(self.args)
            checkpoints.seal(folder / f"checkpoint-{self.state.global_step}")


def to_dataset(
    pairs: Sequence[EncodedPair], reference: np.ndarray, order: Sequence[int]
) -> Dataset:
    """Rows as TRL's collator reads them, in the order in which they are to be seen.

    Token ids and reference log-probs.
    """
    rows = [
        {
            "prompt_ids": pairs[i].prompt_ids.tolist(),
            "chosen_ids": pairs[i].chosen_ids.tolist(),
            "rejected_ids": pairs[i].rejected_ids.tolist(),
            "ref_chosen_logps": float(reference[i, 0]),
            "ref_rejected_logps": float(reference[i, 1]),
        }
        for i in order
    ]
    return Dataset.from_list(rows)


def trl_config(spec: TrainSpec, values: dict[str, Any]) -> DPOConfig:
    """TRL's configuration of a spec: every number is given, and nothing is truncated."""
    micro = spec.micro_batch_pairs or spec.batch_size
    if spec.batch_size % micro:
        raise UserError(
            f"batch_size {spec.batch_size} is not a multiple of micro_batch_pairs {micro}, "
            "which trainer 'trl' needs"
        )
    types = LOSS_TYPES[spec.loss]
    weights = {"sigmoid": 1.0, "sft": spec.alpha}
    return DPOConfig(
        **values,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=spec.batch_size // micro,
        loss_type=types,
        loss_weights=[weights[name] for name in types],
        beta=spec.beta,
        label_smoothing=spec.label_smoothing,
        precompute_ref_log_probs=True,
        max_length=None,
        disable_dropout=False,
    )


def train_with_trl(job: TrainingJob) -> Trained:
    """Run the steps with `trl.DPOTrainer`; the validation metrics are in our objective's terms."""
    spec, loaded, pairs = job.spec, job.loaded, job.pairs
    reference, of_held_out = job.reference(pairs)
    checkpoint = checkpoints.latest_whole(job.out_dir)
    checkpoints.restore_logs(checkpoint, job.out_dir)
    from_step = checkpoints.step_of(checkpoint) if checkpoint else 0
    batches = global_batches([pair.id for pair in pairs], spec.batch_size, job.n_steps, spec.seed)
    set_seed(spec.seed)
    trainer = EncodedDPOTrainer(
        model=loaded.model,
        args=trl_config(spec, argument_values(spec, loaded, job.out_dir, job.n_steps)),
        train_dataset=to_dataset(pairs, reference, [i for b in batches for i in b]),
        processing_class=loaded.tokenizer,
        callbacks=[StopAtNonFinite(spec.learning_rate), *([ProgressBar()] if job.progress else [])],
        log_dir=job.out_dir,
        from_step=from_step,
    )
    return train_and_save(trainer, job, checkpoint, of_held_out)
