"""Notebook 00: three items of the embedded world as a small table, judged and shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import Sample, stable_id

COLUMNS = ("task", "instruction", "response", "response_b", "rubric", "reference")


def example_items() -> Any:
    """Return three generated items, one for each task type, as an editable table."""
    import pandas as pd

    from selene_lib import nano

    samples = [
        s
        for name in nano.NANO_SOURCES
        if "poison" not in name
        for s in nano.make_source(name, 12, seed=99)
    ]
    chosen = [
        next(s for s in samples if s.task == task)
        for task in ("absolute", "classification", "pairwise")
    ]
    return pd.DataFrame([{name: getattr(s, name) or "" for name in COLUMNS} for s in chosen])


def to_samples(items: Any) -> list[Sample]:
    """Turn a table with the columns task, instruction, response, response_b, rubric, reference into
    samples without labels.
    """
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


def verdict_table(samples: Sequence[Sample], replies: Sequence[Any]) -> Any:
    """Return one row an item: task, verdict or why there is none, and the whole reply."""
    import pandas as pd

    verdicts = [
        parse_verdict(reply.text, sample.task, finish_reason=reply.finish_reason)
        for sample, reply in zip(samples, replies)
    ]
    rows = [
        (s.task, v.value or v.status, v.reason, r.text)
        for s, v, r in zip(samples, verdicts, replies)
    ]
    return pd.DataFrame(rows, columns=["task", "verdict", "reason", "reply"])
