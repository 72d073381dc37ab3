"""From judgements to scores: every number with its convention, interval, bounds, baselines and
published value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from selene_lib.evaluation.scoring.conventions import drafts_of
from selene_lib.evaluation.scoring.outcomes import Outcomes, lay_out
from selene_lib.evaluation.scoring.rows import Settings, against, finish, not_run
from selene_lib.evaluation.scoring.tasks import TaskMean, compare, task_means, task_means_from_items
from selene_lib.files import to_dict
from selene_lib.paper import values as paper
from selene_lib.records import Judgement, Sample, Score

__all__ = [
    "Outcomes",
    "TaskMean",
    "compare",
    "headline",
    "lay_out",
    "not_run",
    "read_scores",
    "score_set",
    "scores_table",
    "task_means",
    "task_means_from_items",
]


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
    """Score one judge on one set: one row per metric and convention; per task of the set one row
    has `meta["headline"]`.

    `published_as` names the judge of `paper.PUBLISHED` to stand beside (default: `judge` itself).
    Its value is put on the headline row and on the row of its own convention, where that is known.
    Intervals resample groups of samples. Same input, same rows, bit for bit.
    """
    settings = Settings(seed, n_resamples)
    cell = paper.published(published_as or judge, set_name)
    scores = []
    for outcomes in lay_out(samples, judgements, judge=judge, set_name=set_name):
        for draft in drafts_of(outcomes, seed):
            row = finish(draft, outcomes, settings)
            scores.append(against(row, cell) if _comparable(row, cell) else row)
    return scores


def _comparable(row: Score, cell: paper.Published | None) -> bool:
    """Whether a published value belongs on this row: the headline, or the row counted as the
    publisher counted.
    """
    if cell is None:
        return False
    if row.set == "reward_bench" and row.metric != "section_mean":
        return False  # published is the mean of four sections, which needs all 23 subsets
    return bool(row.meta.get("headline")) or (
        row.convention == cell.convention and row.metric in ("accuracy", "section_mean")
    )


def headline(scores: Iterable[Score]) -> list[Score]:
    """The rows that stand for a set: one per judge, set and task."""
    return [score for score in scores if score.meta.get("headline")]


def scores_table(scores: Iterable[Score]) -> Any:
    """All rows as a pandas DataFrame with the columns of `Score`, `meta` as JSON text and
    `headline` as a column of its own.
    """
    import json

    import pandas as pd

    rows = [
        {
            **to_dict(s),
            "headline": bool(s.meta.get("headline")),
            "meta": json.dumps(dict(s.meta), sort_keys=True, ensure_ascii=False),
        }
        for s in scores
    ]
    columns = [*Score.__dataclass_fields__, "headline"]
    return pd.DataFrame(rows, columns=columns)


def read_scores(path: Any) -> list[Score]:
    """Read `scores.csv` back."""
    import json

    import pandas as pd

    names = list(Score.__dataclass_fields__)
    table = pd.read_csv(
        path, keep_default_na=False, na_values=[""], dtype={"published_note": str, "status": str}
    )
    rows = []
    for row in table[names].to_dict("records"):
        plain = {k: None if v != v else v for k, v in row.items()}
        rows.append(
            Score(
                **{
                    **plain,
                    "published_note": plain["published_note"] or "",
                    "meta": json.loads(plain["meta"] or "{}"),
                }
            )
        )
    return rows
