"""Which of two evaluations a judge prefers: log-probability of the sound one less that of the
unsound one, in nats, per trusted pair.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.files import read_json, read_parquet, write_json
from selene_lib.records import TASKS, PreferencePair, Sample, unit_hash

if TYPE_CHECKING:
    from selene_lib.training.spec import TrainSpec


def trusted_pairs(
    dev_path: Path, validation: Sequence[PreferencePair], family: str, n_per_task: int, seed: int
) -> list[PreferencePair]:
    """Return pairs to prefer on: made by the teacher from the trusted development set if it holds
    any, else the validation pairs.
    """
    from selene_lib.curation.critiques import generate_critiques
    from selene_lib.curation.generators.teacher import TeacherGenerator
    from selene_lib.curation.pairs import build_pairs

    samples = [s for s in read_parquet(dev_path, Sample) if s.label is not None]
    samples = [s for task in TASKS for s in _first(samples, task, n_per_task, seed)]
    if not samples:
        return [p for task in TASKS for p in _first(validation, task, n_per_task, seed)]
    critiques = generate_critiques(
        samples, TeacherGenerator(), store=None, seed=seed, family=family
    ).critiques
    return build_pairs(samples, critiques, critique_share=1.0, family=family, seed=seed)


def _first(records: Sequence[Any], task: str, n: int, seed: int) -> list[Any]:
    mine = [r for r in records if r.task == task]
    return sorted(mine, key=lambda r: unit_hash(seed, "trusted", r.id))[:n]


def preference_margins(
    model: str, adapter: Path | None, pairs: Sequence[PreferencePair], *, batch_size: int = 16
) -> list[float]:
    """Return `log p(chosen | prompt) - log p(rejected | prompt)` of each pair, summed over the
    reply's tokens, in nats.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selene_lib.models.names import resolve_model
    from selene_lib.prompts.chat import encode_chat

    path = resolve_model(model)
    tokenizer = AutoTokenizer.from_pretrained(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    net = (
        AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32 if device == "cpu" else torch.bfloat16
        )
        .to(device)
        .eval()
    )
    if adapter is not None:
        from peft import PeftModel

        net = PeftModel.from_pretrained(net, str(adapter)).eval()
    rows = [
        (encode_chat(tokenizer, p.prompt, reply), len(encode_chat(tokenizer, p.prompt, None)))
        for p in pairs
        for reply in (p.chosen, p.rejected)
    ]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    logps = np.zeros(len(rows))
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            logps[batch] = _reply_logps(net, [rows[i] for i in batch], device)
    return (logps[0::2] - logps[1::2]).tolist()


def _reply_logps(net: Any, rows: Sequence[tuple[list[int], int]], device: str) -> np.ndarray:
    """Summed log-probabilities of the tokens after each prompt, [rows]. Padding stands on the
    right, where causal attention ignores it.
    """
    import torch

    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows], device=device)
    keep = torch.tensor(
        [[n <= i < len(row) for i in range(1, width)] for row, n in rows], device=device
    )
    logits = net(
        input_ids=ids,
        attention_mask=torch.tensor(
            [[i < len(row) for i in range(width)] for row, _ in rows], device=device
        ).long(),
    ).logits
    token_logps = torch.log_softmax(logits[:, :-1].float(), -1).gather(2, ids[:, 1:, None])[..., 0]
    return (token_logps * keep).sum(1).double().cpu().numpy()


@dataclass(frozen=True)
class MarginRun:
    """`run(pairs, seed, n_steps)`: train that long from the base and return the margins of the
    trusted pairs; of the base for 0 steps.

    Margins are kept in `folder` under a hash of what they depend on.
    """

    spec: TrainSpec
    trusted: Sequence[PreferencePair]
    folder: Path

    def __call__(self, pairs: Sequence[PreferencePair], seed: int, n_steps: int) -> np.ndarray:
        from selene_lib.training.run import train

        identity = [
            self.spec.fingerprint,
            str(seed),
            str(n_steps),
            *(p.id for p in pairs),
            "margins",
            *(p.id + p.prompt for p in self.trusted),
        ]
        key = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:20]
        kept = self.folder / f"{key}.json"
        if not kept.is_file():
            adapter = None
            if n_steps:
                adapter = train(
                    replace(self.spec, seed=seed, n_steps=n_steps), list(pairs), self.folder / key
                ).adapter_dir
            write_json(kept, preference_margins(self.spec.base_model, adapter, self.trusted))
        return np.asarray(read_json(kept), dtype=float)

    def many(self, jobs: Sequence[tuple[Sequence[PreferencePair], int, int]]) -> list[np.ndarray]:
        """Run several at once where the model is small; the results are those of one after the
        other.
        """
        from selene_lib.models.parallel import side_by_side

        return side_by_side(
            [(self, job) for job in jobs],
            self.spec.base_model,
            f"one source alone, {len(jobs)} arms",
        )
