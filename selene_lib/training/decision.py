"""The one place that looks at the hardware: backend, precision, layout, attention of a run.

`decide` is a pure function of the spec and of what is installed, so its table can be tested without
a GPU.
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from typing import Any, Literal

from selene_lib.errors import UserError
from selene_lib.models.loading import cpu_computes_bf16
from selene_lib.training.counting import CEILING_TOKENS, fitting_tokens
from selene_lib.training.layout import Layout
from selene_lib.training.spec import TrainSpec

Device = Literal["cpu", "cuda"]
Backend = Literal["transformers", "unsloth"]
Dtype = Literal["float32", "bfloat16", "float16"]
Attention = Literal["segments", "dense", "flex", "causal"]
Optimiser = Literal["adamw", "paged_adamw_8bit"]


@dataclass(frozen=True)
class Hardware:
    """What the decision may depend on."""

    cuda: bool
    bf16: bool
    unsloth: bool
    flex: bool
    memory_bytes: int | None = None
    cpu_bf16: bool = False


@dataclass(frozen=True)
class Decision:
    """What a run gets, and why; goes into the result as it is."""

    device: Device
    backend: Backend
    dtype: Dtype
    layout: Layout
    attention: Attention
    packing: bool
    optimiser: Optimiser
    gradient_checkpointing: bool
    micro_batch_tokens: int
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reasons": list(self.reasons)}


def look_at_hardware(device: str = "auto") -> Hardware:
    """Ask torch and the installed packages; `device='cpu'` hides a GPU."""
    import torch

    cuda = torch.cuda.is_available() and device != "cpu"
    if device == "cuda" and not cuda:
        raise UserError(
            "device is 'cuda' but torch sees no CUDA GPU: "
            "install a CUDA build of torch, or set device to 'auto'"
        )
    # a T4 emulates it, slowly
    bf16 = not cuda or torch.cuda.is_bf16_supported(including_emulation=False)
    memory = torch.cuda.get_device_properties(0).total_memory if cuda else None
    return Hardware(
        cuda,
        bf16,
        _is_installed("unsloth"),
        _is_installed("torch.nn.attention.flex_attention"),
        memory,
        cpu_computes_bf16(),
    )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def decide(spec: TrainSpec, hardware: Hardware) -> Decision:
    """Choose backend, precision, layout and attention for a spec on this hardware.

    Raises UserError where the wish cannot be had. Unsloth's fast forward ignores masks of four
    axes, so it never runs the shared layout: `auto` takes it only for `layout: pairs`.
    """
    reasons: list[str] = []
    backend = _decide_backend(spec, hardware, reasons)
    if backend == "unsloth" and spec.lora_first_layer:
        raise UserError(
            "lora_first_layer is not wired through unsloth: set backend to 'transformers'"
        )
    plain = backend == "unsloth" or spec.layout == "pairs" or spec.trainer == "trl"
    layout: Layout = "pairs" if plain else "shared_prefix"
    attention = _decide_attention(spec, hardware, backend, layout)
    checkpointing = (
        hardware.cuda if spec.gradient_checkpointing is None else spec.gradient_checkpointing
    )
    return Decision(
        device="cuda" if hardware.cuda else "cpu",
        backend=backend,
        dtype=_decide_dtype(spec, hardware),
        layout=layout,
        attention=attention,
        packing=spec.packing and attention != "causal",
        optimiser=_decide_optimiser(spec, hardware),
        gradient_checkpointing=checkpointing,
        micro_batch_tokens=spec.micro_batch_tokens
        or _fitting_tokens(spec, hardware, checkpointing),
        reasons=tuple(reasons),
    )


def _fitting_tokens(spec: TrainSpec, hardware: Hardware, checkpointing: bool) -> int:
    """Tokens of a micro-batch: on a GPU what there is room for, on a CPU a fixed number."""
    if not hardware.cuda:
        return CEILING_TOKENS["cpu"]
    return fitting_tokens(spec, "cuda", checkpointing, hardware.memory_bytes)


def _decide_dtype(spec: TrainSpec, hardware: Hardware) -> Dtype:
    if spec.dtype == "native" and not hardware.cuda:
        return "bfloat16" if hardware.cpu_bf16 else "float32"
    if spec.dtype != "auto" and spec.dtype != "native":
        return spec.dtype
    if not hardware.cuda:
        return "float32"
    return "bfloat16" if hardware.bf16 else "float16"


def _decide_optimiser(spec: TrainSpec, hardware: Hardware) -> Optimiser:
    if spec.optimiser != "auto":
        return spec.optimiser
    return "paged_adamw_8bit" if hardware.cuda and spec.quantisation == "nf4" else "adamw"


def _decide_backend(spec: TrainSpec, hardware: Hardware, reasons: list[str]) -> Backend:
    if spec.backend == "unsloth":
        if not hardware.cuda:
            raise UserError("backend 'unsloth' needs an NVIDIA GPU: set backend to 'transformers'")
        if not hardware.unsloth:
            raise UserError(
                "backend 'unsloth' is not installed: pip install 'selene_lib[gpu]', "
                "or set backend to 'transformers'"
            )
        if spec.layout == "shared_prefix":
            raise UserError(
                "unsloth's fast attention ignores the shared-prefix mask: "
                "set layout to 'pairs' (or 'auto')"
            )
        return "unsloth"
    could = spec.backend == "auto" and hardware.cuda and hardware.unsloth
    if could and spec.layout == "pairs" and spec.trainer == "selene":
        reasons.append("unsloth is installed and layout 'pairs' needs no special mask")
        return "unsloth"
    if could:
        reasons.append(
            "transformers, not unsloth: its fast attention ignores the shared-prefix mask"
        )
    return "transformers"


def _decide_attention(
    spec: TrainSpec, hardware: Hardware, backend: Backend, layout: Layout
) -> Attention:
    if backend == "unsloth" or spec.trainer == "trl":
        return "causal"
    if spec.attention == "flex" and not hardware.flex:
        raise UserError(
            "attention 'flex' is not in this torch: set attention to 'segments' or 'dense'"
        )
    if spec.attention != "auto":
        return spec.attention
    if not hardware.cuda:
        return "segments"
    if layout == "pairs":
        return "causal"
    return "flex" if hardware.flex else "segments"
