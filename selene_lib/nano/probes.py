"""What the base model knows: accuracy on the deciding tokens of true critiques.

Family by family, read under teacher forcing.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from selene_lib.nano.habits import PRETRAINING_FAMILIES
from selene_lib.nano.teacher import teacher_critique
from selene_lib.nano.world import make_item
from selene_lib.prompts.rendering import render
from selene_lib.records import Sample, Task


def probe_skills(model: Any, tokenizer: Any, *, n: int = 32, seed: int = 0) -> dict[str, float]:
    """Return the share of the decisive tokens that the model gets right.

    They are what is due, what is said, `yes` or `no`, each given the true critique so far.
    """
    results = {}
    tasks: tuple[Task, ...] = ("absolute", "pairwise")
    for family in PRETRAINING_FAMILIES:
        for task in tasks:
            rng = Random(f"probe {seed} {family} {task}")
            samples = [make_item("probe", family, task, rng, split="eval") for _ in range(n)]
            results[f"{family}-{task}"] = round(_accuracy(model, tokenizer, samples), 2)
    return results


def _accuracy(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> float:
    import torch

    right = total = 0
    head = tokenizer.convert_tokens_to_ids(["<|bos|>", "<|user|>"])
    mark = tokenizer.convert_tokens_to_ids(["<|judge|>"])
    model.eval()
    for sample in samples:
        critique = teacher_critique(sample, str(sample.label), seed=0)
        texts = [render(sample, family="nano").text, critique]
        prompt, reply = tokenizer(texts, add_special_tokens=False)["input_ids"]
        ids = head + prompt + mark + reply
        with torch.no_grad():
            guess = model(torch.tensor([ids])).logits[0].argmax(-1).tolist()
        for i in _decisive(tokenizer, ids, len(ids) - len(reply)):
            right, total = right + (guess[i - 1] == ids[i]), total + 1
    model.train()
    return right / total


def _decisive(tokenizer: Any, ids: list[int], start: int) -> list[int]:
    """Return the positions that a line of evidence turns on.

    Of the tokens before `yes` or `no`, of `yes` and `no`, and of those after `is`.
    """
    words = tokenizer.convert_ids_to_tokens(ids)
    found = set()
    for i in range(start, len(ids)):
        if words[i] in ("Ġyes", "Ġno"):
            found |= {i - 1, i}
        if words[i - 1] == "Ġis":
            found.add(i)
    return sorted(found)
