"""What each way of counting gives a judge that knows nothing: how much of a number is selection.

Two judges are simulated on the gold labels of a set: one answers at random, one always names the
first label (the first response of what it is shown, Yes, score 1). What a convention gives them
above one half is its own doing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.conventions import drafts_of
from selene_lib.evaluation.scoring.outcomes import Outcomes, align_judgements
from selene_lib.records import LABELS, Judgement, Order, Sample, swap_verdict

RANDOM_JUDGE = "random"
FIRST_JUDGE = "always first"
SHOWN = ("accuracy", "section_mean", "pearson", "consistent_accuracy")


def selection_table(
    sets: Mapping[str, Sequence[Sample]], *, n_runs: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Return the value of every convention for the two judges, averaged over `n_runs` simulations.

    Columns: set, judge, metric, convention, value (mean over the runs), sd (over the runs), n. The
    judge that always names the first needs one run. Subset rows are left out.
    """
    rows = []
    for name, samples in sets.items():
        for outcomes in _blank(name, samples):
            for judge, runs in ((RANDOM_JUDGE, n_runs), (FIRST_JUDGE, 1)):
                rows += _rows(outcomes, judge, runs, seed)
    return pd.DataFrame(rows)


def _blank(name: str, samples: Sequence[Sample]) -> list[Outcomes]:
    """Outcomes of the set in which every verdict is still to be filled in."""
    judgements = []
    for sample in samples:
        orders: tuple[Order, ...] = ("AB", "BA") if sample.task == "pairwise" else ("AB",)
        for order in orders:
            judgements.append(_judgement(name, sample, order))
    return align_judgements(samples, judgements, judge="simulated", set_name=name)


def _judgement(name: str, sample: Sample, order: Order) -> Judgement:
    verdict = LABELS[sample.task][0]
    return Judgement(
        "simulated", name, sample.id, sample.task, order, "", "", "", "stop", "value", verdict
    )


def _rows(blank: Outcomes, judge: str, n_runs: int, seed: int) -> list[dict[str, object]]:
    found: dict[tuple[str, str], list[float]] = {}
    rng = np.random.default_rng(seed)
    for run in range(n_runs):
        outcomes = replace(blank, verdicts=_verdicts(blank, judge, rng))
        for draft in drafts_of(outcomes, seed + run):
            if draft.metric in SHOWN:
                value = metrics.metric_value(draft.kind, *draft.columns)
                found.setdefault((draft.metric, draft.convention), []).append(value)
    rows = []
    for (metric, convention), values in found.items():
        cell = {"set": blank.set, "judge": judge, "metric": metric, "convention": convention}
        rows.append({**cell, "value": np.mean(values), "sd": np.std(values), "n": blank.n})
    return rows


def _verdicts(blank: Outcomes, judge: str, rng: np.random.Generator) -> dict[Order, np.ndarray]:
    """Verdicts in the words of the sample: what is named under `BA` is turned round."""
    labels = np.array(LABELS[blank.task], dtype=object)
    verdicts: dict[Order, np.ndarray] = {}
    for order in blank.verdicts:
        if judge == RANDOM_JUDGE:
            said = labels[rng.integers(0, len(labels), blank.n)]
        else:
            said = np.full(blank.n, labels[0], dtype=object)
        turned = [swap_verdict(str(word)) for word in said] if order == "BA" else said
        verdicts[order] = np.array(turned, dtype=object)
    return verdicts
