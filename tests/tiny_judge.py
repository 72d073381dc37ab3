"""A tiny Llama with its own byte-level tokenizer and chat template: seconds to build or to train,
nothing to download.
"""

from __future__ import annotations

from pathlib import Path

CHAT = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    context: int = 2048,
    seed: int = 0,
    texts: tuple[str, ...] = (),
) -> Path:
    """Write model and tokenizer to `folder`, and return it."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|bos|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"]
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    names = {
        "bos_token": special[0],
        "eos_token": special[1],
        "pad_token": special[2],
        "additional_special_tokens": special[3:],
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, **names)
    tokenizer.chat_template = CHAT
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=raw.get_vocab_size(),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        initializer_range=0.3,
    )
    tokenizer.save_pretrained(folder)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


LESSONS = {
    "absolute": ("**Reasoning:** counted.\n\n**Result:** {}", ("1", "2", "3", "4", "5")),
    "classification": ("**Reasoning:** looked.\n\n**Result:** {}", ("Yes", "No")),
    "pairwise": (
        "**Reasoning:** compared.\n\n**Result:** {}\nI am quite sure of that, as anyone can see.",
        ("A", "B"),
    ),
}


def lessons():
    """Items whose verdict stands in the response, with the reply that the trained judge gives to
    each.
    """
    from selene_lib.records import Sample

    for task, (reply, labels) in LESSONS.items():
        for i, label in enumerate(labels * 2):
            text = f"say {label}" + " x" * i
            yield (
                Sample(
                    f"{task}-{i}",
                    "lesson",
                    task,
                    "do",
                    text,
                    "or" if task == "pairwise" else None,
                    label=label,
                ),
                reply.format(label),
            )


def train(folder: Path, *, n_steps: int = 140) -> Path:
    """Teach the tiny judge its lessons by heart: a real model that writes real verdicts. Some
    seconds on one core.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selene_lib.prompts.chat import encode_chat
    from selene_lib.prompts.rendering import render

    taught = [(render(sample, family="nano").text, reply) for sample, reply in lessons()]
    build(folder, hidden=64, texts=tuple(text for pair in taught for text in pair) * 3)
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
    )
    rows = []
    for prompt, reply in taught:
        start = encode_chat(tokenizer, prompt, None)
        whole = encode_chat(tokenizer, prompt, reply)
        rows.append((whole, [-100] * len(start) + whole[len(start) :]))
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [2] * (width - len(ids)) for ids, _ in rows])
    labels = torch.tensor([targets + [-100] * (width - len(targets)) for _, targets in rows])
    for parameter in model.parameters():
        parameter.data.mul_(0.2 if parameter.dim() > 1 else 1.0)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(n_steps):
        loss = model(input_ids=ids, attention_mask=(ids != 2).long(), labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    model.save_pretrained(folder)
    return folder
