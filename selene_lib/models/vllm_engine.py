"""Opens vLLM in this process (extra `vllm`, GPU only), for judges and generators alike."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json

# LoRA ranks that vLLM has kernels for
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


def engine_lora_rank(adapter: str | Path) -> int:
    """Return the rank to open vLLM with for an adapter: the next that it has kernels for."""
    rank = read_json(Path(adapter) / "adapter_config.json")["r"]
    return next((known for known in LORA_RANKS if known >= rank), rank)


def open_engine(model: str, options: Mapping[str, Any]) -> Any:
    """Return `vllm.LLM(model, **options)`; a UserError where vLLM is not installed."""
    try:
        from vllm import LLM
    except ImportError as error:
        raise UserError(
            "vLLM is not installed: pip install 'selene_lib[vllm]' on a machine with a GPU, "
            "or use a server"
        ) from error
    return LLM(model=model, **options)
