"""Yes/No sets in one table: base and trained judges beside yardsticks, with intervals by group.

A judge that gives probabilities is also measured without its threshold (AUC), and by how far its
probabilities are off (Brier score, expected calibration error). Accuracy, balanced accuracy and
kappa are those of the table of all sets, drawn from the same resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.drafts import STRICT
from selene_lib.evaluation.scoring.rows import Settings
from selene_lib.records import LABELS, Judgement, Sample

JUDGE, YARDSTICK = "judge", "yardstick"
YES, NO = LABELS["classification"]
MISSING = len(LABELS["classification"])  # the code of no verdict, after those of the labels


@dataclass(frozen=True)
class Answers:
    """One judge or yardstick on one set: probability of Yes (NaN where there is no verdict), codes
    of verdict and gold label (place in `LABELS`), group; all [n].
    """

    probability: np.ndarray
    verdict: np.ndarray
    gold: np.ndarray
    groups: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """1 where the verdict is right; an item without one counts as wrong."""
        return (self.verdict == self.gold).astype(float)

    @property
    def is_yes(self) -> np.ndarray:
        """1 where the gold label is Yes."""
        return (self.gold == _code(YES)).astype(float)

    @property
    def filled(self) -> np.ndarray:
        """The probabilities, one half where there is none."""
        return np.where(np.isnan(self.probability), 0.5, self.probability)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the likelier label."""
        return np.maximum(self.filled, 1 - self.filled)


def answers_of(samples: Sequence[Sample], judgements: Sequence[Judgement]) -> Answers:
    """Lay one judge's verdicts beside the gold labels, in the order of the samples.

    Where the judge gives no probabilities its verdict counts as 0 or 1.
    """
    by_id = {judgement.sample_id: judgement for judgement in judgements}
    mine = [by_id[sample.id] for sample in samples]
    verdict = np.array([MISSING if j.verdict is None else _code(j.verdict) for j in mine], float)
    return Answers(np.array([_yes(j) for j in mine]), verdict, *_gold_and_groups(samples))


def answers_at(samples: Sequence[Sample], probability: np.ndarray) -> Answers:
    """Lay probabilities of Yes beside the gold labels; above one half the verdict is Yes."""
    said = np.where(probability > 0.5, _code(YES), _code(NO))
    verdict = np.where(np.isnan(probability), MISSING, said).astype(float)
    return Answers(probability, verdict, *_gold_and_groups(samples))


def _gold_and_groups(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    gold = np.array([_code(sample.label or NO) for sample in samples], float)
    return gold, np.array([sample.group or sample.id for sample in samples])


def _code(label: str) -> int:
    return LABELS["classification"].index(label)


def _yes(judgement: Judgement) -> float:
    if judgement.verdict is None:
        return float("nan")
    if judgement.verdict_probs:
        return float(judgement.verdict_probs[YES])
    return float(judgement.verdict == YES)


# name -> metric of `metrics.metric_value`, and the columns it takes
METRICS: dict[str, tuple[str, Callable[[Answers], tuple[np.ndarray, ...]]]] = {
    "accuracy": ("mean", lambda a: (a.right,)),
    "balanced_accuracy": ("balanced_accuracy", lambda a: (a.verdict, a.gold)),
    "kappa": ("cohens_kappa", lambda a: (a.verdict, a.gold)),
    "auc": ("roc_auc", lambda a: (a.filled, a.is_yes)),
    "brier": ("mean", lambda a: ((a.filled - a.is_yes) ** 2,)),
    "calibration_error": ("expected_calibration_error", lambda a: (a.confidence, a.right)),
}
WITH_INTERVAL = ("accuracy", "balanced_accuracy", "auc", "brier")


def value_of(metric: str, answers: Answers) -> float:
    """Return a metric of `METRICS`; NaN where it is not defined."""
    kind, columns = METRICS[metric]
    return metrics.metric_value(kind, *columns(answers))


def difference(
    name: str, metric: str, a: Answers, b: Answers, settings: Settings
) -> metrics.Difference:
    """Return `metric(a) - metric(b)` on the same items of the set `name`, with its interval over
    groups.
    """
    kind, columns = METRICS[metric]
    mine, others = columns(a), columns(b)
    gold = mine[1] if len(mine) > 1 else None
    return metrics.paired_bootstrap(
        mine[0],
        others[0],
        gold,
        metric=kind,
        groups=a.groups,
        n_resamples=settings.n_resamples,
        rng=settings.rng(name, metric, STRICT),
    )


def binary_table(
    name: str,
    samples: Sequence[Sample],
    found: Mapping[str, tuple[str, Answers]],
    settings: Settings,
) -> pd.DataFrame:
    """Return a row a judge or yardstick of one set: n, groups, verdicts missing, every metric, and
    the interval of those in `WITH_INTERVAL`.

    `found` maps a name to (kind, answers), kind `judge` or `yardstick`.
    """
    share = float(np.mean([sample.label == YES for sample in samples]))
    rows = []
    for who, (kind, answers) in found.items():
        row = {
            "set": name,
            "who": who,
            "kind": kind,
            "n": len(samples),
            "n_groups": len(set(answers.groups)),
            "n_unparsed": int((answers.verdict == MISSING).sum()),
            "share_yes": share,
            "majority": max(share, 1 - share),
            **{metric: value_of(metric, answers) for metric in METRICS},
        }
        for metric in WITH_INTERVAL:
            around = _estimate(name, metric, answers, settings)
            row |= {f"{metric}_low": around.low, f"{metric}_high": around.high}
        rows.append(row)
    return pd.DataFrame(rows)


def _estimate(name: str, metric: str, answers: Answers, settings: Settings) -> metrics.Estimate:
    kind, columns = METRICS[metric]
    return metrics.estimate(
        kind,
        *columns(answers),
        groups=answers.groups,
        n_resamples=settings.n_resamples,
        rng=settings.rng(name, metric, STRICT),
    )
