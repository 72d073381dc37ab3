"""Training arms of one run: the same pairs under other losses and seeds (notebook 04), and short
runs that judge a development set (03).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.files import read_json, read_parquet, write_json
from selene_lib.models.parallel import side_by_side
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import PreferencePair, Sample, unit_hash

if TYPE_CHECKING:
    import numpy as np

    from selene_lib.training.spec import TrainSpec


def development_items(
    dev_path: Path, validation: Sequence[PreferencePair], family: str, n_per_task: int, seed: int
) -> list[tuple[Prompt, str]]:
    """Return prompts with gold labels to judge arms on: the trusted development set if it holds
    any, else the validation pairs.
    """
    samples = read_parquet(dev_path, Sample)
    if samples:
        items = [(s.task, s.id, render(s, family=family), s.label) for s in samples if s.label]
    else:
        items = [
            (p.task, p.sample_id, Prompt(p.prompt, p.task, family), p.label) for p in validation
        ]
    chosen: list[tuple[Prompt, str]] = []
    for task in ("absolute", "classification", "pairwise"):
        mine = sorted((i for i in items if i[0] == task), key=lambda i: unit_hash(seed, i[1]))
        chosen += [(prompt, str(label)) for _, _, prompt, label in mine[:n_per_task]]
    return chosen


@dataclass(frozen=True)
class ShortRun:
    """`run(pairs, seed, n_steps)`: train that long from the base, judge `items`, return 0/1 an
    item.

    Outcomes are kept in `folder` under a hash of what they depend on, so that a broken ablation
    goes on where it stopped.
    """

    spec: TrainSpec
    items: Sequence[tuple[Prompt, str]]
    folder: Path
    max_new_tokens: int

    def __call__(self, pairs: Sequence[PreferencePair], seed: int, n_steps: int) -> np.ndarray:
        import numpy as np

        identity = [
            self.spec.fingerprint,
            str(seed),
            str(n_steps),
            *(p.id for p in pairs),
            *(prompt.sha256 for prompt, _ in self.items),
        ]
        key = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:20]
        kept = self.folder / f"{key}.json"
        if not kept.is_file():
            from selene_lib.training.run import train

            result = train(
                replace(self.spec, seed=seed, n_steps=n_steps), list(pairs), self.folder / key
            )
            options = {
                "max_new_tokens": self.max_new_tokens,
                "quantisation": self.spec.quantisation,
            }
            write_json(
                kept, judge_items(self.spec.base_model, result.adapter_dir, self.items, **options)
            )
        return np.asarray(read_json(kept), dtype=float)

    def many(self, jobs: Sequence[tuple[Sequence[PreferencePair], int, int]]) -> list[np.ndarray]:
        """Run several at once (`side_by_side`); the results are those of one after the other."""
        return side_by_side(
            [(self, job) for job in jobs], self.spec.base_model, f"ablation, {len(jobs)} arms"
        )


def judge_items(
    model: str, adapter: Path | None, items: Sequence[tuple[Prompt, str]], **options: Any
) -> list[int]:
    """Judge prompts once and return 1 where the verdict is the gold label, 0 elsewhere; `options`
    go to `LocalJudge`.
    """
    from selene_lib.judges.local import LocalJudge

    judge = LocalJudge(model, adapter=adapter, **options)
    replies = judge.judge([prompt for prompt, _ in items])
    verdicts = [
        parse_verdict(reply.text, prompt.task, finish_reason=reply.finish_reason)
        for reply, (prompt, _) in zip(replies, items)
    ]
    return [int(verdict.value == label) for verdict, (_, label) in zip(verdicts, items)]
