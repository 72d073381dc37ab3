"""A tiny Llama, a word tokenizer and preference pairs for the training tests: made here, in a
second, from seeds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from selene_lib.records import PreferencePair

WORDS = [
    "good",
    "bad",
    "clear",
    "wrong",
    "short",
    "long",
    "kind",
    "rude",
    "because",
    "it",
    "is",
    "the",
    "reply",
    "says",
    "and",
    "no",
    "yes",
]
MARKS = [
    "Reasoning",
    "Result",
    ":",
    "**",
    "\n",
    "1",
    "2",
    "3",
    "4",
    "5",
    "Yes",
    "No",
    "A",
    "B",
    "```",
    "[",
    "...",
    "]",
]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start|>{{ message['role'] }}<|head|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|head|>{% endif %}"
)


def make_tokenizer(folder: Path):
    """A word-level tokenizer with a chat template that writes a newline after its end token, as
    ChatML does.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|bos|>", "<|end|>", "<|pad|>", "<|unk|>", "<|start|>", "<|head|>"]
    vocabulary = {
        word: i for i, word in enumerate([*special, "user", "assistant", *MARKS, *WORDS, " "])
    }
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    inner.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"\*\*|```|\.\.\.|\w+|\s|[^\w\s]"), behavior="isolated"
    )
    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        unk_token="<|unk|>",
        additional_special_tokens=["<|start|>", "<|head|>"],
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_base(folder: Path, *, hidden: int = 64, layers: int = 2, seed: int = 0, **options) -> Path:
    """Write a random Llama with that tokenizer to a folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(folder)
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 64,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": 2,
        "initializer_range": 0.2,
    }
    LlamaForCausalLM(LlamaConfig(**settings | options)).save_pretrained(folder)
    return folder


def make_pairs(n: int, *, seed: int = 0, longest: int = 30) -> list[PreferencePair]:
    """Pairs of many lengths: a prompt with a fenced reply, critique and verdict on both sides."""
    rng = np.random.default_rng(seed)

    def words(low: int, high: int) -> str:
        return " ".join(rng.choice(WORDS, rng.integers(low, high)))

    pairs = []
    for i in range(n):
        prompt = f"{words(2, 6)}\n```\n{words(3, longest)}\n```\n{words(1, 4)}"
        chosen, rejected = (
            f"**Reasoning:** {words(2, 9)}\n\n**Result:** {verdict}" for verdict in ("Yes", "No")
        )
        pairs.append(
            PreferencePair(
                f"pair-{seed}-{i}",
                f"sample-{i}",
                "made",
                "classification",
                prompt,
                chosen,
                rejected,
                True,
                "Yes",
                "No",
            )
        )
    return pairs
