"""Opens vLLM in this process (extra `vllm`, GPU only), for judges and generators alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selene_lib.errors import UserError


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
