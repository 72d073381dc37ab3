"""Opening a model through Unsloth, with every setting given and documents handed on to our
attention.

Unsloth's forward ignores a mask of four axes, but takes `prefix_seg_info`, which it made for GRPO,
and hands it to one function of its module `attention_dispatch`. Ours is put there
(`share_prefixes`), so a packed row of documents runs through all of its kernels. Its own function,
and the file it comes from, are then not imported at all.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.models.loading import check_chat_template, open_config, open_tokenizer
from selene_lib.training.counting import head_chunk_tokens
from selene_lib.training.decision import Decision, Hardware
from selene_lib.training.processes import local_rank
from selene_lib.training.spec import TrainSpec

_WHAT = "base model"
# what Unsloth calls the description of a row's documents
DOCUMENTS_ARGUMENT = "prefix_seg_info"


def may_be_unsloth(spec: TrainSpec, hardware: Hardware) -> bool:
    """Whether Unsloth may be chosen, so that it has to be imported before transformers is."""
    if spec.backend == "unsloth":
        return hardware.unsloth
    could = hardware.cuda and hardware.unsloth and not spec.lora_first_layer
    return spec.backend == "auto" and spec.trainer == "selene" and could


def import_unsloth() -> None:
    """Import Unsloth without what it would fetch, count or load beside it."""
    # else every load fetches files that count machines
    os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
    # else it compiles a FlexAttention of its own for documents, in whose place ours stands
    os.environ.setdefault("UNSLOTH_GRPO_PREFIX_GROUPER", "0")
    import unsloth  # noqa: F401


def share_prefixes() -> None:
    """Put our attention where Unsloth's forward looks for one that knows documents."""
    from unsloth.utils import attention_dispatch

    from selene_lib.training.attention import attend_documents

    attention_dispatch._flex_shared_prefix_attention = attend_documents


def load_unsloth(spec: TrainSpec, decision: Decision) -> tuple[Any, Any]:
    """Load through Unsloth with every setting given.

    The tokenizer is the plain one, as judging and export load it: Unsloth's own may come with
    another pad token or a rewritten chat template.
    """
    import torch
    from unsloth import FastLanguageModel

    from selene_lib.training.logprobs import attach_completion_head

    share_prefixes()
    config = open_config(spec.base_model, what=_WHAT, revision=spec.revision)
    refuse_stretched_positions(spec, config)
    model, _ = FastLanguageModel.from_pretrained(
        **unsloth_load_arguments(spec, decision), dtype=getattr(torch, decision.dtype)
    )
    refuse_other_weights(model, spec, decision)
    chunk_tokens = head_chunk_tokens(spec, decision.device)
    attach_completion_head(model, chunk_tokens=chunk_tokens, documents_argument=DOCUMENTS_ARGUMENT)
    tokenizer = open_tokenizer(spec.base_model, what=_WHAT, revision=spec.revision)
    check_chat_template(tokenizer, spec.base_model)
    if spec.adapter == "full":
        return model, tokenizer
    arguments = unsloth_lora_arguments(spec, decision)
    return FastLanguageModel.get_peft_model(model, **arguments), tokenizer


def unsloth_load_arguments(spec: TrainSpec, decision: Decision) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.from_pretrained`, without `dtype`.

    They say everything that it would otherwise choose itself. Without the exact name it loads a
    repository of its own, without a device it spreads the model by a plan of its own, and with
    `offload_embedding` left alone it moves the embedding to host memory when the GPU is small.
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
    """Arguments of `FastLanguageModel.get_peft_model`, each set explicitly.

    Its own seed is 3407, its own target list is its own.
    """
    targets = spec.lora_targets.split(",")
    if spec.lora_targets == "all-linear":
        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    return {
        "r": spec.lora_r,
        "lora_alpha": spec.lora_alpha,
        "lora_dropout": spec.lora_dropout,
        "bias": "none",
        "target_modules": targets,
        "use_gradient_checkpointing": _unsloth_checkpointing(decision),
        "random_state": spec.seed,
        "max_seq_length": spec.max_length_tokens,
        "use_rslora": False,
        "checkpoint_skip_layers": decision.checkpoint_skip_layers,
    }


def _unsloth_checkpointing(decision: Decision) -> str | bool:
    return "unsloth" if decision.gradient_checkpointing else False


def refuse_stretched_positions(spec: TrainSpec, config: Any) -> None:
    """Raise UserError where Unsloth would rescale a model's rotary positions.

    It does to reach `max_length_tokens`, and that is another model.
    """
    n_positions = config.get_text_config().max_position_embeddings
    if spec.max_length_tokens > n_positions:
        raise UserError(
            f"{spec.base_model} has {n_positions} positions and unsloth would stretch them to "
            f"max_length_tokens={spec.max_length_tokens}: set max_length_tokens to {n_positions} "
            "or less, or backend to 'transformers'"
        )


def refuse_other_weights(model: Any, spec: TrainSpec, decision: Decision) -> None:
    """Raise UserError where Unsloth loaded another precision or quantisation than asked for.

    It only prints that.
    """
    found = str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")
    if found != decision.dtype:
        raise UserError(
            f"unsloth loaded {spec.base_model} in {found}, not {decision.dtype}: "
            "set dtype, or backend to 'transformers'"
        )
    quantisation = "nf4" if getattr(model, "is_loaded_in_4bit", False) else "none"
    if quantisation != spec.quantisation:
        raise UserError(
            f"unsloth loaded {spec.base_model} with quantisation '{quantisation}', "
            f"not '{spec.quantisation}': set quantisation, or backend to 'transformers'"
        )
