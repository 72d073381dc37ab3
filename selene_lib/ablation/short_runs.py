"""Short runs that judge a development set: what a mix is worth in accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selene_lib.ablation.kept_runs import KeptRun
from selene_lib.files import read_parquet
from selene_lib.prompts.rendering import Prompt, render
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import TASKS, PreferencePair, Sample, unit_hash


def development_items(
    dev_path: Path, validation: Sequence[PreferencePair], family: str, n_per_task: int, seed: int
) -> list[tuple[Prompt, str]]:
    """Return prompts with gold labels to judge mixes on: of the trusted development set.

    Where that holds none, the validation pairs.
    """
    samples = read_parquet(dev_path, Sample)
    if samples:
        items = [(s.task, s.id, render(s, family=family), s.label) for s in samples if s.label]
    else:
        items = [
            (p.task, p.sample_id, Prompt(p.prompt, p.task, family), p.label) for p in validation
        ]
    chosen: list[tuple[Prompt, str]] = []
    for task in TASKS:
        mine = sorted((i for i in items if i[0] == task), key=lambda i: unit_hash(seed, i[1]))
        chosen += [(prompt, str(label)) for _, _, prompt, label in mine[:n_per_task]]
    return chosen


@dataclass(frozen=True)
class ShortRun(KeptRun):
    """`run(pairs, seed, n_steps)`: train that long, judge `items`, return 0/1 an item."""

    items: Sequence[tuple[Prompt, str]]
    max_new_tokens: int

    title = "ablation"

    def _identity(self) -> list[str]:
        items = [f"{prompt.task} {prompt.sha256} {label}" for prompt, label in self.items]
        return ["verdicts", str(self.max_new_tokens), *items]

    def _measure(self, adapter: Path | None) -> list[float]:
        return judge_items(
            self.spec.base_model,
            adapter,
            self.items,
            max_new_tokens=self.max_new_tokens,
            quantisation=self.spec.quantisation,
        )


def judge_items(
    model: str,
    adapter: Path | None,
    items: Sequence[tuple[Prompt, str]],
    *,
    max_new_tokens: int,
    quantisation: str = "none",
) -> list[float]:
    """Judge prompts once and return 1 where the verdict is the gold label, 0 elsewhere."""
    from selene_lib.judges.local import LocalJudge

    judge = LocalJudge(
        model, adapter=adapter, max_new_tokens=max_new_tokens, quantisation=quantisation
    )
    replies = judge.judge([prompt for prompt, _ in items])
    outcomes = []
    for reply, (prompt, label) in zip(replies, items, strict=True):
        verdict = parse_verdict(reply.text, prompt.task, finish_reason=reply.finish_reason)
        outcomes.append(float(verdict.value == label))
    return outcomes
