"""The tokenizer of the embedded world: byte-level, so any text passes and comes back exactly.

Each word of the world is one token. Whole words are looked up before merges are tried
(`ignore_merges`, as in Llama 3); the frame of the prompt templates is a handful of tokens of its
own; any other text falls back on merges learned from a list of common words, and in the end on
bytes.
"""

from __future__ import annotations

import json
import re
from typing import Any

from selene_lib.nano import lexicon as lex

BOS, EOS, PAD, USER, JUDGE = "<|bos|>", "<|eos|>", "<|pad|>", "<|user|>", "<|judge|>"
CHAT_TEMPLATE = (
    "{{ '<|bos|>' }}{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}{{ '<|judge|>' + m['content'] + '<|eos|>' }}"
    "{% else %}{{ '<|user|>' + m['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|judge|>' }}{% endif %}"
)
FRAMES = (
    "Score the response.\nTask:",
    "Check the response.\nTask:",
    "Compare the responses.\nTask:",
    "\nResponse:",
    "\nA:",
    "\nB:",
    "\nRubric:",
    "\nReference:",
    "\nReply: reasoning, then result 1 to 5.",
    "\nReply: reasoning, then result Yes or No.",
    "\nReply: reasoning, then result A or B.",
    "\nReply: result 1 to 5.",
    "\nReply: result Yes or No.",
    "\nReply: result A or B.",
    "**Reasoning:**",
    "\n\n**Result:**",
    "**Result:**",
)
_GLUE_TEXT = """
Describe Avoid Report Advise Audit on Name only Use letter Write words the capital of Add is seems
none yes no So Yes No each item described claim supported word fits kind true sum right avoided rude
Overall response reads and A B reference whole long short polite plain clear odd Items Source Kinds
Letters Words Facts Sums : . , + = To be In As you know After some thought Dear judge this perfect
Experts agree with me You are wise so tidy bare
"""
_GLUE = tuple(_GLUE_TEXT.split())


def world_words() -> list[str]:
    """Every word and mark of the world, without a leading space, each once and in a fixed order."""
    text = " ".join((*lex.FILLERS, *lex.FLATTERIES))
    marks = re.findall(r"\w+|[.,:+]", text)
    groups = (
        lex.ITEMS,
        tuple(lex.CATEGORIES),
        lex.LETTERS,
        lex.ADJECTIVES,
        lex.KIND_WORDS,
        lex.RUDE_WORDS,
        tuple(lex.CAPITALS),
        tuple(lex.CAPITALS.values()),
        lex.COMPLAINTS,
        lex.REMEDIES,
        lex.ACCOUNTS,
        tuple(str(n) for n in range(21)),
        _GLUE,
        marks,
    )
    return list(dict.fromkeys(word for group in groups for word in group))


def build_tokenizer() -> Any:
    """Return the tokenizer as a PreTrainedTokenizerFast; the same on every machine."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    frames = "|".join(re.escape(frame) for frame in sorted(FRAMES, key=len, reverse=True))
    split = pre_tokenizers.Split(
        Regex(rf"{frames}| ?\p{{L}}+| ?\p{{N}}{{1,2}}| ?[^\s\p{{L}}\p{{N}}]|\s+(?!\S)|\s"),
        "isolated",
    )
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = to_bytes
    corpus: list[str] = []
    for word in lex.COMMON:
        corpus += (word, f" {word}", word.capitalize(), f" {word.capitalize()}")
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
        min_frequency=1,
    )
    learner.train_from_iterator(corpus, trainer)
    learned = json.loads(learner.to_str())["model"]
    specials = (PAD, BOS, EOS, USER, JUDGE)
    forms = [form for word in world_words() for form in (f" {word}", word)]
    whole = [to_bytes.pre_tokenize_str(text)[0][0] for text in (*FRAMES, *forms)]
    pieces = sorted(learned["vocab"], key=learned["vocab"].get)
    tokens = dict.fromkeys((*specials, *pieces, *whole))  # each once, in this order
    vocab = {token: index for index, token in enumerate(tokens)}
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" "))
        for merge in learned["merges"]
    ]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[USER, JUDGE],
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
