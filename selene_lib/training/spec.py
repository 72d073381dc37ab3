"""What a training run is: one frozen record, every field with its unit, no unknown key."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from selene_lib.errors import UserError
from selene_lib.training.trackers import names_of

# what may change between a checkpoint and its continuation, because it cannot change a number
PRESENTATION_FIELDS = frozenset(
    {"report_to", "save_every_steps", "keep_checkpoints", "reference_cache"}
)


@dataclass(frozen=True)
class TrainSpec:
    """Everything that decides a training run.

    The defaults are the embedded run: a small model on a CPU. `base_model` is a folder or a hub id
    (then `revision` must be a 40-hex commit). `batch_size` counts pairs per optimiser step over all
    devices and is the only batch number with a meaning; `micro_batch_tokens` only says how much of
    it is computed at once. `n_steps` wins over `n_epochs` when both are set. Beta and alpha are
    those of the paper's relatives, unverified for the paper itself. `dtype` `auto` is float32 on a
    CPU; `native` is bfloat16 where the CPU computes in it, else float32. `logit_chunk_tokens` is
    how many positions the output head computes at once, by default 1,024 on a GPU and 256 on a CPU
    (`counting.HEAD_CHUNK_TOKENS`). `lora_first_layer` leaves
    the layers below it as they are; `keep_frozen_states` then computes their states once and keeps
    them in memory.
    """

    base_model: str = ""
    revision: str | None = None
    trainer: Literal["selene", "trl"] = "selene"
    backend: Literal["auto", "transformers", "unsloth"] = "auto"
    quantisation: Literal["none", "nf4"] = "none"
    dtype: Literal["auto", "native", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # the objective, Iterative RPO (arXiv 2404.19733)
    loss: Literal["dpo_nll", "dpo", "nll"] = "dpo_nll"
    beta: float = 0.1
    alpha: float = 1.0
    label_smoothing: float = 0.0
    length_normalised: bool = False
    # what is trained
    adapter: Literal["lora", "full"] = "lora"
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"
    lora_first_layer: int = 0
    keep_frozen_states: bool = False
    # how
    learning_rate: float = 2e-4
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_share: float = 0.05
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    optimiser: Literal["auto", "adamw", "paged_adamw_8bit"] = "auto"
    n_steps: int | None = None
    n_epochs: float = 1.0
    batch_size: int = 16
    micro_batch_pairs: int | None = None
    micro_batch_tokens: int | None = None
    max_length_tokens: int = 2048
    overlong: Literal["drop", "shorten", "error"] = "drop"
    layout: Literal["auto", "shared_prefix", "pairs"] = "shared_prefix"
    attention: Literal["auto", "segments", "varlen", "dense", "flex", "causal"] = "auto"
    packing: bool = True
    gradient_checkpointing: bool | None = None
    logit_chunk_tokens: int | None = None
    seed: int = 0
    # where it is kept
    save_every_steps: int = 50
    keep_checkpoints: int = 2
    reference_cache: str | None = None
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._read_words()
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            _check_text(field.name, hints[field.name], getattr(self, field.name))
            _check_choice(field.name, hints[field.name], getattr(self, field.name))
            _check_number(field.name, hints[field.name], getattr(self, field.name))
        _check_ranges(self)
        _require(
            not (self.adapter == "full" and self.quantisation != "none"),
            "adapter 'full' cannot train 4-bit weights: quantisation 'none'",
        )
        _require(
            self.lora_first_layer >= 0,
            f"lora_first_layer is {self.lora_first_layer}: 0 adapts every layer",
        )
        _require(
            not self.keep_frozen_states
            or (self.lora_first_layer > 0 and self.trainer == "selene" and self.adapter == "lora"),
            "keep_frozen_states needs lora_first_layer over 0, adapter 'lora', trainer 'selene'",
        )
        _require(
            not (self.attention == "causal" and self.layout != "pairs"),
            "attention 'causal' cannot share a prompt: layout 'pairs'",
        )
        _require(
            not (self.trainer == "trl" and self.length_normalised),
            "trainer 'trl' with length_normalised is not wired: use 'selene'",
        )
        _require(
            not (self.trainer == "trl" and self.label_smoothing),
            "TRL's sigmoid loss ignores label_smoothing: set it to 0, or trainer to 'selene'",
        )
        object.__setattr__(self, "report_to", names_of(self.report_to))

    def _read_words(self) -> None:
        """Take a notebook's plain scalars for what is None here: `auto`, and 0 tokens."""
        words = {"auto": None, "on": True, "off": False}
        wish: Any = self.gradient_checkpointing
        if isinstance(wish, str):
            _require(wish in words, f"gradient_checkpointing is {wish!r}: auto, on or off")
            object.__setattr__(self, "gradient_checkpointing", words[wish])
        if self.micro_batch_tokens == 0:
            object.__setattr__(self, "micro_batch_tokens", None)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainSpec:
        """Build a spec from plain values (a notebook's parameters, a YAML mapping).

        An unknown key is a UserError that names it.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        _require(
            isinstance(values, Mapping), f"the settings of a training are no mapping: {values!r}"
        )
        unknown = sorted(map(str, set(values) - known))
        if unknown:
            raise UserError(
                f"training has no setting {unknown[0]!r}; "
                f"known settings: {', '.join(sorted(known))}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written beside the result."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"report_to": list(self.report_to)}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of every setting that can change a number; `PRESENTATION_FIELDS` are left out."""
        meaning = {k: v for k, v in self.to_dict().items() if k not in PRESENTATION_FIELDS}
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """Name the settings in which a stored spec differs, as `beta: 0.1 there, 0.2 here`."""
        mine = self.to_dict()
        names = sorted((set(mine) | set(other)) - PRESENTATION_FIELDS)
        return [
            f"{n}: {other.get(n)!r} there, {mine.get(n)!r} here"
            for n in names
            if mine.get(n) != other.get(n)
        ]


def _check_text(name: str, hint: Any, value: Any) -> None:
    """Refuse what is no text, no name that a file may have, or no bool, where one belongs."""
    kinds = get_args(hint) or (hint,)
    if bool in kinds and not (value is None and type(None) in kinds):
        _require(isinstance(value, bool), f"{name} is {value!r}: it must be true or false")
    if str not in kinds or get_origin(hint) in (Literal, tuple):
        return
    if value is None and type(None) in kinds:
        return
    _require(isinstance(value, str), f"{name} is {value!r}: it must be text")
    is_sound = "\0" not in value and value.encode(errors="replace").decode() == value
    _require(is_sound, f"{name} is {value!r}: it holds what is no character of a name")


def _check_choice(name: str, hint: Any, value: Any) -> None:
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise UserError(
            f"{name} is {value!r}: it must be one of {', '.join(map(str, get_args(hint)))}"
        )


# The values a number may have: lowest, highest, whether the lowest itself is allowed, and what for
_RANGES: dict[str, tuple[float, float, bool, str]] = {
    "learning_rate": (0, 1e30, False, "a positive number, 1e-6 to 1e-3 as a rule"),
    "beta": (0, 1e30, False, "DPO needs a positive beta"),
    "alpha": (0, 1e30, True, "0 or more"),
    "label_smoothing": (0, 0.4999999, True, "it must be in [0, 0.5)"),
    "lora_r": (1, 1 << 16, True, "the rank of the adapter, at least 1"),
    "lora_alpha": (0, 1 << 30, False, "a positive number"),
    "lora_dropout": (0, 0.9999999, True, "it must be in [0, 1)"),
    "warmup_share": (0, 1, True, "a share of the steps, 0 to 1"),
    "weight_decay": (0, 1e30, True, "0 or more"),
    "max_grad_norm": (0, 1e30, True, "0 (no clipping) or more"),
    "n_steps": (1, 1 << 40, True, "at least one step, or leave it out for n_epochs"),
    "n_epochs": (0, 1e9, False, "a positive number"),
    "batch_size": (1, 1 << 30, True, "at least one pair per step"),
    "micro_batch_pairs": (1, 1 << 30, True, "at least 1, or leave it out"),
    "micro_batch_tokens": (1, 1 << 40, True, "at least 1, or leave it out"),
    "max_length_tokens": (2, 1 << 30, True, "at least 2"),
    "logit_chunk_tokens": (1, 1 << 30, True, "at least 1"),
    "seed": (0, (1 << 32) - 1, True, "a whole number, 0 or more"),
    "save_every_steps": (1, 1 << 40, True, "at least 1"),
    "keep_checkpoints": (0, 1 << 30, True, "0 or more"),
}


def _check_number(name: str, hint: Any, value: Any) -> None:
    """Refuse text, booleans, NaN and infinity where a number belongs."""
    kinds = get_args(hint) or (hint,)
    if value is None or not {int, float} & set(kinds):
        return
    wanted = "a whole number" if int in kinds else "a number"
    is_number = isinstance(value, int if int in kinds else int | float)
    if not is_number or isinstance(value, bool):
        raise UserError(f"{name} is {value!r}: it must be {wanted}")
    _require(math.isfinite(value), f"{name} is {value!r}: it must be finite")


def _check_ranges(spec: TrainSpec) -> None:
    for name, (low, high, may_be_low, why) in _RANGES.items():
        value = getattr(spec, name)
        if value is None:
            continue
        is_inside = low <= value <= high and (may_be_low or value > low)
        _require(is_inside, f"{name} is {value!r}: {why}")
    targets = spec.lora_targets.split(",")
    _require(
        all(target.strip() == target and target for target in targets),
        f"lora_targets is {spec.lora_targets!r}: 'all-linear', or names of layers with commas and "
        "no spaces between them",
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)
