"""The one place that looks at the hardware: backend, precision, layout, attention of a run.

`decide` is a pure function of the spec, of what is installed and of the kind of model, so its table
can be tested without a GPU.
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from selene_lib.errors import UserError
from selene_lib.models.loading import BF16_CAPABILITY, cpu_computes_bf16
from selene_lib.training.cards import Card
from selene_lib.training.counting import CEILING_TOKENS, fitting_tokens, longest_row_tokens
from selene_lib.training.kinds import ModelKind
from selene_lib.training.layout import Layout
from selene_lib.training.shapes import read_shape
from selene_lib.training.spec import TrainSpec

Device = Literal["cpu", "cuda"]
Backend = Literal["transformers", "unsloth"]
Dtype = Literal["float32", "bfloat16", "float16"]
Attention = Literal["segments", "varlen", "dense", "flex", "causal"]
Optimiser = Literal["adamw", "paged_adamw_8bit"]

# Unsloth's own forwards that hand a row's documents on to the attention
UNSLOTH_MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2")
# on older cards FlexAttention imports, computes, and fails in the backward pass
FLEX_CAPABILITY = (8, 0)
# room for so many tokens a micro-batch is enough to do without recomputation
ENOUGH_TOKENS = 8000


@dataclass(frozen=True)
class Hardware:
    """What the decision may depend on. `capability` is CUDA's (major, minor) of the card."""

    cuda: bool
    unsloth: bool
    flex: bool
    capability: tuple[int, int] | None = None
    memory_bytes: int | None = None
    cpu_bf16: bool = False

    @classmethod
    def of_card(cls, card: Card, *, unsloth: bool, flex: bool = True) -> Hardware:
        """A machine with this card, so that a decision can be read without owning one."""
        return cls(True, unsloth, flex, card.capability, card.memory_bytes)

    @property
    def bf16(self) -> bool:
        """Whether the device multiplies bfloat16 itself; a T4 only emulates it, slowly."""
        if not self.cuda:
            return self.cpu_bf16
        return self.capability is not None and self.capability >= BF16_CAPABILITY


@dataclass(frozen=True)
class Decision:
    """What a run gets, and why; goes into the result as it is.

    Of a model trained under `gradient_checkpointing`, the first `checkpoint_skip_layers` layers
    keep what the backward pass needs and are not computed again.
    """

    device: Device
    backend: Backend
    dtype: Dtype
    layout: Layout
    attention: Attention
    packing: bool
    optimiser: Optimiser
    gradient_checkpointing: bool
    micro_batch_tokens: int
    checkpoint_skip_layers: int = 0
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
    return Hardware(
        cuda=cuda,
        unsloth=_is_installed("unsloth"),
        flex=_is_installed("torch.nn.attention.flex_attention"),
        capability=torch.cuda.get_device_capability(0) if cuda else None,
        memory_bytes=torch.cuda.get_device_properties(0).total_memory if cuda else None,
        cpu_bf16=cpu_computes_bf16(),
    )


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def decide(spec: TrainSpec, hardware: Hardware, kind: ModelKind | None = None) -> Decision:
    """Choose backend, precision, layout and attention for a spec on this hardware.

    `kind` says what decides about a model before it is loaded; None (not known yet) is taken for a
    plain Llama. Raises UserError, with the setting that mends it, where a wish cannot be had.
    """
    backend, reasons = _decide_backend(spec, hardware, kind or ModelKind("llama"))
    layout: Layout = "pairs" if spec.layout == "pairs" or spec.trainer == "trl" else "shared_prefix"
    attention = _decide_attention(spec, hardware, backend)
    decision = Decision(
        device="cuda" if hardware.cuda else "cpu",
        backend=backend,
        dtype=_decide_dtype(spec, hardware),
        layout=layout,
        attention=attention,
        packing=spec.packing and attention != "causal",
        optimiser=_decide_optimiser(spec, hardware),
        gradient_checkpointing=bool(spec.gradient_checkpointing),
        micro_batch_tokens=spec.micro_batch_tokens or CEILING_TOKENS["cpu"],
        reasons=tuple(reasons),
    )
    return _decide_memory(spec, hardware, decision) if hardware.cuda else decision


def _decide_memory(spec: TrainSpec, hardware: Hardware, decision: Decision) -> Decision:
    """Recompute nothing where that leaves room for `ENOUGH_TOKENS`, else as few layers as the
    backend can leave out, else all.
    """
    wish, memory = spec.gradient_checkpointing, hardware.memory_bytes

    def room(checkpointing: bool, skip_layers: int = 0) -> int:
        return fitting_tokens(spec, "cuda", checkpointing, memory, skip_layers=skip_layers)

    checkpointing, skipped = wish is not False, 0
    # the longest row is a micro-batch of its own, however small the others are
    enough = max(
        min(ENOUGH_TOKENS, spec.micro_batch_tokens or ENOUGH_TOKENS), longest_row_tokens(spec)
    )
    n_layers = _n_layers(spec)
    if wish is None and n_layers and memory is not None:
        checkpointing = room(False) < enough
        if checkpointing and decision.backend == "unsloth" and spec.adapter == "lora":
            skipped = max(n for n in range(n_layers) if n == 0 or room(True, n) >= enough)
    return replace(
        decision,
        gradient_checkpointing=checkpointing,
        checkpoint_skip_layers=skipped,
        micro_batch_tokens=spec.micro_batch_tokens or room(checkpointing, skipped),
    )


def refuse_what_does_not_fit(decision: Decision, spec: TrainSpec, hardware: Hardware) -> None:
    """Raise UserError where a GPU has no room for the weights and one token."""
    if decision.micro_batch_tokens < 1:
        raise UserError(
            f"{spec.base_model} does not fit this GPU's {(hardware.memory_bytes or 0) / 1e9:.0f} "
            "GB: set quantisation to 'nf4', take a smaller base_model or a larger card "
            "(selene plan says what each needs)"
        )


def _n_layers(spec: TrainSpec) -> int | None:
    """The model's number of layers; None where its shape is not known before it is loaded."""
    try:
        return read_shape(spec).n_layers
    except UserError:
        return None


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


def _decide_backend(
    spec: TrainSpec, hardware: Hardware, kind: ModelKind
) -> tuple[Backend, list[str]]:
    """The backend and why; under `auto` Unsloth where it is installed and nothing speaks against
    it.
    """
    if spec.backend == "transformers":
        return "transformers", []
    obstacle = _unsloth_obstacle(spec, hardware, kind)
    if spec.backend == "unsloth":
        if obstacle is not None:
            raise UserError(f"backend 'unsloth' {obstacle[0]}: {obstacle[1]}")
        return "unsloth", []
    if not hardware.cuda or not hardware.unsloth:
        return "transformers", []
    if spec.trainer == "trl":
        return "transformers", ["transformers: trainer 'trl' uses unsloth only when it is named"]
    if obstacle is not None:
        return "transformers", [f"transformers: unsloth {obstacle[0]}"]
    return "unsloth", ["unsloth is installed and its forward takes this model's rows"]


def _unsloth_obstacle(
    spec: TrainSpec, hardware: Hardware, kind: ModelKind
) -> tuple[str, str] | None:
    """Why Unsloth cannot run a spec, and what to set instead; None where it can."""
    plain = "set backend to 'transformers'"
    if not hardware.cuda:
        return "needs an NVIDIA GPU", plain
    if not hardware.unsloth:
        return "is not installed", f"pip install 'selene_lib[gpu]', or {plain}"
    if spec.lora_first_layer:
        return "adapts every layer", f"set lora_first_layer to 0, or {plain}"
    if spec.trainer == "trl":
        return None
    if spec.attention in ("dense", "flex"):
        return (
            f"takes no attention '{spec.attention}'",
            f"set attention to 'auto', 'varlen' or 'segments', or {plain}",
        )
    if kind.model_type not in UNSLOTH_MODEL_TYPES:
        types = ", ".join(UNSLOTH_MODEL_TYPES)
        return f"hands documents on for {types} only, not for {kind.model_type}", plain
    if kind.obstacle is not None:
        return f"cannot pack this model's rows ({kind.obstacle})", plain
    if kind.n_positions is not None and spec.max_length_tokens > kind.n_positions:
        return (
            f"would stretch the model's {kind.n_positions} positions to "
            f"max_length_tokens={spec.max_length_tokens}, which makes another model of it",
            f"set max_length_tokens to {kind.n_positions} or less, or {plain}",
        )
    return None


def _decide_attention(spec: TrainSpec, hardware: Hardware, backend: Backend) -> Attention:
    if spec.trainer == "trl":
        return "causal"
    if spec.attention == "flex":
        _refuse_flex(hardware)
    if spec.attention != "auto":
        return spec.attention
    return "varlen" if hardware.cuda else "segments"


def _refuse_flex(hardware: Hardware) -> None:
    instead = "set attention to 'auto', 'segments' or 'dense'"
    if not hardware.flex:
        raise UserError(f"attention 'flex' is not in this torch: {instead}")
    if hardware.cuda and (hardware.capability or (0, 0)) < FLEX_CAPABILITY:
        have = ".".join(map(str, hardware.capability or ("unknown",)))
        raise UserError(
            f"attention 'flex' has no backward pass on a card of compute capability {have} "
            f"(it needs {'.'.join(map(str, FLEX_CAPABILITY))}): {instead}"
        )
