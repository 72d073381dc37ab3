"""Small sets of samples and judgements whose scores can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from selene_lib.prompts.rendering import format_reply
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, Judgement, Sample, Score, swap_verdict


def sample(i: int, task: str, label: str, **changes) -> Sample:
    fields = {"response_b": "other" if task == "pairwise" else None, "label": label}
    return Sample(f"s{i}", "test", task, "do it", "done", **{**fields, **changes})


def judged(
    s: Sample, reply: str, order: str = "AB", judge: str = "j", set_name: str = "toy", **changes
) -> Judgement:
    verdict = parse_verdict(reply, s.task)
    return Judgement(
        judge,
        set_name,
        s.id,
        s.task,
        order,
        "full/x",
        "0",
        reply,
        "stop",
        verdict.status,
        verdict.value,
        **changes,
    )


def row(scores: Sequence[Score], metric: str, convention: str) -> Score:
    (found,) = [s for s in scores if (s.metric, s.convention) == (metric, convention)]
    return found


def six_pairs() -> tuple[list[Sample], list[Judgement]]:
    """Six pairs with verdicts in both orders.

    AB: right, right, right, wrong, unparsed, on a tie. BA: right, right, wrong, wrong, right, on a
    tie.
    """
    labels = ["A", "B", "A", "B", "A", "tie"]
    samples = [sample(i, "pairwise", label) for i, label in enumerate(labels)]
    ab = ["A", "B", "A", "A", "?!", "A"]
    ba = ["B", "A", "A", "B", "B", "A"]
    judgements = [judged(s, f"**Result:** {v}", "AB") for s, v in zip(samples, ab)]
    judgements += [judged(s, f"**Result:** {v}", "BA") for s, v in zip(samples, ba)]
    return samples, judgements


def honest_run(
    task: str, n: int, accuracy: float, rng: np.random.Generator
) -> tuple[list[Sample], list[Judgement]]:
    labels = LABELS[task]
    samples = [sample(i, task, str(rng.choice(labels)), group=f"g{i // 2}") for i in range(n)]
    judgements = []
    for s in samples:
        for order in ("AB", "BA") if task == "pairwise" else ("AB",):
            right = s.label if order == "AB" else swap_verdict(s.label)
            verdict = (
                right
                if rng.random() < accuracy
                else str(rng.choice([v for v in labels if v != right]))
            )
            judgements.append(judged(s, format_reply("because", verdict), order))
    return samples, judgements


def right(s: Sample, order: str) -> str:
    return s.label if order == "AB" else swap_verdict(s.label)


def wrong(s: Sample, order: str) -> str:
    return swap_verdict(right(s, order))
