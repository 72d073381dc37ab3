"""What the stages of `train_step_gpu.py` share: shapes, random weights, drawn pairs, a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

LLAMA_8B = {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
TINY = {
    "vocab_size": 256,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MIDDLE = TINY | {"vocab_size": 2048, "hidden_size": 512, "intermediate_size": 1408}
REST = {
    "max_position_embeddings": 8192,
    "rope_theta": 500000.0,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
# tokens of (prompt, chosen, rejected); one-token parts, and rows that no block size divides
ODD_PAIRS = [(300, 50, 61), (17, 5, 1), (129, 1, 40), (1, 3, 2)]


def say(**row: Any) -> None:
    print("ROW " + json.dumps(row), flush=True)


def shape_of(dry: bool) -> dict[str, Any]:
    return (TINY if dry else LLAMA_8B) | REST


def backend_of(unsloth: bool, dry: bool) -> str:
    """The backend a spec names; without a GPU the tests' own decision puts Unsloth in."""
    if not unsloth:
        return "transformers"
    return "auto" if dry else "unsloth"


def seconds_of(call: Callable[[], Any], n: int = 10) -> float:
    """Mean seconds of a call on the GPU, after three for warming up."""
    import torch

    for _ in range(3):
        call()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(n):
        call()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / n / 1e3


def relative(found: Any, expected: Any) -> float:
    """The norm of the difference over the norm of what is expected."""
    return ((found.double() - expected.double()).norm() / expected.double().norm()).item()


def drawn_pairs(lengths: list[tuple[int, int, int]], vocabulary: int) -> list[Any]:
    import numpy as np

    from selene_lib.training.encoding import EncodedPair

    rng = np.random.default_rng(0)
    return [
        EncodedPair(str(i), *(tuple(map(int, rng.integers(2, vocabulary, n))) for n in parts))
        for i, parts in enumerate(lengths)
    ]


def write_base(folder: Path, config: dict[str, Any], dtype: Any) -> None:
    """Random weights of a shape, and a tokenizer of as many words."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_default_dtype(dtype)
    with torch.device(device):
        LlamaForCausalLM(LlamaConfig(**config)).save_pretrained(folder, max_shard_size="4GB")
    torch.set_default_dtype(torch.float32)
    words = {"<pad>": 0, "<end>": 1, **{f"w{i}": i for i in range(2, config["vocab_size"])}}
    inner = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>"
    )
    # every judge's base has one, and loading refuses a base without
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder)
