"""Which of two evaluations a judge prefers, and by how many nats.

Log-probability of the sound one less that of the unsound one, per trusted pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from selene_lib.ablation.kept_runs import KeptRun
from selene_lib.files import read_parquet
from selene_lib.records import TASKS, PreferencePair, Sample, unit_hash
from selene_lib.training.checkpoints import data_fingerprint

R = TypeVar("R", Sample, PreferencePair)


def trusted_pairs(
    dev_path: Path, validation: Sequence[PreferencePair], family: str, n_per_task: int, seed: int
) -> list[PreferencePair]:
    """Return pairs to prefer on: made by the teacher from the trusted development set.

    Where that holds none, the validation pairs.
    """
    from selene_lib.curation.critiques import generate_critiques
    from selene_lib.curation.generators.teacher import TeacherGenerator
    from selene_lib.curation.pairs import build_pairs

    labelled = [s for s in read_parquet(dev_path, Sample) if s.label is not None]
    if not labelled:
        return [p for task in TASKS for p in _first(validation, task, n_per_task, seed)]
    samples = [s for task in TASKS for s in _first(labelled, task, n_per_task, seed)]
    critiques = generate_critiques(
        samples, TeacherGenerator(), store=None, seed=seed, family=family
    ).critiques
    return build_pairs(samples, critiques, critique_share=1.0, family=family, seed=seed)


def _first(records: Sequence[R], task: str, n: int, seed: int) -> list[R]:
    mine = [r for r in records if r.task == task]
    return sorted(mine, key=lambda r: unit_hash(seed, "trusted", r.id))[:n]


def preference_margins(
    model: str, adapter: Path | None, pairs: Sequence[PreferencePair]
) -> list[float]:
    """Return `log p(chosen | prompt) - log p(rejected | prompt)` of each pair, in nats.

    Sums over the reply's tokens. Computed as training computes its log-probabilities, in chunks of
    completion tokens: no tensor of all positions by the whole vocabulary exists.
    """
    import torch

    from selene_lib.training.batching import micro_batches
    from selene_lib.training.counting import CEILING_TOKENS
    from selene_lib.training.encoding import encode_pair
    from selene_lib.training.layout import lay_out_pairs
    from selene_lib.training.logprobs import attach_completion_head, logp_sums

    net, tokenizer = _open(model, adapter)
    base = net.get_base_model() if adapter is not None else net
    attach_completion_head(base, chunk_tokens=CHUNK_TOKENS)
    encoded = [encode_pair(tokenizer, pair) for pair in pairs]
    max_tokens = CEILING_TOKENS["cpu" if net.device.type == "cpu" else "cuda"]
    sums = np.zeros((len(encoded), 2))
    for group in micro_batches(encoded, "pairs", max_tokens=max_tokens, packing=False):
        # one sequence a row, padded on the right, where causal attention ignores it
        batch = lay_out_pairs(
            [encoded[i] for i in group], "pairs", packing=False, pad_token_id=0
        ).to(net.device)
        with torch.inference_mode():
            sums[group] = logp_sums(net, batch, "causal")
    return (sums[:, 0] - sums[:, 1]).tolist()


CHUNK_TOKENS = 256


def _open(model: str, adapter: Path | None) -> tuple[Any, Any]:
    """Model and tokenizer, the adapter laid over the base and not merged into it."""
    from selene_lib.models.adapters import attach_adapter
    from selene_lib.models.loading import choose_device, choose_dtype, open_model, open_tokenizer
    from selene_lib.models.names import resolve_model

    path = resolve_model(model)
    device = choose_device()
    net = open_model(path, dtype=choose_dtype(device), device=device).eval()
    if adapter is not None:
        net = attach_adapter(net, adapter, path).eval()
    return net, open_tokenizer(path)


@dataclass(frozen=True)
class MarginRun(KeptRun):
    """`run(pairs, seed, n_steps)`: train that long, return the trusted pairs' margins in nats."""

    trusted: Sequence[PreferencePair]

    title = "one source alone"

    def _identity(self) -> list[str]:
        return ["margins in chunks", data_fingerprint(self.trusted)]

    def _measure(self, adapter: Path | None) -> list[float]:
        return preference_margins(self.spec.base_model, adapter, self.trusted)
