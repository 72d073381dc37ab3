"""Loading what a decision says: tokenizer and model, quantised if asked, with a fresh seeded
adapter, on a layout it was seen to honour.

`choose_layout` proves with numbers that the loaded model honours the layout, and refuses it with
the reason where it does not.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import sha256_file
from selene_lib.models.loading import (
    keep_4bit_weights_unpacked,
    silence_missing_4bit_kernel,
    without_loading_bars,
)
from selene_lib.training.decision import Decision, Hardware, decide, look_at_hardware
from selene_lib.training.processes import local_rank
from selene_lib.training.spec import TrainSpec

_WEIGHTS = ("*.safetensors", "*.bin", "config.json")


@dataclass(frozen=True)
class Loaded:
    """A model ready to train, its tokenizer, the decision it was loaded under, and the spec with
    the revision that was loaded.
    """

    model: Any
    tokenizer: Any
    decision: Decision
    base_fingerprint: str
    spec: TrainSpec


def load(spec: TrainSpec, *, hardware: Hardware | None = None) -> Loaded:
    """Load tokenizer and model, quantise if asked, attach a fresh adapter (seeded), and settle on a
    layout the model honours.
    """
    hardware = hardware or look_at_hardware(spec.device)
    decision = decide(spec, hardware)
    silence_missing_4bit_kernel()
    if decision.backend == "unsloth":
        import unsloth  # noqa: F401  it rewrites transformers, peft and trl, so it must come before them
    from transformers import set_seed

    spec = pin_revision(spec)

    set_seed(spec.seed)
    loader = _load_unsloth if decision.backend == "unsloth" else _load_transformers
    model, tokenizer = loader(spec, decision)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    fingerprint = base_fingerprint(spec, decision)
    if spec.trainer == "selene":
        decision = choose_layout(model, spec, decision)
    return Loaded(model, tokenizer, decision, fingerprint, spec)


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
        from transformers import AutoConfig

        try:
            found = AutoConfig.from_pretrained(spec.base_model)
        except OSError as error:
            reason = (str(error).strip().splitlines() or ["not found"])[0]
            raise UserError(
                f"cannot load {spec.base_model}: {reason}; give a local folder, or a hub id with network and access"
            ) from error
        return replace(spec, revision=getattr(found, "_commit_hash", None))
    if not re.fullmatch(r"[0-9a-f]{40}", spec.revision):
        raise UserError(
            f"revision {spec.revision!r} of {spec.base_model} is not a 40-hex commit: a branch or tag may move"
        )
    return spec


def _load_transformers(spec: TrainSpec, decision: Decision) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    from selene_lib.training.attention import register_segments
    from selene_lib.training.logprobs import attach_completion_head

    source = {"revision": spec.revision, "local_files_only": Path(spec.base_model).is_dir()}
    tokenizer = AutoTokenizer.from_pretrained(spec.base_model, **source)
    dtype = getattr(torch, decision.dtype)
    options: dict[str, Any] = {
        "dtype": dtype,
        "attn_implementation": _implementation(decision.attention, register_segments()),
    }
    if spec.quantisation == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=dtype,
        )
        options["device_map"] = {"": local_rank() if decision.device == "cuda" else "cpu"}
    with without_loading_bars():
        base = AutoModelForCausalLM.from_pretrained(spec.base_model, **source, **options)
    if spec.quantisation == "nf4" and decision.device == "cpu":
        keep_4bit_weights_unpacked(base)
    if decision.device == "cuda" and spec.quantisation == "none":
        base.to(f"cuda:{local_rank()}")
    base.config.use_cache = False
    attach_completion_head(base, chunk_tokens=spec.logit_chunk_tokens)
    if spec.adapter == "full":
        return base, tokenizer
    return _add_lora(base, spec), tokenizer


def _implementation(attention: str, segments: str) -> str:
    return {"segments": segments, "dense": "sdpa", "causal": "sdpa", "flex": "flex_attention"}[
        attention
    ]


def _add_lora(base: Any, spec: TrainSpec) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = (
        spec.lora_targets if spec.lora_targets == "all-linear" else spec.lora_targets.split(",")
    )
    config = LoraConfig(
        r=spec.lora_r,
        lora_alpha=spec.lora_alpha,
        lora_dropout=spec.lora_dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    base.requires_grad_(False)
    return get_peft_model(base, config)


def _load_unsloth(spec: TrainSpec, decision: Decision) -> tuple[Any, Any]:
    """Load through Unsloth with every setting given; the tokenizer is the plain one, as judging and
    export load it.

    Unsloth's own may come with another pad token or a rewritten chat template.
    """
    import torch
    from transformers import AutoConfig, AutoTokenizer
    from unsloth import FastLanguageModel

    from selene_lib.training.logprobs import attach_completion_head

    os.environ.setdefault(
        "UNSLOTH_DISABLE_STATISTICS", "1"
    )  # else every load fetches files that count machines
    source = {"revision": spec.revision, "local_files_only": Path(spec.base_model).is_dir()}
    refuse_stretched_positions(spec, AutoConfig.from_pretrained(spec.base_model, **source))
    model, _ = FastLanguageModel.from_pretrained(
        **unsloth_load_arguments(spec, decision), dtype=getattr(torch, decision.dtype)
    )
    refuse_other_weights(model, spec, decision)
    attach_completion_head(model, chunk_tokens=spec.logit_chunk_tokens)
    tokenizer = AutoTokenizer.from_pretrained(spec.base_model, **source)
    if spec.adapter == "full":
        return model, tokenizer
    return FastLanguageModel.get_peft_model(
        model, **unsloth_lora_arguments(spec, decision)
    ), tokenizer


def unsloth_load_arguments(spec: TrainSpec, decision: Decision) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.from_pretrained`, without `dtype`: everything it would
    otherwise choose itself.

    Without the exact name it loads a repository of its own, without a device it spreads the model
    by a plan of its own, and with `offload_embedding` left alone it moves the embedding to host
    memory when the GPU is small.
    """
    return {
        "model_name": spec.base_model,
        "revision": spec.revision,
        "local_files_only": Path(spec.base_model).is_dir(),
        "use_exact_model_name": True,
        "fix_tokenizer": False,
        "trust_remote_code": False,
        "device_map": {"": local_rank() if decision.device == "cuda" else "cpu"},
        "offload_embedding": False,
        "max_seq_length": spec.max_length_tokens,
        "random_state": spec.seed,
        "load_in_4bit": spec.quantisation == "nf4",
        "load_in_8bit": False,
        "load_in_16bit": False,
        "load_in_fp8": False,
        "full_finetuning": spec.adapter == "full",
        "float32_mixed_precision": spec.adapter == "lora",
        "use_gradient_checkpointing": _unsloth_checkpointing(decision),
        "fast_inference": False,
    }


def unsloth_lora_arguments(spec: TrainSpec, decision: Decision) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.get_peft_model`, each set explicitly (its own seed is 3407,
    its own target list is its own).
    """
    all_linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return {
        "r": spec.lora_r,
        "lora_alpha": spec.lora_alpha,
        "lora_dropout": spec.lora_dropout,
        "bias": "none",
        "target_modules": all_linear
        if spec.lora_targets == "all-linear"
        else spec.lora_targets.split(","),
        "use_gradient_checkpointing": _unsloth_checkpointing(decision),
        "random_state": spec.seed,
        "max_seq_length": spec.max_length_tokens,
        "use_rslora": False,
    }


def _unsloth_checkpointing(decision: Decision) -> str | bool:
    return "unsloth" if decision.gradient_checkpointing else False


def refuse_stretched_positions(spec: TrainSpec, config: Any) -> None:
    """Raise UserError where Unsloth would rescale the rotary positions of a model to reach
    `max_length_tokens`: another model.
    """
    n_positions = config.get_text_config().max_position_embeddings
    if spec.max_length_tokens > n_positions:
        raise UserError(
            f"{spec.base_model} has {n_positions} positions and unsloth would stretch them to max_length_tokens={spec.max_length_tokens}: "
            f"set max_length_tokens to {n_positions} or less, or backend to 'transformers'"
        )


def refuse_other_weights(model: Any, spec: TrainSpec, decision: Decision) -> None:
    """Raise UserError where Unsloth loaded another precision or quantisation than the one asked for
    (it only prints that).
    """
    found = str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")
    if found != decision.dtype:
        raise UserError(
            f"unsloth loaded {spec.base_model} in {found}, not {decision.dtype}: set dtype, or backend to 'transformers'"
        )
    quantisation = "nf4" if getattr(model, "is_loaded_in_4bit", False) else "none"
    if quantisation != spec.quantisation:
        raise UserError(
            f"unsloth loaded {spec.base_model} with quantisation '{quantisation}', not '{spec.quantisation}': "
            "set quantisation, or backend to 'transformers'"
        )


def base_fingerprint(spec: TrainSpec, decision: Decision) -> str:
    """SHA-256 that stands for the frozen base as it is computed with: weights (or hub commit),
    precision and quantisation.
    """
    folder = Path(spec.base_model)
    if folder.is_dir():
        names = sorted({path for pattern in _WEIGHTS for path in folder.glob(pattern)})
        weights = [f"{path.name} {sha256_file(path)}" for path in names]
    else:
        weights = [f"{spec.base_model}@{spec.revision}"]
    return hashlib.sha256(
        "\n".join([*weights, decision.dtype, spec.quantisation]).encode()
    ).hexdigest()


def choose_layout(model: Any, spec: TrainSpec, decision: Decision) -> Decision:
    """Return the decision with a layout this model was seen to honour.

    `layout: shared_prefix` that fails is a UserError with the reason; `auto` falls back to plain
    pairs and records why; `pairs` falls back from packed to padded rows.
    """
    from selene_lib.training.probe import probe_layout

    ladder = [decision]
    if decision.layout == "shared_prefix" and spec.layout == "auto":
        ladder.append(replace(decision, layout="pairs"))
    if spec.layout in ("auto", "pairs") and decision.attention != "causal":
        ladder.append(replace(decision, layout="pairs", attention="causal", packing=False))
    reasons: list[str] = []
    for rung in ladder:
        problem = probe_layout(model, rung)
        if problem is None:
            return replace(rung, reasons=(*decision.reasons, *reasons))
        reasons.append(f"layout {rung.layout} with {rung.attention} attention refused: {problem}")
    raise UserError(
        f"{spec.base_model}: {'; '.join(reasons)}. Set layout to 'pairs' (or 'auto') to train it with two sequences a pair"
    )
