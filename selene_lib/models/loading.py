"""The one place that opens a tokenizer and a model, and says in one line why that failed."""

from __future__ import annotations

import contextlib
from typing import Any


def silence_missing_4bit_kernel() -> None:
    """bitsandbytes says on import that a CPU kernel is missing, which nothing here uses (see
    `keep_4bit_weights_unpacked`).
    """
    import logging

    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


@contextlib.contextmanager
def without_loading_bars() -> Any:
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def keep_4bit_weights_unpacked(model: Any) -> int:
    """Stop bitsandbytes from repacking 4-bit weights on the CPU; return how many layers were told.

    On CPUs with AVX512-BF16 the first forward in eval mode repacks the weights, and every later
    backward is silently wrong.
    """
    from bitsandbytes.nn import Linear4bit

    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)
