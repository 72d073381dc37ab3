"""Scores from 1 to 5, counted in each named way.

Where the metric is a correlation, "wrong" has no number: an unparsed score is put at the judge's
mean, so that it says nothing and r shrinks; the bounds say what it could have been.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.drafts import (
    PARSED,
    STRICT,
    Draft,
    accuracy_bounds,
    headline_meta,
    majority_share,
)
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes
from selene_lib.paper.values import UNREAD_AS_ZERO


def absolute_drafts(o: Outcomes) -> list[Draft]:
    """Pearson, Spearman, Kendall, mean absolute error and the share of exact scores.

    Pearson also as others publish it: an unreadable score enters it as 0.0, below the whole scale,
    so that an unreadable reply to a poor answer raises r.
    """
    has_gold = ~np.isnan(o.gold_score)
    missing = o.unparsed("AB")
    score = np.array([float(v) if v != UNPARSED else np.nan for v in o.verdicts["AB"]])
    seen = ~missing & has_gold
    n_unparsed, gold = int((missing & has_gold).sum()), o.gold_score[has_gold]
    filled = np.where(missing, score[seen].mean() if seen.any() else 0.0, score)[has_gold]
    strict = Draft(
        "pearson",
        STRICT,
        (filled, gold),
        o.groups[has_gold],
        kind="pearson",
        n_unparsed=n_unparsed,
        bounds=metrics.correlation_bounds(
            score[seen], o.gold_score[seen], o.gold_score[missing & has_gold]
        ),
        baselines=(0.0, 0.0),
        meta=headline_meta(o),
    )
    parsed = Draft(
        "pearson",
        PARSED,
        (score[seen], o.gold_score[seen]),
        o.groups[seen],
        kind="pearson",
        n_unparsed=n_unparsed,
        baselines=(0.0, 0.0),
    )
    zero = replace(
        strict,
        convention=UNREAD_AS_ZERO,
        columns=(np.where(missing, 0.0, score)[has_gold], gold),
        bounds=(None, None),
        meta={},
    )
    distance = "mean_absolute_error"
    return [
        strict,
        parsed,
        zero,
        replace(strict, metric="spearman", kind="spearman", bounds=(None, None), meta={}),
        replace(strict, metric="kendall", kind="kendall", bounds=(None, None), meta={}),
        replace(parsed, metric=distance, kind=distance, baselines=(None, None)),
        *_exact(o, missing),
        *_expected(o, seen, parsed),
    ]


def _exact(o: Outcomes, missing: np.ndarray) -> list[Draft]:
    """Share of items whose score is exactly the gold label, where the gold is a whole score."""
    has = o.gold != UNPARSED
    if not has.any():
        return []
    correct = o.correct("AB")[has]
    return [
        Draft(
            "accuracy",
            STRICT,
            (correct,),
            o.groups[has],
            n_unparsed=int(missing[has].sum()),
            bounds=accuracy_bounds(correct, missing[has]),
            baselines=(majority_share(o.gold[has]), 0.2),
        )
    ]


def _expected(o: Outcomes, seen: np.ndarray, parsed: Draft) -> list[Draft]:
    """Pearson of the expected score under the verdict's probabilities.

    Only where every parsed reply has them.
    """
    expected = o.probs["AB"] @ np.arange(1.0, 6.0)
    if not seen.any() or np.isnan(expected[seen]).any():
        return []
    columns = (np.round(expected[seen], 4), o.gold_score[seen])
    return [replace(parsed, metric="pearson_expected_score", columns=columns)]
