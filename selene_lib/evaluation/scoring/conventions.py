"""One set of verdicts, counted in each named way: strict first, then as others publish.

`strict` gives no free points: an unparsed reply is wrong. The ways of a task stand in the module of
its name.
"""

from __future__ import annotations

import numpy as np

from selene_lib.evaluation.scoring.absolute import absolute_drafts
from selene_lib.evaluation.scoring.classification import classification_drafts
from selene_lib.evaluation.scoring.drafts import PARSED, Draft
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes
from selene_lib.evaluation.scoring.pairwise import pairwise_drafts
from selene_lib.records import LABELS, Order


def drafts_of(outcomes: Outcomes, seed: int) -> list[Draft]:
    """All rows of one task of one set; exactly one of them has `meta["headline"]`."""
    if outcomes.task == "pairwise":
        rows = pairwise_drafts(outcomes, seed)
    elif outcomes.task == "classification":
        rows = classification_drafts(outcomes)
    else:
        rows = absolute_drafts(outcomes)
    return [*rows, *_calibration(outcomes)]


def headline_draft(outcomes: Outcomes, seed: int) -> Draft:
    """The one row that stands for the set."""
    return next(draft for draft in drafts_of(outcomes, seed) if draft.meta.get("headline"))


def _calibration(o: Outcomes) -> list[Draft]:
    """Calibration of the probability given to the verdict, over all orders.

    Nothing where a judge gives no probabilities.
    """
    confidence, correct, groups = [], [], []
    for order in o.verdicts:
        sure = _probability_of_verdict(o, order)
        use = ~np.isnan(sure) & (o.gold != UNPARSED)
        confidence.append(np.round(np.clip(sure[use], 0, 1), 3))
        correct.append(o.correct(order)[use])
        groups.append(o.groups[use])
    if not sum(map(len, confidence)):
        return []
    return [
        Draft(
            "expected_calibration_error",
            PARSED,
            (np.concatenate(confidence), np.concatenate(correct)),
            np.concatenate(groups),
            kind="expected_calibration_error",
            n_unparsed=o.n_unparsed(list(o.verdicts)),
        )
    ]


def _probability_of_verdict(o: Outcomes, order: Order) -> np.ndarray:
    """Probability of the verdict given, [n_items]; NaN where it is unparsed or unknown."""
    labels = LABELS[o.task]
    found = np.full(o.n, np.nan)
    for i, verdict in enumerate(o.verdicts[order]):
        if verdict in labels:
            found[i] = o.probs[order][i, labels.index(verdict)]
    return found
