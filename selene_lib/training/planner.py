"""What a run will need, before anything is loaded: memory part by part, tokens per second, hours;
and what a hosted generator will cost.

Memory follows from counting. What autograd keeps per token and layer was counted with saved-tensor
hooks on the CPU (a test counts again): 12 H + 4 I + 7 r numbers with a shared prefix through
`segments`, 9 H + 4 I + 7 r otherwise, H with gradient checkpointing, where H is hidden, I
intermediate size and r the adapter's rank. Time is work over the device's dense 16-bit rate times
an **assumed** share of it: an estimate to plan with, replaced by the telemetry of the first steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json
from selene_lib.records import PreferencePair
from selene_lib.training.spec import TrainSpec

GB = 1024**3
# dense bf16 (fp16 for the T4) FLOP/s and memory as the makers state them
DEVICES: dict[str, tuple[float, float]] = {
    "T4": (65e12, 16 * GB),
    "L4": (121e12, 24 * GB),
    "RTX-4090": (165e12, 24 * GB),
    "A100-40GB": (312e12, 40 * GB),
    "A100-80GB": (312e12, 80 * GB),
    "H100-80GB": (989e12, 80 * GB),
    "H200": (989e12, 141 * GB),
}
ASSUMED_SHARE = {"cuda": 0.35, "cpu": 0.6}
# shapes of models that a spec may name without having them on disk, from their published
# configurations
KNOWN_SHAPES: dict[str, dict[str, int]] = {
    "Llama-3.1-8B-Instruct": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "Qwen2.5-0.5B-Instruct": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": 1,
    },
}
RUNTIME_BYTES = {"cuda": int(0.9 * GB), "cpu": int(0.6 * GB)}
CEILING_TOKENS = {"cuda": 16384, "cpu": 4096}  # more in one micro-batch is not faster
SLACK = 1.08  # what an allocator rounds up and fragments
NF4_BYTES = (
    0.5 + 0.127 / 8
)  # double quantisation adds 0.127 bit a weight (QLoRA, arXiv 2305.14314, section 3)


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama-type model that memory and work depend on."""

    hidden: int
    intermediate: int
    n_layers: int
    n_heads: int
    n_key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def n_linear(self) -> int:
        """Weights of the linear layers inside the blocks: what is quantised and what LoRA sits on."""
        query, key_value = self.n_heads * self.head_dim, self.n_key_value_heads * self.head_dim
        return self.n_layers * (
            self.hidden * (2 * query + 2 * key_value) + 3 * self.hidden * self.intermediate
        )

    @property
    def n_embedding(self) -> int:
        """Weights of the input embedding and, unless tied, of the output head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def n_parameters(self) -> int:
        return self.n_linear + self.n_embedding + (2 * self.n_layers + 1) * self.hidden

    def n_lora(self, rank: int) -> int:
        """Weights of a LoRA of this rank on every linear layer of the blocks."""
        query, key_value = self.n_heads * self.head_dim, self.n_key_value_heads * self.head_dim
        attention = 2 * (self.hidden + query) + 2 * (self.hidden + key_value)
        return self.n_layers * rank * (attention + 3 * (self.hidden + self.intermediate))


@dataclass(frozen=True)
class Plan:
    """A prediction. `memory_bytes` has one entry per part; `fits` is None where the device's memory
    is not known.
    """

    device: str
    n_parameters: int
    n_trainable: int
    micro_batch_tokens: int
    memory_bytes: dict[str, int]
    peak_memory_bytes: int
    device_memory_bytes: int | None
    fits: bool | None
    tokens_per_pair: int
    tokens_per_second: float
    n_steps: int
    reference_hours: float
    hours: float
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "assumptions": list(self.assumptions)}


def plan(
    spec: TrainSpec,
    *,
    n_pairs: int | None = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    device: str | None = None,
    device_memory_bytes: int | None = None,
    flops_per_second: float | None = None,
) -> Plan:
    """Predict peak memory, speed and hours of a run from its spec and the shape in the model's
    `config.json`; loads no weights.

    `device` is a name of `DEVICES`, `cpu`, or None for what is here. The micro-batch is the spec's,
    or the largest that fits. `n_pairs` is needed when the spec counts epochs. Lengths default to
    1,500 and 250 tokens, or what `max_length_tokens` leaves of them. Raises UserError where the
    shape is unknown.
    """
    shape = read_shape(spec)
    completion_tokens = completion_tokens or min(250, spec.max_length_tokens // 4)
    prompt_tokens = prompt_tokens or min(1500, spec.max_length_tokens - completion_tokens)
    name, rate, memory = _device(spec, device, flops_per_second, device_memory_bytes)
    kind = "cpu" if name == "cpu" else "cuda"
    shared = spec.layout != "pairs" and spec.trainer == "selene"
    tokens = (
        prompt_tokens + 2 * completion_tokens if shared else 2 * (prompt_tokens + completion_tokens)
    )
    checkpointing = (
        kind == "cuda" if spec.gradient_checkpointing is None else spec.gradient_checkpointing
    )
    micro = _micro_tokens(spec, kind, checkpointing, tokens, memory)
    parts = memory_parts(spec, shape, micro, kind=kind, checkpointing=checkpointing)
    peak = round(sum(parts.values()))
    n_steps = _n_steps(spec, n_pairs)
    pairs_seen = n_steps * spec.batch_size
    per_token = training_flops_per_token(
        spec, shape, prompt_tokens + completion_tokens, checkpointing
    )
    speed = rate * ASSUMED_SHARE[kind] / per_token
    reference_seconds = (
        min(n_pairs or pairs_seen, pairs_seen)
        * tokens
        / (speed * per_token / forward_flops(shape, prompt_tokens))
    )
    hours = (pairs_seen * tokens / speed + reference_seconds) / 3600
    return Plan(
        name,
        shape.n_parameters,
        shape.n_lora(spec.lora_r) if spec.adapter == "lora" else shape.n_parameters,
        micro,
        {k: round(v) for k, v in parts.items()},
        peak,
        memory,
        None if memory is None else peak <= memory,
        tokens,
        speed,
        n_steps,
        reference_seconds / 3600,
        hours,
        _assumptions(spec, kind, prompt_tokens, completion_tokens, rate),
    )


def mean_lengths(
    spec: TrainSpec, pairs: Sequence[PreferencePair], *, at_most: int = 200
) -> tuple[int, int]:
    """Mean tokens of prompt and of one completion over the first pairs, with the model's own
    tokenizer (no weights are read).
    """
    from transformers import AutoTokenizer

    from selene_lib.training.encoding import encode_pairs

    tokenizer = AutoTokenizer.from_pretrained(spec.base_model, revision=spec.revision)
    kept = encode_pairs(
        tokenizer, pairs[:at_most], max_length_tokens=spec.max_length_tokens, overlong=spec.overlong
    ).pairs
    if not kept:
        raise UserError(
            f"none of the first {at_most} pairs fits max_length_tokens={spec.max_length_tokens}"
        )
    n_completion = sum(len(pair.chosen_ids) + len(pair.rejected_ids) for pair in kept)
    return round(sum(pair.n_prompt_tokens for pair in kept) / len(kept)), round(
        n_completion / (2 * len(kept))
    )


def read_shape(spec: TrainSpec) -> Shape:
    """Shape from a model folder's `config.json`, or of a well-known model by its name."""
    path = Path(spec.base_model) / "config.json"
    values = (
        read_json(path) if path.is_file() else KNOWN_SHAPES.get(spec.base_model.rpartition("/")[2])
    )
    if values is None:
        raise UserError(
            f"no config.json in {spec.base_model!r}: download the model (its config.json is enough) and name its folder"
        )
    missing = [
        k
        for k in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "vocab_size",
        )
        if k not in values
    ]
    if missing:
        raise UserError(f"{path} has no {missing[0]}: the planner knows Llama-type models only")
    heads = values["num_attention_heads"]
    return Shape(
        values["hidden_size"],
        values["intermediate_size"],
        values["num_hidden_layers"],
        heads,
        values.get("num_key_value_heads") or heads,
        values.get("head_dim") or values["hidden_size"] // heads,
        values["vocab_size"],
        bool(values.get("tie_word_embeddings", False)),
    )


def saved_per_token(spec: TrainSpec, shape: Shape, *, checkpointing: bool, copies: bool) -> float:
    """Numbers autograd keeps per token over all layers; `copies` for the `segments` attention,
    which copies prompt keys per side.
    """
    layer = (
        (12 if copies else 9) * shape.hidden
        + 4 * shape.intermediate
        + 7 * spec.lora_r * (spec.adapter == "lora")
    )
    return shape.n_layers * shape.hidden + layer if checkpointing else shape.n_layers * layer


def memory_parts(
    spec: TrainSpec, shape: Shape, micro_batch_tokens: int, *, kind: str, checkpointing: bool
) -> dict[str, float]:
    """Bytes by part: base, adapter with gradients and optimiser, activations of one micro-batch,
    logits of one chunk, runtime.
    """
    wide = 4 if (spec.dtype == "float32" or (spec.dtype == "auto" and kind == "cpu")) else 2
    linear = NF4_BYTES if spec.quantisation == "nf4" else wide
    base = shape.n_linear * linear + (shape.n_parameters - shape.n_linear) * wide
    paged = spec.optimiser == "paged_adamw_8bit" or (
        spec.optimiser == "auto" and kind == "cuda" and spec.quantisation == "nf4"
    )
    states = 2 if paged else 8
    trained = (
        shape.n_lora(spec.lora_r) * (4 + 4 + states)
        if spec.adapter == "lora"
        else shape.n_parameters * (wide + states)
    )
    copies = kind == "cpu" and spec.layout != "pairs"
    kept = saved_per_token(spec, shape, checkpointing=checkpointing, copies=copies) * wide
    # the backward pass of a layer holds the gradients of its widest activations beside what was
    # kept
    working = (3 * shape.intermediate + 4 * shape.hidden) * wide
    logits = 3 * spec.logit_chunk_tokens * shape.vocabulary * 4
    return {
        "base": base * SLACK,
        "trained": trained * SLACK,
        "activations": micro_batch_tokens * (kept + working) * SLACK,
        "logits": logits,
        "runtime": RUNTIME_BYTES[kind],
    }


def forward_flops(shape: Shape, context_tokens: float) -> float:
    """FLOPs of one token's forward through the blocks: 2 a weight, and 4 * heads * head_dim a key
    it looks at (half the context).
    """
    return (
        2 * shape.n_linear
        + 4 * shape.n_layers * shape.n_heads * shape.head_dim * context_tokens / 2
    )


def training_flops_per_token(
    spec: TrainSpec, shape: Shape, context_tokens: float, checkpointing: bool
) -> float:
    """Forward, backward (once for frozen weights, twice for trained ones), and the forward again
    under checkpointing.
    """
    passes = (2 if spec.adapter == "lora" else 3) + checkpointing
    return passes * forward_flops(shape, context_tokens)


def generation_cost_usd(
    n_requests: int,
    prompt_tokens: int,
    reply_tokens: int,
    *,
    usd_per_million_prompt: float,
    usd_per_million_reply: float,
) -> float:
    """What `n_requests` to a hosted generator cost, in USD, at prices the caller looked up today;
    none is built in.
    """
    return (
        n_requests
        * (prompt_tokens * usd_per_million_prompt + reply_tokens * usd_per_million_reply)
        / 1e6
    )


def fitting_tokens(spec: TrainSpec, kind: str, checkpointing: bool, memory: int | None) -> int:
    """Tokens of a micro-batch that 90 % of the memory has room for; never above the device's
    ceiling, which also serves unknown shapes.
    """
    try:
        shape = read_shape(spec)
    except UserError:
        return CEILING_TOKENS[kind]
    if memory is None:
        return CEILING_TOKENS[kind]
    fixed = sum(memory_parts(spec, shape, 0, kind=kind, checkpointing=checkpointing).values())
    one = memory_parts(spec, shape, 1, kind=kind, checkpointing=checkpointing)["activations"]
    return int(min(CEILING_TOKENS[kind], max(1, (0.9 * memory - fixed) / one)))


def _micro_tokens(
    spec: TrainSpec, kind: str, checkpointing: bool, tokens: int, memory: int | None
) -> int:
    """The spec's micro-batch, else the largest number of whole pairs, at most the batch, that fits
    (at least one).
    """
    if spec.micro_batch_tokens:
        return spec.micro_batch_tokens
    if spec.micro_batch_pairs:
        return spec.micro_batch_pairs * tokens
    return tokens * max(
        1, min(spec.batch_size, fitting_tokens(spec, kind, checkpointing, memory) // tokens)
    )


def _device(
    spec: TrainSpec, device: str | None, rate: float | None, memory: int | None
) -> tuple[str, float, int | None]:
    if device is None:
        device = "cpu" if spec.device == "cpu" else _device_here()
    if device == "cpu":
        return "cpu", rate or measure_cpu_rate(), memory or _cpu_memory()
    if device not in DEVICES and not (rate and memory):
        raise UserError(
            f"device {device!r} is not known: use one of {', '.join(DEVICES)}, cpu, or give flops_per_second and device_memory_bytes"
        )
    known_rate, known_memory = DEVICES.get(device, (rate, memory))
    return device, rate or known_rate, memory or int(known_memory)


def _device_here() -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    name = torch.cuda.get_device_name(0)
    sizes = {
        "A100": (
            "A100-80GB"
            if torch.cuda.get_device_properties(0).total_memory > 50 * GB
            else "A100-40GB"
        ),
        "H100": "H100-80GB",
    }
    for key, known in [
        *sizes.items(),
        ("H200", "H200"),
        ("T4", "T4"),
        ("L4", "L4"),
        ("4090", "RTX-4090"),
    ]:
        if key in name.replace("-", " ").split() or key in name:
            return known
    return name


def measure_cpu_rate(n: int = 768) -> float:
    """FLOP/s of a single-precision matrix product here, the best of five, a tenth of a second in
    all.
    """
    import time

    import torch

    a = torch.randn(n, n)
    seconds = []
    for _ in range(6):
        started = time.perf_counter()
        a @ a
        seconds.append(time.perf_counter() - started)
    return 2 * n**3 / min(seconds[1:])


def _cpu_memory() -> int | None:
    import psutil

    return psutil.virtual_memory().total


def _n_steps(spec: TrainSpec, n_pairs: int | None) -> int:
    if spec.n_steps is not None:
        return spec.n_steps
    if n_pairs is None:
        raise UserError(
            "the spec counts epochs: say how many pairs there are (n_pairs), or set n_steps"
        )
    return max(1, math.ceil(n_pairs * spec.n_epochs / spec.batch_size))


def _assumptions(
    spec: TrainSpec, kind: str, prompt_tokens: int, completion_tokens: int, rate: float
) -> tuple[str, ...]:
    return (
        f"{prompt_tokens} prompt and {completion_tokens} completion tokens a pair",
        f"{ASSUMED_SHARE[kind]:.0%} of {rate / 1e12:.3g} TFLOP/s (assumed, not measured on this device)",
        "memory by counting; on a GPU not yet compared with a measurement"
        if kind == "cuda"
        else "memory by counting, checked on the CPU",
    )
