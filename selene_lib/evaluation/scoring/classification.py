"""Yes/No verdicts, counted in each named way."""

from __future__ import annotations

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
from selene_lib.records import LABELS


def classification_drafts(o: Outcomes) -> list[Draft]:
    """Accuracy (strict, parsed only, lenient), balanced accuracy and Cohen's kappa."""
    correct, missing = o.correct("AB"), o.unparsed("AB")
    n_unparsed, baselines = int(missing.sum()), (majority_share(o.gold), 0.5)
    strict = Draft(
        "accuracy",
        STRICT,
        (correct,),
        o.groups,
        n_unparsed=n_unparsed,
        bounds=accuracy_bounds(correct, missing),
        baselines=baselines,
        meta=headline_meta(o),
    )
    parsed = Draft(
        "accuracy",
        PARSED,
        (correct[~missing],),
        o.groups[~missing],
        n_unparsed=n_unparsed,
        baselines=baselines,
    )
    half_point = Draft(
        "accuracy",
        "half a point for unreadable",
        (np.where(missing, 0.5, correct),),
        o.groups,
        n_unparsed=n_unparsed,
        baselines=baselines,
    )
    return [strict, parsed, half_point, *_beyond_accuracy(o, missing)]


def _beyond_accuracy(o: Outcomes, missing: np.ndarray) -> list[Draft]:
    """Metrics that always giving the commoner label does not win."""
    gold, verdict = _codes(o.gold), _codes(o.verdicts["AB"])
    all_right = np.where(missing, gold, verdict)
    balanced = Draft(
        "balanced_accuracy",
        STRICT,
        (verdict, gold),
        o.groups,
        kind="balanced_accuracy",
        n_unparsed=int(missing.sum()),
        bounds=(
            metrics.metric_value("balanced_accuracy", verdict, gold),
            metrics.metric_value("balanced_accuracy", all_right, gold),
        ),
        baselines=(0.5, 0.5),
    )
    kappa = Draft(
        "cohens_kappa",
        STRICT,
        (verdict, gold),
        o.groups,
        kind="cohens_kappa",
        n_unparsed=int(missing.sum()),
        baselines=(0.0, 0.0),
    )
    return [balanced, kappa]


def _codes(labels: np.ndarray) -> np.ndarray:
    order = {label: i for i, label in enumerate((*LABELS["classification"], UNPARSED))}
    return np.array([float(order[label]) for label in labels])
