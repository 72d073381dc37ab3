"""From judgements to scores: each with convention, interval, bounds, baselines, published value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.evaluation.scoring.conventions import drafts_of
from selene_lib.evaluation.scoring.outcomes import Outcomes, align_judgements
from selene_lib.evaluation.scoring.rows import Settings, against, finish, not_run_score
from selene_lib.evaluation.scoring.tasks import (
    JudgeComparison,
    TaskMean,
    compare,
    task_means,
)
from selene_lib.files import to_dict
from selene_lib.paper import values as paper
from selene_lib.paper.parity import target
from selene_lib.records import Judgement, Sample, Score

__all__ = [
    "JudgeComparison",
    "Outcomes",
    "TaskMean",
    "align_judgements",
    "compare",
    "headline",
    "not_run_score",
    "read_scores",
    "score_set",
    "scores_table",
    "task_means",
]


_PUBLISHED_METRICS = ("accuracy", "section_mean", "pearson", "consistent_accuracy")


def score_set(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    judge: str,
    set_name: str,
    published_as: str | None = None,
    seed: int = 0,
    n_resamples: int = 2000,
) -> list[Score]:
    """Score one judge on one set: one row per metric and convention.

    Per task of the set one row has `meta["headline"]`. `published_as` names the judge of
    `paper.PUBLISHED` to stand beside (default: `judge` itself). Its value is put on the headline
    row and on the row of its own convention, where that is known. Intervals resample groups of
    samples. Same input, same rows, bit for bit.
    """
    aligned = align_judgements(samples, judgements, judge=judge, set_name=set_name)
    return score_outcomes(aligned, Settings(seed, n_resamples), published_as=published_as)


def score_outcomes(
    aligned: Sequence[Outcomes], settings: Settings, *, published_as: str | None = None
) -> list[Score]:
    """As `score_set`, of judgements that were aligned with their samples."""
    scores = []
    for outcomes in aligned:
        for draft in drafts_of(outcomes, settings.seed):
            row = finish(draft, outcomes, settings)
            cell = _cell_of(row, published_as or outcomes.judge, outcomes)
            scores.append(against(row, cell) if cell is not None else row)
    return scores


def _cell_of(row: Score, judge: str, outcomes: Outcomes) -> paper.Published | None:
    """Return the published value that belongs on a row, None where none does.

    One does on the headline, on the row that is counted as the publisher counted, and on the row of
    a subset that has a published score.
    """
    if "subset" in row.meta:
        cell = target(judge, row.set, str(row.meta["subset"]))
        return cell if cell is not None and cell.convention == row.convention else None
    only = outcomes.subsets[0] if len(set(outcomes.subsets)) == 1 else ""
    cell = paper.published(judge, row.set) or target(judge, row.set, str(only))
    if cell is None:
        return None
    if row.set == "reward_bench" and row.metric != "section_mean":
        return None  # published is the mean of four sections, which needs all 23 subsets
    is_same = row.convention == cell.convention and row.metric in _PUBLISHED_METRICS
    return cell if is_same or _is_headline(row) else None


def headline(scores: Iterable[Score]) -> list[Score]:
    """The rows that stand for a set: one per judge, set and task."""
    return [score for score in scores if _is_headline(score)]


def scores_table(scores: Iterable[Score]) -> pd.DataFrame:
    """All rows as a table with the columns of `Score` and `headline`; `meta` is JSON text."""
    rows = []
    for score in scores:
        meta = json.dumps(dict(score.meta), sort_keys=True, ensure_ascii=False)
        rows.append({**to_dict(score), "headline": _is_headline(score), "meta": meta})
    return pd.DataFrame(rows, columns=[*Score.__dataclass_fields__, "headline"])


def _is_headline(score: Score) -> bool:
    return bool(score.meta.get("headline"))


def read_scores(path: Path) -> list[Score]:
    """Read `scores.csv` back."""
    table = pd.read_csv(
        path, keep_default_na=False, na_values=[""], dtype={"published_note": str, "status": str}
    )
    rows = []
    for row in table[list(Score.__dataclass_fields__)].to_dict("records"):
        plain: dict[str, Any] = {str(k): None if v != v else v for k, v in row.items()}
        plain["published_note"] = plain["published_note"] or ""
        plain["meta"] = json.loads(plain["meta"] or "{}")
        rows.append(Score(**plain))
    return rows
