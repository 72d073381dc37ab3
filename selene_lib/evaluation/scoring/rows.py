"""Score rows: one metric under one named convention, with its interval and the published value."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace

import numpy as np

from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.drafts import STRICT, Draft
from selene_lib.evaluation.scoring.outcomes import Outcomes
from selene_lib.paper.values import Published
from selene_lib.records import Score, Task


@dataclass(frozen=True)
class Settings:
    """How intervals are made: the same for all rows of a table."""

    seed: int = 0
    n_resamples: int = 2000

    def rng(self, *parts: object) -> np.random.Generator:
        """Return the generator of a row, seeded by the seed and a name without the judge in it."""
        digest = hashlib.sha256("\x1f".join(map(str, (self.seed, *parts))).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def finish(draft: Draft, outcomes: Outcomes, settings: Settings) -> Score:
    """Compute value and clustered interval of a draft."""
    if not len(draft.columns[0]):
        return _score(draft, outcomes, None, metrics.Interval(math.nan, math.nan, math.nan, 0))
    found = metrics.estimate(
        draft.kind,
        *draft.columns,
        groups=draft.groups,
        n_resamples=settings.n_resamples,
        rng=settings.rng(outcomes.set, draft.metric, draft.convention),
    )
    return _score(draft, outcomes, found.value, found)


def cluster_names(groups: np.ndarray) -> np.ndarray | None:
    """The groups where at least two items share one, None where every item stands alone.

    Resampling items is then the same, and faster.
    """
    return groups if len(np.unique(groups)) < len(groups) else None


def _score(
    draft: Draft,
    outcomes: Outcomes,
    value: float | None,
    found: metrics.Estimate | metrics.Interval,
) -> Score:
    meta = {
        "standard_error": known(found.standard_error, 8),
        "n_groups": len(np.unique(draft.groups)),
        **draft.meta,
    }
    if found.n_undefined:
        meta["n_undefined_resamples"] = found.n_undefined
    return Score(
        judge=outcomes.judge,
        set=outcomes.set,
        task=outcomes.task,
        metric=draft.metric,
        convention=draft.convention,
        value=known(value),
        n=draft.n or len(draft.columns[0]),
        n_unparsed=draft.n_unparsed,
        ci95_low=known(found.low),
        ci95_high=known(found.high),
        bound_low=known(draft.bounds[0]),
        bound_high=known(draft.bounds[1]),
        baseline_majority=known(draft.baselines[0]),
        baseline_random=known(draft.baselines[1]),
        meta=meta,
    )


def known(value: float | None, digits: int = 10) -> float | None:
    """Round far below meaning, so that files are the same on every machine; None for NaN."""
    if value is None or math.isnan(value):
        return None
    return round(float(value), digits)


def against(score: Score, cell: Published | None, *, ran: bool = True) -> Score:
    """Put the published value beside a score, with the status of the comparison."""
    if cell is None:
        return replace(score, status="no published value")
    note = f"{cell.known}: {cell.source}; convention: {cell.convention}"
    return replace(
        score,
        published=cell.value,
        published_note=note,
        status=status_of(score, cell) if ran else "not run",
    )


def status_of(score: Score, cell: Published) -> str:
    """Compare a score with the published value.

    `matches` (equal as printed), `within interval` (published in our 95 % interval), `differs`,
    `undefined` (it ran, but the metric has no value, as the correlation of a constant judge), or
    `not comparable`: the published judge was allowed to say tie, so a gap means nothing.
    """
    if not cell.comparable:
        return "not comparable"
    if score.value is None:
        return "undefined"
    if round(score.value, cell.digits) == round(cell.value, cell.digits):
        return "matches"
    inside = (
        score.ci95_low is not None
        and score.ci95_high is not None
        and score.ci95_low <= cell.value <= score.ci95_high
    )
    return "within interval" if inside else "differs"


def not_run_score(
    judge: str, set_name: str, task: Task, metric: str, cell: Published | None, why: str
) -> Score:
    """A row for a set that is not here: it stands in the table with the reason why."""
    row = Score(
        judge,
        set_name,
        task,
        metric,
        STRICT,
        None,
        0,
        0,
        status="not run",
        meta={"headline": True, "why": why},
    )
    return against(row, cell, ran=False) if cell else row
