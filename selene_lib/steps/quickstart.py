"""Notebook 00: three items of the embedded world as a small table, judged and shown."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from selene_lib.judges.protocol import Reply
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import TASKS, Sample, Task, stable_id

COLUMNS = ("task", "instruction", "response", "response_b", "rubric", "reference")


def example_items() -> pd.DataFrame:
    """Return three generated items, one for each task type, as an editable table."""
    from selene_lib import nano

    first: dict[Task, Sample] = {}
    for name in nano.NANO_SOURCES:
        if "poison" in name:
            continue
        for sample in nano.make_source(name, 12, seed=99):
            first.setdefault(sample.task, sample)
    chosen = [first[task] for task in TASKS]
    return pd.DataFrame([{name: getattr(s, name) or "" for name in COLUMNS} for s in chosen])


def samples_of_items(items: pd.DataFrame) -> list[Sample]:
    """Turn a table with the columns `COLUMNS` into samples without labels."""
    samples = []
    for row in items.to_dict("records"):
        pairwise = row["task"] == "pairwise"
        identity = stable_id("mine", *(row[name] for name in COLUMNS))
        samples.append(
            Sample(
                identity,
                "mine",
                row["task"],
                row["instruction"],
                row["response"],
                row["response_b"] if pairwise else None,
                rubric=row["rubric"],
                reference=row["reference"] or None,
            )
        )
    return samples


def verdict_table(samples: Sequence[Sample], replies: Sequence[Reply]) -> pd.DataFrame:
    """Return one row an item: task, verdict or why there is none, and the whole reply."""
    rows = []
    for sample, reply in zip(samples, replies):
        verdict = parse_verdict(reply.text, sample.task, finish_reason=reply.finish_reason)
        rows.append((sample.task, verdict.value or verdict.status, verdict.reason, reply.text))
    return pd.DataFrame(rows, columns=["task", "verdict", "reason", "reply"])
