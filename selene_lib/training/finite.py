"""Stop a training at the first value that is not finite, before anything of it is written.

Weights must be finite in 16 bits (float16 ends at 65,504), in which judges are exported and served;
those of a sound training stay below 100.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from transformers import TrainerCallback

from selene_lib.errors import UserError

LARGEST_WEIGHT = 65504.0


class StopAtNonFinite(TrainerCallback):
    """Checks the gradients before each optimiser step, the weights after it, and what is logged.

    Under float16 the gradient scaler skips steps whose gradients overflow, so gradients are not
    checked there. `learning_rate` is named in the remedy.
    """

    def __init__(self, learning_rate: float) -> None:
        self.learning_rate = learning_rate

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The gradients, after clipping: a norm that overflowed has made them NaN or all zero."""
        if args.fp16:
            return
        gradients = [p.grad for p in _trained(kwargs["model"]) if p.grad is not None]
        if not _all_finite(gradients):
            raise not_finite("the gradient norm", state.global_step + 1, self.learning_rate)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The weights, before a checkpoint of this step is written."""
        peak = _peak(_trained(kwargs["model"]))
        if not peak <= LARGEST_WEIGHT:
            what = f"a trained weight ({peak:.3g}, in 16 bits)"
            raise not_finite(what, state.global_step, self.learning_rate)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """The loss and the gradient norm as the trainer reports them."""
        for name in ("loss", "grad_norm"):
            value = (logs or {}).get(name)
            skipped = name == "grad_norm" and args.fp16
            if value is not None and not skipped and not math.isfinite(float(value)):
                raise not_finite(f"{name} ({value})", state.global_step, self.learning_rate)


def refuse_non_finite(model: Any, what: str) -> None:
    """Raise UserError where a trained weight is not finite in 16 bits; called before weights are
    written.
    """
    if not _peak(_trained(model)) <= LARGEST_WEIGHT:
        raise UserError(
            f"{what} holds weights that are not finite, and is not written: "
            "lower learning_rate, or look for a pair that the base gives no probability"
        )


def not_finite(what: str, step: int, learning_rate: float) -> UserError:
    """The error that ends a training at `step`."""
    return UserError(
        f"training stopped at step {step}: {what} is not finite. Nothing of this step was saved; "
        f"lower learning_rate (now {learning_rate:g}) or max_grad_norm, and start again in another "
        "folder or with resume=False"
    )


def _trained(model: Any) -> list[torch.Tensor]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    return math.isfinite(_peak(tensors))


def _peak(tensors: Iterable[torch.Tensor]) -> float:
    """The largest absolute value, NaN where there is one.

    One number is fetched from the device for all of them: NaN and infinity survive a maximum.
    """
    peaks = [tensor.detach().abs().amax().float() for tensor in tensors if tensor.numel()]
    if not peaks:
        return 0.0
    device = peaks[0].device
    return float(torch.stack([peak.to(device) for peak in peaks]).amax())
