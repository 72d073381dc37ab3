"""What a run will need, before anything is loaded: memory, tokens per second, hours, dollars.

Memory follows from counting (`selene_lib.training.counting`). Time is work over the device's dense
16-bit rate times an **assumed** share of it: an estimate to plan with, replaced by the telemetry of
the first steps. Dollars are those of a hosted generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selene_lib.errors import UserError
from selene_lib.models.loading import BF16_CAPABILITY, open_tokenizer
from selene_lib.records import PreferencePair
from selene_lib.training.cards import CARDS, card_named
from selene_lib.training.counting import (
    CHARACTERS_A_TOKEN,
    host_memory_bytes,
    memory_parts,
    pair_work,
)
from selene_lib.training.decision import Hardware, decide
from selene_lib.training.kinds import ModelKind
from selene_lib.training.shapes import Shape, read_shape
from selene_lib.training.spec import TrainSpec

ASSUMED_SHARE = {"cuda": 0.35, "cpu": 0.6}


@dataclass(frozen=True)
class Plan:
    """A prediction.

    `memory_bytes` has one entry per part; `fits` is None where the device's memory is not known.
    """

    device: str
    backend: str
    attention: str
    gradient_checkpointing: bool
    checkpoint_skip_layers: int
    n_parameters: int
    n_trainable: int
    micro_batch_tokens: int
    memory_bytes: dict[str, int]
    peak_memory_bytes: int
    device_memory_bytes: int | None
    fits: bool | None
    host_memory_bytes: int
    tokens_per_pair: int
    tokens_per_second: float
    pairs_per_second: float
    n_steps: int
    reference_hours: float
    hours: float
    assumptions: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "assumptions": list(self.assumptions)}


def plan_training(
    spec: TrainSpec,
    *,
    n_pairs: int | None = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    device: str | None = None,
    device_memory_bytes: int | None = None,
    flops_per_second: float | None = None,
) -> Plan:
    """Predict peak memory, speed and hours of a run; no weights are loaded.

    Read are the spec and the shape in the model's `config.json`. `device` is a name of `CARDS`,
    `cpu`, or None for what is here. The micro-batch is the spec's, or the largest that fits.
    `n_pairs` is needed when the spec counts epochs. Lengths default to 1,500 and 250 tokens, or
    what `max_length_tokens` leaves. A GPU is planned as one with Unsloth installed. `fits` is about
    the device alone. An unknown shape is a UserError.
    """
    shape = read_shape(spec)
    prompt_tokens, completion_tokens = _lengths(spec, prompt_tokens, completion_tokens)
    name, rate, memory = _device(spec, device, flops_per_second, device_memory_bytes)
    decision = decide(spec, _hardware(name, memory), ModelKind(shape.model_type))
    kind, skipped = decision.device, decision.checkpoint_skip_layers
    shared = decision.layout == "shared_prefix"
    tokens = (1 if shared else 2) * prompt_tokens + 2 * completion_tokens
    micro = _micro_tokens(spec, tokens, decision.micro_batch_tokens)
    parts = memory_parts(
        spec,
        shape,
        micro,
        kind=kind,
        checkpointing=decision.gradient_checkpointing,
        skip_layers=skipped,
    )
    peak = round(sum(parts.values()))
    n_steps = _n_steps(spec, n_pairs)
    pairs_seen = n_steps * spec.batch_size
    distinct = min(n_pairs or pairs_seen, pairs_seen)
    work = pair_work(shape, prompt_tokens, completion_tokens, shared=shared)
    recomputed = decision.gradient_checkpointing * (1 - skipped / shape.n_layers)
    flops = rate * ASSUMED_SHARE[kind]
    speed = flops / work.training(spec, recomputed_share=recomputed)
    # the reference reads each pair once, forward only; NLL alone needs none
    reference_seconds = distinct * work.forward / flops if spec.loss != "nll" else 0.0
    return Plan(
        device=name,
        backend=decision.backend,
        attention=decision.attention,
        gradient_checkpointing=decision.gradient_checkpointing,
        checkpoint_skip_layers=skipped,
        n_parameters=shape.n_parameters,
        n_trainable=_n_trainable(spec, shape),
        micro_batch_tokens=micro,
        memory_bytes={k: round(v) for k, v in parts.items()},
        peak_memory_bytes=peak,
        device_memory_bytes=memory,
        fits=None if memory is None else peak <= memory,
        host_memory_bytes=round(host_memory_bytes(distinct, tokens)),
        tokens_per_pair=tokens,
        tokens_per_second=speed * tokens,
        pairs_per_second=speed,
        n_steps=n_steps,
        reference_hours=reference_seconds / 3600,
        hours=(pairs_seen / speed + reference_seconds) / 3600,
        assumptions=_assumptions(spec, kind, prompt_tokens, completion_tokens, rate),
    )


def _hardware(device: str, memory: int | None) -> Hardware:
    """A machine to decide for: a GPU as one with Unsloth, an unknown one as the smallest that
    computes in bfloat16.
    """
    if device == "cpu":
        return Hardware(cuda=False, unsloth=False, flex=True, memory_bytes=memory)
    if device in CARDS:
        return replace(Hardware.of_card(CARDS[device], unsloth=True), memory_bytes=memory)
    return Hardware(True, True, True, BF16_CAPABILITY, memory)


def _n_trainable(spec: TrainSpec, shape: Shape) -> int:
    return shape.n_lora(spec.lora_r) if spec.adapter == "lora" else shape.n_parameters


def _lengths(spec: TrainSpec, prompt: int | None, completion: int | None) -> tuple[int, int]:
    """The lengths as given, else as assumed: the prompt and one completion, in tokens."""
    completion = completion or min(250, spec.max_length_tokens // 4)
    return prompt or min(1500, spec.max_length_tokens - completion), completion


def mean_lengths(
    spec: TrainSpec, pairs: Sequence[PreferencePair], *, at_most: int = 200
) -> tuple[int, int]:
    """Mean tokens of prompt and of one completion over the first pairs.

    By the model's own tokenizer; no weights are read.
    """
    from selene_lib.training.encoding import encode_pairs

    tokenizer = open_tokenizer(spec.base_model, what="base model", revision=spec.revision)
    kept = encode_pairs(
        tokenizer, pairs[:at_most], max_length_tokens=spec.max_length_tokens, overlong=spec.overlong
    ).pairs
    if not kept:
        raise UserError(
            f"none of the first {at_most} pairs fits max_length_tokens={spec.max_length_tokens}"
        )
    n_prompt = sum(pair.n_prompt_tokens for pair in kept)
    n_completion = sum(len(pair.chosen_ids) + len(pair.rejected_ids) for pair in kept)
    return round(n_prompt / len(kept)), round(n_completion / (2 * len(kept)))


def generation_cost_usd(
    n_requests: int,
    prompt_tokens: int,
    reply_tokens: int,
    *,
    usd_per_million_prompt: float,
    usd_per_million_reply: float,
) -> float:
    """What `n_requests` to a hosted generator cost, in USD.

    The prices are those the caller looked up today; none is built in.
    """
    return (
        n_requests
        * (prompt_tokens * usd_per_million_prompt + reply_tokens * usd_per_million_reply)
        / 1e6
    )


def _micro_tokens(spec: TrainSpec, tokens: int, room: int) -> int:
    """The spec's micro-batch, else as many whole pairs as fit, at least one, at most the batch."""
    if spec.micro_batch_tokens:
        return spec.micro_batch_tokens
    if spec.micro_batch_pairs:
        return spec.micro_batch_pairs * tokens
    return tokens * max(1, min(spec.batch_size, room // tokens))


def _device(
    spec: TrainSpec, device: str | None, rate: float | None, memory: int | None
) -> tuple[str, float, int | None]:
    if device is None:
        device = "cpu" if spec.device == "cpu" else _device_here()
    if device == "cpu":
        return "cpu", rate or measure_cpu_rate(), memory or _cpu_memory()
    if device in CARDS:
        card = CARDS[device]
        return device, rate or card.flops_per_second, memory or card.memory_bytes
    if not rate or not memory:
        raise UserError(
            f"device {device!r} is not known: use one of {', '.join(CARDS)}, cpu, "
            "or give flops_per_second and device_memory_bytes"
        )
    return device, rate, memory


def _device_here() -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu"
    name = torch.cuda.get_device_name(0)
    card = card_named(name, torch.cuda.get_device_properties(0).total_memory)
    return card.name if card else name


def measure_cpu_rate(n: int = 768) -> float:
    """FLOP/s of a float32 matrix product here, the best of five, in a tenth of a second."""
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
    checked = "checked on the CPU" if kind == "cpu" else "above what an H200 used (reports/gpu)"
    return (
        f"{prompt_tokens} prompt and {completion_tokens} completion tokens a pair",
        f"{ASSUMED_SHARE[kind]:.0%} of {rate / 1e12:.3g} TFLOP/s "
        "(assumed; reports/gpu has what an H200 reached)",
        f"memory by counting, {checked}; host memory by {CHARACTERS_A_TOKEN} characters a token",
    )
