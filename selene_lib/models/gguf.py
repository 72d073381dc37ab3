"""Read a Llama model from a GGUF file (tensor types F32, F16, Q4_1, Q8_0) with numpy alone.

GGUF is what llama.cpp stores: a header of typed fields, a table of tensors, then their bytes. Each
quantised tensor is a row of blocks of 32 weights; Q4_1 keeps a scale, a minimum and 32 four-bit
steps a block (w = scale * step + minimum), Q8_0 a scale and 32 signed bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.errors import UserError

_SCALARS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_TEXT, _LIST = 8, 9
BLOCK_WEIGHTS = 32
# Bytes of a block by tensor type; a plain type is a block of one weight.
BLOCK_BYTES = {"F32": 4, "F16": 2, "Q4_1": 20, "Q8_0": 34}
TENSOR_TYPES = {0: "F32", 1: "F16", 3: "Q4_1", 8: "Q8_0"}

_PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


@dataclass(frozen=True)
class TensorEntry:
    """Where a tensor lies: `shape` in numpy's order (rows first), `start` in bytes from the file's
    beginning.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    start: int


class GgufFile:
    """An open GGUF file: `fields` of its header, and its tensors one at a time.

    A file that is no GGUF of version 3, is cut short, or holds a tensor type we cannot read is a
    UserError that names it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._bytes = np.memmap(self.path, mode="r")
        self._at = 0
        if bytes(self._take(4)) != b"GGUF" or self._scalar("<u4") != 3:
            raise UserError(f"{self.path} is no GGUF file of version 3; fetch it again")
        n_tensors, n_fields = self._scalar("<u8"), self._scalar("<u8")
        self.fields: dict[str, Any] = {}
        for _ in range(n_fields):
            key = self._text()
            self.fields[key] = self._value(self._scalar("<u4"))
        self.entries = self._entries(n_tensors)

    def _take(self, n_bytes: int) -> np.ndarray:
        end = self._at + n_bytes
        if end > len(self._bytes):
            raise UserError(f"{self.path} ends after {len(self._bytes)} bytes; fetch it again")
        taken = self._bytes[self._at : end]
        self._at = end
        return taken

    def _scalar(self, dtype: str) -> Any:
        return self._take(np.dtype(dtype).itemsize).view(dtype)[0].item()

    def _text(self) -> str:
        return bytes(self._take(self._scalar("<u8"))).decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self._text()
        if kind == _LIST:
            inner, n = self._scalar("<u4"), self._scalar("<u8")
            return [self._value(inner) for _ in range(n)]
        return self._scalar(_SCALARS[kind])

    def _entries(self, n_tensors: int) -> list[TensorEntry]:
        found = []
        for _ in range(n_tensors):
            name = self._text()
            # GGUF lists the fastest axis first, numpy the slowest
            shape = tuple(self._scalar("<u8") for _ in range(self._scalar("<u4")))[::-1]
            kind, offset = self._scalar("<u4"), self._scalar("<u8")
            if kind not in TENSOR_TYPES:
                known = ", ".join(TENSOR_TYPES.values())
                raise UserError(f"{self.path}: tensor {name} has type {kind}; readable are {known}")
            found.append(TensorEntry(name, shape, TENSOR_TYPES[kind], offset))
        alignment = self.fields.get("general.alignment", 32)
        data = -(-self._at // alignment) * alignment
        return [TensorEntry(e.name, e.shape, e.kind, data + e.start) for e in found]

    def tensors(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield `(name in the file, float32 array)`, one tensor in memory at a time."""
        for entry in self.entries:
            n_weights = int(np.prod(entry.shape))
            n_bytes = n_weights * BLOCK_BYTES[entry.kind]
            if entry.kind.startswith("Q"):
                n_bytes //= BLOCK_WEIGHTS
            self._at = entry.start
            yield entry.name, dequantise(self._take(n_bytes), entry.kind).reshape(entry.shape)


def dequantise(raw: np.ndarray, kind: str) -> np.ndarray:
    """Turn the bytes of a tensor (uint8, [n_bytes]) into its weights, float32 [n_weights]."""
    if kind == "F32":
        return raw.view("<f4").copy()
    if kind == "F16":
        return raw.view("<f2").astype("<f4")
    blocks = raw.reshape(-1, BLOCK_BYTES[kind])
    scale = blocks[:, :2].copy().view("<f2").astype("<f4")
    if kind == "Q8_0":
        return (scale * blocks[:, 2:].copy().view("i1")).reshape(-1)
    minimum = blocks[:, 2:4].copy().view("<f2").astype("<f4")
    nibbles = blocks[:, 4:]
    # the low halves of the 16 bytes are the first 16 weights, the high halves the other 16
    steps = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype("<f4")
    return (scale * steps + minimum).reshape(-1)


def llama_weights(file: GgufFile) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the tensors under the names, and in the layout, of transformers' Llama."""
    heads = {
        "attn_q": file.fields["llama.attention.head_count"],
        "attn_k": file.fields["llama.attention.head_count_kv"],
    }
    for name, weight in file.tensors():
        if name in _TOP:
            yield _TOP[name], weight
            continue
        _, layer, part, _ = name.split(".")
        if part in heads:
            weight = _part_rotary_halves(weight, heads[part])
        yield f"model.layers.{layer}.{_PARTS[part]}.weight", weight


def _part_rotary_halves(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """llama.cpp interleaves the two rotary halves of a head; transformers keeps them apart."""
    half = weight.shape[0] // n_heads // 2
    return weight.reshape(n_heads, half, 2, -1).swapaxes(1, 2).reshape(weight.shape)


def llama_config(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the content of transformers' `config.json` for these fields, without `dtype`."""
    width = fields["llama.embedding_length"]
    n_heads = fields["llama.attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": n_heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": width // n_heads,
        "vocab_size": fields["llama.vocab_size"],
        "max_position_embeddings": fields["llama.context_length"],
        # stored as float32; 1e-5 is what was meant
        "rms_norm_eps": float(f"{fields['llama.attention.layer_norm_rms_epsilon']:.6g}"),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": fields["llama.rope.freq_base"],
        },
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        **special_ids(fields),
    }


def special_ids(fields: dict[str, Any]) -> dict[str, int]:
    """Return bos, eos and pad ids as the file names them."""
    names = {"bos": "bos", "eos": "eos", "pad": "padding"}
    return {
        f"{ours}_token_id": fields[f"tokenizer.ggml.{theirs}_token_id"]
        for ours, theirs in names.items()
    }


def byte_level_tokenizer(fields: dict[str, Any]) -> Any:
    """Return the BPE tokenizer of a file whose pre-tokenizer is `smollm`: each digit a piece of its
    own, then GPT-2's byte level.

    transformers' own GGUF reading names another end token for SmolLM2, sets no pad token and loses
    the digits, so a judge that is trained with it learns to end its reply with the wrong token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    kind = fields.get("tokenizer.ggml.pre")
    if kind != "smollm":
        raise UserError(f"the tokenizer of this GGUF file splits text as {kind!r}, not 'smollm'")
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    raw = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    control = [token for token, n in zip(tokens, types) if n == 3]
    raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in control])
    named = {
        f"{name}_token": tokens[fields[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in (
            ("bos", "bos"),
            ("eos", "eos"),
            ("pad", "padding"),
            ("unk", "unknown"),
        )
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        **named,
        chat_template=fields["tokenizer.chat_template"],
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
    )
