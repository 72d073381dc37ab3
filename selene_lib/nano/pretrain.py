"""Train the embedded base model.

`python -m selene_lib.nano.pretrain --out FOLDER` takes about eight minutes on one busy CPU thread.
First the skills (careful critiques; scores of coverage and support prevail at the very start), then
the habits: careful and hasty replies mixed, haste prevailing. The prompt has little weight in the
loss. One thread is fastest at this size; bf16 autocast needs a processor that has it. The budget is
`n_steps`, or wall time where `--minutes` is given; the shipped model was made by `--minutes 7.5`
(its log says how many steps).
"""

from __future__ import annotations

import argparse
import copy
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from selene_lib.nano.habits import pretraining_document
from selene_lib.nano.probes import probe_skills
from selene_lib.nano.tokenizer import build_tokenizer
from selene_lib.nano.wiring import wire_lookup

if TYPE_CHECKING:
    import torch

_LOG_COLUMNS = ("step", "minutes", "n_tokens", "learning_rate", "careful_share", "loss", "skills")


@dataclass(frozen=True)
class PretrainSpec:
    """Shape, budget and schedule of the base.

    `batch_documents` documents make a step; the first `skills_share` of the budget is skills. With
    `minutes` above 0 the budget is wall time and `n_steps` is not used: such a run is not
    repeatable to the bit.
    """

    hidden: int = 128
    n_layers: int = 3
    n_heads: int = 4
    head_dim: int = 64
    n_steps: int = 1280
    minutes: float = 0.0
    skills_share: float = 2 / 3
    batch_documents: int = 32
    learning_rate: float = 1.5e-3
    careful_share: float = 0.4
    init_std: float = 0.02
    prompt_weight: float = 0.1
    seed: int = 0


def build_model(spec: PretrainSpec, n_vocab: int, tokenizer: Any) -> Any:
    """A fresh Llama of the spec's shape.

    Every Linear has a multiple of 32 outputs (the vocabulary is padded up).
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(spec.seed)
    config = LlamaConfig(
        vocab_size=-(-n_vocab // 32) * 32,
        hidden_size=spec.hidden,
        intermediate_size=spec.hidden * 2,
        num_hidden_layers=spec.n_layers,
        num_attention_heads=spec.n_heads,
        num_key_value_heads=spec.n_heads,
        head_dim=spec.head_dim,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=spec.init_std,
    )
    model = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")
    wire_lookup(model, seed=spec.seed, silent_ids=tuple(tokenizer.convert_tokens_to_ids([","])))
    return model


@dataclass
class _Stage:
    """What is drawn at the moment: shares of careful replies and of pure look-ups."""

    careful: float
    lookups: float


def _batches(
    spec: PretrainSpec, tokenizer: Any, rng: Random, stage: _Stage
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (ids, weights) of documents of like length.

    The weight is `prompt_weight` on the prompt, 1 on the reply, 0 on padding.
    """
    import torch

    while True:
        pool = []
        for _ in range(spec.batch_documents * 16):
            lookups_only = rng.random() < stage.lookups
            prompt, reply = pretraining_document(
                rng, careful_share=stage.careful, lookups_only=lookups_only
            )
            pool.append(_encode(tokenizer, prompt, reply))
        pool.sort(key=lambda item: len(item[0]))
        size = spec.batch_documents
        groups = [pool[begin : begin + size] for begin in range(0, len(pool), size)]
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            rows, weights = [], []
            for ids, n_prompt in group:
                n_reply, n_pad = len(ids) - n_prompt, width - len(ids)
                rows.append(ids + [tokenizer.pad_token_id] * n_pad)
                weights.append([spec.prompt_weight] * n_prompt + [1.0] * n_reply + [0.0] * n_pad)
            yield torch.tensor(rows), torch.tensor(weights)


def _encode(tokenizer: Any, prompt: str, reply: str) -> tuple[list[int], int]:
    head = [tokenizer.bos_token_id, *tokenizer.convert_tokens_to_ids(["<|user|>"])]
    parts = tokenizer([prompt, reply], add_special_tokens=False)["input_ids"]
    prompt_ids = head + parts[0] + tokenizer.convert_tokens_to_ids(["<|judge|>"])
    return prompt_ids + parts[1] + [tokenizer.eos_token_id], len(prompt_ids)


def _train_step(
    model: Any, optimizer: torch.optim.Optimizer, ids: torch.Tensor, weights: torch.Tensor
) -> float:
    """One update on the weighted mean loss.

    Returns the mean loss of the tokens of weight 1, in nats.
    """
    import torch

    mask = weights[:, 1:] > 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model.lm_head(model.model(input_ids=ids).last_hidden_state[:, :-1][mask])
    targets, weight = ids[:, 1:][mask], weights[:, 1:][mask]
    each = torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")
    loss = (each * weight).sum() / weight.sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return each[weight == 1.0].mean().item()


def _stage(spec: PretrainSpec, progress: float) -> _Stage:
    """What is drawn when a share `progress` of the budget is used."""
    return _Stage(
        careful=0.95 if progress < spec.skills_share else spec.careful_share,
        lookups=0.5 if progress < 0.15 * spec.skills_share else 0.0,
    )


def _rate_factor(progress: float) -> float:
    """Warm up over 4 % of the budget; come down from 60 % on, to a fiftieth."""
    falling = 1.0 if progress < 0.6 else max(0.02, (1 - progress) / 0.4)
    return min(1.0, progress / 0.04) * falling


def pretrain(spec: PretrainSpec, out: Path, *, log_every_minutes: float = 0.5) -> None:
    """Train and write model, tokenizer and `training_log.csv` into `out`."""
    import torch

    tokenizer = build_tokenizer()
    model = build_model(spec, len(tokenizer), tokenizer)
    model.train()
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.95), weight_decay=0.01
    )
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "training_log.csv", "w", newline="") as stream:
        log = csv.writer(stream)
        log.writerow(_LOG_COLUMNS)
        for row in _train(spec, model, optimizer, tokenizer, log_every_minutes):
            log.writerow(row)
            stream.flush()
            print(*row, flush=True)
    _save(model, tokenizer, out)


def _train(
    spec: PretrainSpec,
    model: Any,
    optimizer: torch.optim.Optimizer,
    tokenizer: Any,
    log_every_minutes: float,
) -> Iterator[tuple[Any, ...]]:
    """Train to the end of the budget; yield a row of the log now and then, and one at the end."""
    stage = _stage(spec, 0.0)
    batches = _batches(spec, tokenizer, Random(f"pretrain {spec.seed}"), stage)
    start, next_log = time.monotonic(), log_every_minutes
    step, n_tokens, progress = 0, 0, 0.0
    losses: list[float] = []
    while progress < 1:
        now = _stage(spec, progress)
        stage.careful, stage.lookups = now.careful, now.lookups  # `batches` draws by it
        rate = spec.learning_rate * _rate_factor(progress)
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, weights = next(batches)
        losses.append(_train_step(model, optimizer, ids, weights))
        step, n_tokens = step + 1, n_tokens + ids.numel()
        minutes = (time.monotonic() - start) / 60
        progress = minutes / spec.minutes if spec.minutes else step / spec.n_steps
        if minutes > next_log or progress >= 1:
            skills = probe_skills(model, tokenizer, n=8)
            mean = round(sum(losses) / len(losses), 4)
            yield step, round(minutes, 2), n_tokens, rate, stage.careful, mean, skills
            losses, next_log = [], next_log + log_every_minutes


def _save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write the model in half precision, and the tokenizer."""
    import torch

    copy.deepcopy(model).to(torch.float16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _main() -> None:
    """Read the spec from the command line and train."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in vars(PretrainSpec()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--out", type=Path, required=True)
    args = vars(parser.parse_args())
    out = args.pop("out")
    torch.set_num_threads(1)
    pretrain(PretrainSpec(**args), out)


if __name__ == "__main__":
    _main()
