"""Opening what a decision says: tokenizer, model, fresh seeded adapter, a proved layout.

`choose_layout` proves with numbers that the loaded model honours the layout, and refuses it with
the reason where it does not.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, tell
from selene_lib.files import sha256_file
from selene_lib.models.loading import (
    check_chat_template,
    keep_4bit_weights_unpacked,
    nf4_config,
    open_config,
    open_model,
    open_tokenizer,
    silence_missing_4bit_kernel,
)
from selene_lib.training.counting import head_chunk_tokens
from selene_lib.training.decision import (
    Attention,
    Decision,
    Hardware,
    decide,
    look_at_hardware,
    refuse_what_does_not_fit,
)
from selene_lib.training.frozen import FrozenStates
from selene_lib.training.kinds import ModelKind, kind_of
from selene_lib.training.processes import local_rank
from selene_lib.training.spec import TrainSpec
from selene_lib.training.unsloth_model import import_unsloth, load_unsloth, may_be_unsloth

_WHAT = "base model"
LEAST_POSITIONS = 2
_WEIGHTS = ("*.safetensors", "*.bin", "config.json")


@dataclass(frozen=True)
class Loaded:
    """A model ready to train, its tokenizer, the decision it was loaded under, and the spec with
    the revision that was loaded. `frozen` keeps the states below the first adapted layer, where the
    spec asks for that.
    """

    model: Any
    tokenizer: Any
    decision: Decision
    base_fingerprint: str
    spec: TrainSpec
    frozen: FrozenStates | None = None


def open_for_training(spec: TrainSpec, *, hardware: Hardware | None = None) -> Loaded:
    """Open tokenizer and model, attach a fresh seeded adapter, settle on a layout it honours."""
    hardware = hardware or look_at_hardware(spec.device)
    silence_missing_4bit_kernel()
    if may_be_unsloth(spec, hardware):
        # it rewrites transformers, peft and trl, so it must come before them
        import_unsloth()
    from transformers import set_seed

    spec = pin_revision(spec)
    kind = model_kind(spec)
    spec = within_positions(spec, kind)
    decision = decide(spec, hardware, kind)
    refuse_what_does_not_fit(decision, spec, hardware)
    refuse_unknown_targets(spec)

    set_seed(spec.seed)
    loader = load_unsloth if decision.backend == "unsloth" else _load_transformers
    model, tokenizer = loader(spec, decision)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    fingerprint = base_fingerprint(spec, decision)
    if spec.trainer == "selene":
        decision = choose_layout(model, spec, decision)
    frozen = None
    if spec.keep_frozen_states:
        base = model.get_base_model()
        frozen = FrozenStates(base, spec.lora_first_layer, decision, tokenizer.pad_token_id)
    return Loaded(model, tokenizer, decision, fingerprint, spec, frozen)


def model_kind(spec: TrainSpec) -> ModelKind:
    """The kind of the spec's base model, from its configuration."""
    return kind_of(open_config(spec.base_model, what=_WHAT, revision=spec.revision))


def within_positions(spec: TrainSpec, kind: ModelKind) -> TrainSpec:
    """The spec with a `max_length_tokens` that its base has positions for; a lower one is told.

    Beyond them a model computes without having learnt to, or not at all.
    """
    n_positions = kind.n_positions
    if n_positions is None or spec.max_length_tokens <= n_positions:
        return spec
    if n_positions < LEAST_POSITIONS:
        raise UserError(
            f"{spec.base_model} has {n_positions} positions (max_position_embeddings in its "
            "config.json), which hold no pair: take another base, or copy its files again"
        )
    tell(
        f"max_length_tokens is {spec.max_length_tokens}, but {spec.base_model} has {n_positions} "
        f"positions: pairs of more than {n_positions} tokens count as too long"
    )
    return replace(spec, max_length_tokens=n_positions)


def pin_revision(spec: TrainSpec) -> TrainSpec:
    """The spec with the exact commit of a hub model in it; a local folder needs none.

    A given revision must be a 40-hex commit (a branch moves); a missing one is asked of the hub
    once, and then stands in the result.
    """
    if not spec.base_model:
        raise UserError("base_model is empty: give a model folder or a hub id")
    if Path(spec.base_model).is_dir():
        return spec
    if spec.base_model.startswith((".", "/", "~")) or spec.base_model.count("/") > 1:
        raise UserError(f"base_model {spec.base_model}: no such folder")
    if spec.revision is None:
        found = open_config(spec.base_model, what=_WHAT)
        return replace(spec, revision=getattr(found, "_commit_hash", None))
    if not re.fullmatch(r"[0-9a-f]{40}", spec.revision):
        raise UserError(
            f"revision {spec.revision!r} of {spec.base_model} is not a 40-hex commit: "
            "a branch or tag may move"
        )
    return spec


def _load_transformers(spec: TrainSpec, decision: Decision) -> tuple[Any, Any]:
    import torch

    from selene_lib.training.logprobs import attach_completion_head

    tokenizer = open_tokenizer(spec.base_model, what=_WHAT, revision=spec.revision)
    check_chat_template(tokenizer, spec.base_model)
    dtype = getattr(torch, decision.dtype)
    is_4bit = spec.quantisation == "nf4"
    place = local_rank() if decision.device == "cuda" else "cpu"
    base = open_model(
        spec.base_model,
        what=_WHAT,
        revision=spec.revision,
        dtype=dtype,
        device=place if is_4bit else None,
        attention=_implementation(decision.attention),
        quantisation_config=nf4_config(dtype, dtype) if is_4bit else None,
    )
    if is_4bit and decision.device == "cpu":
        keep_4bit_weights_unpacked(base)
    if decision.device == "cuda" and not is_4bit:
        base.to(f"cuda:{local_rank()}")
    base.config.use_cache = False
    attach_completion_head(base, chunk_tokens=head_chunk_tokens(spec, decision.device))
    if spec.adapter == "full":
        return base, tokenizer
    return _add_lora(base, spec), tokenizer


def refuse_unknown_targets(spec: TrainSpec) -> None:
    """Raise UserError where `lora_targets` names a layer that the base has none of.

    The base is laid out without weights, so nothing is loaded for it.
    """
    if spec.adapter != "lora" or spec.lora_targets == "all-linear":
        return
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(
            open_config(spec.base_model, what=_WHAT, revision=spec.revision)
        )
    linear = [name for name, layer in empty.named_modules() if isinstance(layer, torch.nn.Linear)]
    known = sorted({name.rpartition(".")[2] for name in linear})
    for target in spec.lora_targets.split(","):
        if not any(f".{name}".endswith(f".{target}") for name in linear):
            raise UserError(
                f"lora_targets: {spec.base_model} has no layer {target!r}; "
                f"'all-linear', or some of {', '.join(known)}"
            )


def _implementation(attention: Attention) -> str:
    """The attention in the words of transformers; ours are made known to it."""
    from selene_lib.training.attention import register_documents

    names = {"dense": "sdpa", "causal": "sdpa", "flex": "flex_attention"}
    return names.get(attention) or register_documents()


def _add_lora(base: Any, spec: TrainSpec) -> Any:
    from peft import LoraConfig, get_peft_model

    layers = _adapted_layers(base, spec)
    targets: str | list[str] = spec.lora_targets
    if targets != "all-linear":
        targets = spec.lora_targets.split(",")
    elif layers is not None:
        targets = _linear_names(base)  # peft takes a choice of layers with names only
    config = LoraConfig(
        r=spec.lora_r,
        lora_alpha=spec.lora_alpha,
        lora_dropout=spec.lora_dropout,
        target_modules=targets,
        layers_to_transform=layers,
        bias="none",
        task_type="CAUSAL_LM",
    )
    base.requires_grad_(False)
    return get_peft_model(base, config)


def _adapted_layers(base: Any, spec: TrainSpec) -> list[int] | None:
    """The layers that get an adapter; None for all of them."""
    if spec.lora_first_layer == 0:
        return None
    n_layers = base.config.get_text_config().num_hidden_layers
    if spec.lora_first_layer >= n_layers:
        raise UserError(
            f"lora_first_layer is {spec.lora_first_layer}, but {spec.base_model} has the layers "
            f"0 to {n_layers - 1}"
        )
    return list(range(spec.lora_first_layer, n_layers))


def _linear_names(base: Any) -> list[str]:
    """The names of the linear modules inside the decoder's layers, such as `q_proj`."""
    from torch.nn import Linear

    layers = base.get_decoder().layers
    found = {
        name.split(".")[-1] for name, module in layers.named_modules() if isinstance(module, Linear)
    }
    return sorted(found)


def base_fingerprint(spec: TrainSpec, decision: Decision) -> str:
    """SHA-256 that stands for the frozen base as it is computed with.

    Weights (or hub commit), precision and quantisation.
    """
    folder = Path(spec.base_model)
    if folder.is_dir():
        names = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)})
        weights = [f"{path.name} {sha256_file(path)}" for path in names if path.is_file()]
    else:
        weights = [f"{spec.base_model}@{spec.revision}"]
    parts = [*weights, decision.dtype, spec.quantisation]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def choose_layout(model: Any, spec: TrainSpec, decision: Decision) -> Decision:
    """Return the decision with a layout and an attention this model was seen to honour here.

    `attention: auto` falls back from `varlen` to `segments`. `layout: shared_prefix` that fails is
    a UserError with the reason; `auto` falls back to plain pairs; `pairs` falls back from packed to
    padded rows. Each refusal is kept in the decision's reasons and said on the log.
    """
    from selene_lib.training.probe import probe_layout

    reasons: list[str] = []
    for rung in ladder(spec, decision):
        use_attention(model, rung)
        problem = probe_layout(model, rung)
        if problem is None:
            return replace(rung, reasons=(*decision.reasons, *reasons))
        reasons.append(f"layout {rung.layout} with {rung.attention} attention refused: {problem}")
        logging.getLogger(__name__).warning("%s", reasons[-1])
    other = "backend to 'transformers', or " if decision.backend == "unsloth" else ""
    raise UserError(
        f"{spec.base_model}: {'; '.join(reasons)}. "
        f"Set {other}layout to 'pairs' (or 'auto') to train it with two sequences a pair"
    )


def ladder(spec: TrainSpec, decision: Decision) -> list[Decision]:
    """What is tried in turn, the best first."""
    rungs = [decision]
    if decision.attention == "varlen" and spec.attention == "auto":
        rungs.append(replace(decision, attention="segments"))
    if decision.layout == "shared_prefix" and spec.layout == "auto":
        rungs += [replace(rung, layout="pairs") for rung in rungs]
    if spec.layout in ("auto", "pairs") and decision.attention != "causal":
        rungs.append(replace(decision, layout="pairs", attention="causal", packing=False))
    return rungs


def use_attention(model: Any, decision: Decision) -> None:
    """Let a loaded model of transformers attend as a decision says; Unsloth is told by each row."""
    if decision.backend == "unsloth":
        return
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    base.set_attn_implementation(_implementation(decision.attention))
