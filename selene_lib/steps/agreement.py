"""Notebook 05: how far the main judge agrees with the labels of each set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from selene_lib.evaluation.agreement.measures import measure
from selene_lib.evaluation.agreement.verdicts import Verdicts, verdicts_of
from selene_lib.judges.names import BASE, main_arm
from selene_lib.records import TIE, Judgement, Sample

MEASURES = ("accuracy", "balanced_accuracy", "kappa", "quadratic_kappa")
COLUMNS = ("set", "judge", "measure", "value", "ci95_low", "ci95_high", "n", "n_groups")


def agreement_table(
    sets: Mapping[str, Sequence[Sample]],
    judgements: Sequence[Judgement],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return how far base and main arm agree with the labels: one row a set, judge and measure.

    Columns `COLUMNS`: accuracy, balanced accuracy and Cohen's kappa (of scores the quadratic one
    too) with 95 % intervals that resample whole groups. A pair's verdict is what both orders say
    and a tie where they differ; an unread reply agrees with no label. Sets without a label have no
    row; one that asks for several tasks has a row a task, which stands beside its name.
    """
    names = list(dict.fromkeys(judgement.judge for judgement in judgements))
    rows = [
        {"set": shown, "judge": judge, **row}
        for judge in dict.fromkeys((BASE, main_arm(names)))
        for name, samples in sets.items()
        for shown, mine in _by_task(name, samples)
        for row in _rows(verdicts_of_set(mine, judgements, judge, name), n_resamples, seed)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["set", "judge"], kind="stable")


def _by_task(name: str, samples: Sequence[Sample]) -> Iterator[tuple[str, list[Sample]]]:
    tasks = dict.fromkeys(sample.task for sample in samples)
    for task in tasks:
        shown = name if len(tasks) == 1 else f"{name} ({task})"
        yield shown, [sample for sample in samples if sample.task == task]


def verdicts_of_set(
    samples: Sequence[Sample], judgements: Sequence[Judgement], judge: str, name: str
) -> Verdicts | None:
    """Lay a judge's verdicts beside the labelled samples of a set; None where it judged none."""
    said: dict[str, list[Judgement]] = {}
    for judgement in judgements:
        if judgement.judge == judge and judgement.set == name:
            said.setdefault(judgement.sample_id, []).append(judgement)
    judged = [s for s in samples if s.id in said and not (s.label is None and s.score is None)]
    if not judged:
        return None
    replies = [said[sample.id] for sample in judged]
    confidence = [js[0].verdict_probability if len(js) == 1 else None for js in replies]
    return verdicts_of(judged, [_one_verdict(js) for js in replies], confidence)


def _one_verdict(replies: Sequence[Judgement]) -> str | None:
    verdicts = {judgement.verdict_of_sample for judgement in replies}
    if len(verdicts) == 1:
        return verdicts.pop()
    return None if None in verdicts else TIE


def _rows(v: Verdicts | None, n_resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    if v is None:
        return
    table = measure(v, n_resamples=n_resamples, seed=seed)
    for name in MEASURES:
        for row in table[(table["measure"] == name) & (table["label"] == "")].to_dict("records"):
            yield {str(key): value for key, value in row.items() if key in COLUMNS}
