"""The trainer: `transformers.Trainer` with our objective.

A step is a global batch of pairs; how it is cut into micro-batches cannot be seen in the numbers,
because every pair's loss is divided by the global batch size and nothing else.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from selene_lib.errors import UserError
from selene_lib.training import checkpoints
from selene_lib.training.batching import micro_batches, n_computed_tokens
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.finite import StopAtNonFinite, not_finite, refuse_non_finite
from selene_lib.training.forward import autocast, lay_out_for
from selene_lib.training.job import Trained, TrainingJob
from selene_lib.training.logprobs import completion_inputs, sum_by_sequence
from selene_lib.training.loss import PairLoss, pair_loss
from selene_lib.training.model import Loaded
from selene_lib.training.reference import logps_now
from selene_lib.training.runlog import LOG_COLUMNS, TELEMETRY_COLUMNS, StepLog, peak_memory_bytes
from selene_lib.training.saving import save_adapter
from selene_lib.training.spec import TrainSpec

_METRICS = ("loss", "dpo", "nll", "margin", "reward_accuracy")


class PairTrainer(Trainer):
    """Trains a loaded model on encoded pairs with cached reference log-probs.

    One dataloader item is the whole global batch of a step. Accumulation happens inside a step
    (`training_step`), so the Trainer counts optimiser steps only and a checkpoint's data position
    is its step. Under DDP each process takes every world-size-th pair of the step.
    """

    def __init__(
        self,
        loaded: Loaded,
        spec: TrainSpec,
        pairs: Sequence[EncodedPair],
        reference: np.ndarray,
        batches: Sequence[tuple[int, ...]],
        args: TrainingArguments,
        *,
        from_step: int = 0,
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self.loaded, self.spec, self.pairs, self.batches = loaded, spec, pairs, batches
        self.out_dir = output_folder(args)
        self.reference = torch.as_tensor(reference, dtype=torch.float32)
        self.micro_batch_tokens = loaded.decision.micro_batch_tokens
        self.micro_batch_pairs = spec.micro_batch_pairs
        # several GPUs are several processes (torchrun), never torch's DataParallel
        args._n_gpu = min(args.n_gpu, 1)
        super().__init__(
            model=loaded.model,
            args=args,
            train_dataset=list(range(len(batches))),
            callbacks=[StopAtNonFinite(spec.learning_rate), *callbacks],
        )
        self.remove_callback(PrinterCallback)
        self._last: dict[str, float] = {}
        self._at_hand: list[EncodedPair] = []
        self._recomputing = loaded.decision.gradient_checkpointing
        self._telemetry: dict[str, Any] = {}
        if self.is_world_process_zero():
            self.step_log = StepLog(self.out_dir / "log.csv", LOG_COLUMNS, from_step=from_step)
            self.telemetry_log = StepLog(
                self.out_dir / "telemetry.csv", TELEMETRY_COLUMNS, from_step=from_step
            )
        if spec.batch_size % args.world_size:
            raise UserError(
                f"batch_size {spec.batch_size} cannot be shared by {args.world_size} processes: "
                "make it a multiple"
            )

    def get_train_dataloader(self) -> DataLoader:
        """One item a step, in order; every process sees all steps and takes its share of each."""
        return DataLoader(
            _Steps(len(self.batches)),
            batch_size=1,
            shuffle=False,
            collate_fn=_one_step,
            num_workers=0,
        )

    def num_examples(self, dataloader: DataLoader) -> int:
        """Pairs seen over the whole run."""
        return sum(map(len, self.batches))

    def floating_point_ops(self, inputs: Any) -> int:
        """Not estimated here; the planner does."""
        return 0

    def _get_num_items_in_batch(self, batch_samples: list, device: Any) -> None:
        return None

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Forward and backward of the global batch of `inputs["step"]`.

        Returns its mean loss. Out of memory: smaller micro-batches, same step, recorded.
        """
        started = time.perf_counter()
        model.train()
        mine = self.batches[inputs["step"]][self.args.process_index :: self.args.world_size]
        event = ""
        while True:
            try:
                sums, n_micro = self._accumulate(model, mine)
                break
            except torch.OutOfMemoryError as error:
                event = self._back_off(model, error)
        self._record(sums, n_micro, event, mine, time.perf_counter() - started)
        return torch.tensor(self._last["loss"], device=self.args.device)

    def _accumulate(self, model: Any, mine: Sequence[int]) -> tuple[torch.Tensor, int]:
        members = [self.pairs[i] for i in mine]
        decision = self.loaded.decision
        cut = micro_batches(
            members,
            decision.layout,
            max_tokens=self.micro_batch_tokens,
            max_pairs=self.micro_batch_pairs,
            packing=decision.packing,
        )
        sums = torch.zeros(len(_METRICS), device=self.args.device)
        for number, group in enumerate(cut):
            last = number == len(cut) - 1
            self._at_hand = [members[i] for i in group]
            with contextlib.nullcontext() if last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    losses = self.pair_losses(model, [mine[i] for i in group])
                # DDP averages over processes, each of which holds 1 / world_size of the batch
                self.accelerator.backward(
                    losses.total.sum() * (self.args.world_size / self.spec.batch_size)
                )
            sums += torch.stack([part.detach().sum().float() for part in _parts(losses)])
        return sums, len(cut)

    def pair_losses(self, model: Any, indices: Sequence[int]) -> PairLoss:
        """Per-pair losses of these pairs, through the layout the model was proved on."""
        return losses_of(
            model,
            self.loaded,
            self.spec,
            [self.pairs[i] for i in indices],
            self.reference[list(indices)],
            device=self.args.device,
        )

    def _back_off(self, model: Any, error: Exception) -> str:
        """Halve the micro-batch that ran out of memory, counted in the tokens it computed.

        At one pair activations are recomputed from there on, where they were kept. With several
        processes nothing can change in one of them alone.
        """
        model.zero_grad()
        decision, group = self.loaded.decision, self._at_hand
        n_tokens = n_computed_tokens(group, decision.layout, packing=decision.packing)
        can_recompute = not self._recomputing and decision.backend == "transformers"
        if self.args.world_size > 1 or (len(group) == 1 and not can_recompute):
            raise UserError(
                f"out of memory with {len(group)} pair(s), {n_tokens} tokens, in a micro-batch: "
                "lower max_length_tokens, use quantisation 'nf4' or gradient_checkpointing, "
                "or (several processes) set micro_batch_tokens"
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(group) == 1:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            self._recomputing = True
            return f"out of memory at one pair of {n_tokens} tokens: recomputing from here on"
        self.micro_batch_tokens = n_tokens // 2
        return (
            f"out of memory at {n_tokens} tokens: micro-batches of at most "
            f"{self.micro_batch_tokens} tokens from here on; the global batch stays"
        )

    def _record(
        self, sums: torch.Tensor, n_micro: int, event: str, mine: Sequence[int], seconds: float
    ) -> None:
        total = self.accelerator.reduce(sums, "sum") if self.args.world_size > 1 else sums
        values = (total.double() / self.spec.batch_size).tolist()
        self._last = dict(zip(_METRICS, values))
        if not math.isfinite(self._last["loss"]):
            loss = f"the loss ({self._last['loss']})"
            raise not_finite(loss, self.state.global_step + 1, self.spec.learning_rate)
        n_tokens = sum(self.pairs[i].n_shared_tokens for i in mine) * self.args.world_size
        self._telemetry = {
            "seconds": seconds,
            "tokens": n_tokens,
            "tokens_per_second": n_tokens / seconds,
            "pairs_per_second": self.spec.batch_size / seconds,
            "peak_memory_bytes": peak_memory_bytes(),
            "n_micro_batches": n_micro,
            "event": event,
        }

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add our metrics to what trackers see, and write the two CSV files."""
        if "learning_rate" in logs and self._last:
            # without a reference (NLL alone) margins are nan, which no tracker should draw
            logs.update({k: v for k, v in self._last.items() if not math.isnan(v)})
            if self.is_world_process_zero():
                step = self.state.global_step
                self.step_log.write(
                    {"step": step, **self._last, "learning_rate": float(logs["learning_rate"])}
                )
                self.telemetry_log.write({"step": step, **self._telemetry})
        super().log(logs, start_time)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        refuse_non_finite(model, f"checkpoint-{self.state.global_step}")
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.is_world_process_zero():
            checkpoints.seal(self.out_dir / f"checkpoint-{self.state.global_step}")


def losses_of(
    model: Any,
    loaded: Loaded,
    spec: TrainSpec,
    pairs: Sequence[EncodedPair],
    reference: torch.Tensor,
    *,
    device: Any,
) -> PairLoss:
    """Per-pair losses, each [n_pairs], in one forward; reference sums are [n_pairs, 2]."""
    batch = lay_out_for(loaded.decision, pairs, pad_token_id=loaded.tokenizer.pad_token_id).to(
        device
    )
    inputs = completion_inputs(batch, loaded.decision.attention)
    if loaded.frozen is not None:
        inputs |= loaded.frozen.inputs(pairs, batch)
    logps = model(**inputs)
    sequences = sum_by_sequence(logps, batch.owner, batch.n_pairs)
    reference = reference.to(logps.device)
    return pair_loss(
        *sequences,
        reference[:, 0],
        reference[:, 1],
        kind=spec.loss,
        beta=spec.beta,
        alpha=spec.alpha,
        label_smoothing=spec.label_smoothing,
        length_normalised=spec.length_normalised,
    )


def _parts(losses: PairLoss) -> tuple[torch.Tensor, ...]:
    """The per-pair values in the order of `_METRICS`."""
    return losses.total, losses.dpo, losses.nll, losses.margin, losses.reward_correct


@torch.no_grad()
def measure_pairs(
    loaded: Loaded, spec: TrainSpec, pairs: Sequence[EncodedPair], reference: np.ndarray
) -> dict[str, float]:
    """Mean loss, dpo, nll, margin and reward accuracy of pairs under the current weights.

    Adapter on, dropout off.
    """
    known, decision = torch.as_tensor(reference, dtype=torch.float32), loaded.decision
    device = next(loaded.model.parameters()).device
    sums = torch.zeros(len(_METRICS), dtype=torch.float64)
    loaded.model.eval()
    for group in micro_batches(
        pairs, decision.layout, max_tokens=decision.micro_batch_tokens, packing=decision.packing
    ):
        with autocast(decision):
            losses = losses_of(
                loaded.model, loaded, spec, [pairs[i] for i in group], known[group], device=device
            )
        sums += torch.stack([part.double().sum().cpu() for part in _parts(losses)])
    loaded.model.train()
    return dict(zip(_METRICS, (sums / len(pairs)).tolist()))


class _Steps(Dataset[int]):
    """The numbers of the steps, as a dataloader reads them."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def __len__(self) -> int:
        return self.n_steps

    def __getitem__(self, step: int) -> int:
        return step


def train_and_save(
    trainer: Trainer, job: TrainingJob, checkpoint: Path | None, held_out_reference: np.ndarray
) -> Trained:
    """Run a trainer to its last step, from a checkpoint if there is one.

    Measure the held-out pairs and write the adapter. A model that no longer computes a finite
    log-probability is a UserError: no step comes after the last one to find that out.
    """
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    rate, validation = job.spec.learning_rate, None
    if not np.isfinite(logps_now(job.loaded, job.pairs[:1])).all():
        raise not_finite("the log-probability of a pair after it", job.n_steps, rate)
    if job.held_out:
        validation = measure_pairs(job.loaded, job.spec, job.held_out, held_out_reference)
        for name, value in validation.items():
            if not math.isfinite(value):
                raise not_finite(f"the {name} of the held-out pairs ({value})", job.n_steps, rate)
    save_adapter(trainer, job.out_dir / "adapter", job.spec, job.family)
    return Trained(checkpoints.step_of(checkpoint) if checkpoint else 0, validation)


def _one_step(items: list[int]) -> dict[str, int]:
    (step,) = items
    return {"step": step}


def output_folder(args: TrainingArguments) -> Path:
    """The folder that a trainer's arguments name."""
    if args.output_dir is None:
        raise ValueError("the trainer's arguments name no output_dir")
    return Path(args.output_dir)


def argument_values(spec: TrainSpec, loaded: Loaded, out_dir: Path, n_steps: int) -> dict[str, Any]:
    """The spec in the words of `transformers.TrainingArguments`, without the batch shape."""
    decision = loaded.decision
    optimisers = {"adamw": "adamw_torch", "paged_adamw_8bit": "paged_adamw_8bit"}
    distributed_on_cpu = decision.device == "cpu" and "WORLD_SIZE" in os.environ
    return {
        "output_dir": str(out_dir),
        "max_steps": n_steps,
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": spec.schedule,
        "warmup_steps": round(spec.warmup_share * n_steps),
        "weight_decay": spec.weight_decay,
        "max_grad_norm": spec.max_grad_norm,
        "optim": optimisers[decision.optimiser],
        "bf16": decision.dtype == "bfloat16",
        "fp16": decision.dtype == "float16",
        "gradient_checkpointing": decision.gradient_checkpointing and decision.backend != "unsloth",
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": spec.save_every_steps,
        "save_total_limit": max(2, spec.keep_checkpoints),
        "report_to": list(spec.report_to) or "none",
        "disable_tqdm": True,
        "seed": spec.seed,
        "use_cpu": decision.device == "cpu",
        "ddp_backend": "gloo" if distributed_on_cpu else None,
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
    }


class ProgressBar(TrainerCallback):
    """One bar with the time left, the loss and the share of pairs that are ranked right."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        from tqdm.auto import tqdm

        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="training",
            unit="step",
            disable=not state.is_world_process_zero,
        )

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict | None = None, **kwargs: Any
    ) -> None:
        if logs and "nll" in logs:
            shown = {"loss": f"{logs['loss']:.3f}"}
            if "reward_accuracy" in logs:
                shown["accuracy"] = f"{logs['reward_accuracy']:.2f}"
            self.bar.set_postfix(**shown, refresh=False)
            self.bar.update(state.global_step - self.bar.n)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.close()
