"""Yes/No sets in one table: base and trained judges beside yardsticks, with intervals by group.

A judge that gives probabilities is also measured without its threshold (AUC), and by how far its
probabilities are off (Brier score, expected calibration error).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from selene_lib.evaluation.metrics.calibration import bin_numbers
from selene_lib.evaluation.metrics.resampling import Interval, interval
from selene_lib.records import Judgement, Sample

JUDGE, YARDSTICK = "judge", "yardstick"


@dataclass(frozen=True)
class Answers:
    """One judge or yardstick on one set: probability of Yes (NaN where there is no verdict), gold
    answer, group; all [n].
    """

    probability: np.ndarray
    gold: np.ndarray
    groups: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """1 where the verdict is right; an item without one counts as wrong."""
        said = self.probability > 0.5
        return ((said == self.gold) & ~np.isnan(self.probability)).astype(float)

    @property
    def filled(self) -> np.ndarray:
        """The probabilities, one half where there is none."""
        return np.where(np.isnan(self.probability), 0.5, self.probability)


def answers_of(samples: Sequence[Sample], judgements: Sequence[Judgement]) -> Answers:
    """Lay one judge's verdicts beside the gold labels, in the order of the samples.

    Where the judge gives no probabilities its verdict counts as 0 or 1.
    """
    by_id = {judgement.sample_id: judgement for judgement in judgements}
    return answers_at(samples, np.array([_yes(by_id[sample.id]) for sample in samples]))


def answers_at(samples: Sequence[Sample], probability: np.ndarray) -> Answers:
    """Lay probabilities of Yes beside the gold labels."""
    gold = np.array([sample.label == "Yes" for sample in samples])
    return Answers(probability, gold, np.array([sample.group or sample.id for sample in samples]))


def _yes(judgement: Judgement) -> float:
    if judgement.verdict is None:
        return float("nan")
    if judgement.verdict_probs:
        return float(judgement.verdict_probs["Yes"])
    return float(judgement.verdict == "Yes")


def accuracy(a: Answers, rows: np.ndarray) -> float:
    """Share of right verdicts."""
    return float(a.right[rows].mean())


def balanced_accuracy(a: Answers, rows: np.ndarray) -> float:
    """Mean of the shares of right verdicts among Yes and among No; NaN without one of them."""
    right, gold = a.right[rows], a.gold[rows]
    if gold.all() or not gold.any():
        return float("nan")
    return float((right[gold].mean() + right[~gold].mean()) / 2)


def kappa(a: Answers, rows: np.ndarray) -> float:
    """Cohen's (1960) kappa of verdict and label; NaN where chance agreement is total."""
    said, gold = (a.probability[rows] > 0.5), a.gold[rows]
    agreed = a.right[rows].mean()
    chance = said.mean() * gold.mean() + (1 - said.mean()) * (1 - gold.mean())
    return float((agreed - chance) / (1 - chance)) if chance < 1 else float("nan")


def auc(a: Answers, rows: np.ndarray) -> float:
    """Chance that a Yes item has a higher probability than a No item, ties counted half."""
    from scipy.stats import rankdata

    gold = a.gold[rows]
    n_yes = int(gold.sum())
    n_no = len(gold) - n_yes
    if not n_yes or not n_no:
        return float("nan")
    ranks = rankdata(a.filled[rows])
    return float((ranks[gold].sum() - n_yes * (n_yes + 1) / 2) / (n_yes * n_no))


def brier(a: Answers, rows: np.ndarray) -> float:
    """Mean squared distance of probability and answer (Brier 1950); 0.25 is always saying half."""
    return float(((a.filled[rows] - a.gold[rows]) ** 2).mean())


def calibration_error(a: Answers, rows: np.ndarray) -> float:
    """Expected calibration error of the verdict's confidence over ten bins."""
    probability = a.filled[rows]
    confidence, right = np.maximum(probability, 1 - probability), a.right[rows]
    bins = bin_numbers(confidence, 10)
    gaps = [
        (bins == b).mean() * abs(confidence[bins == b].mean() - right[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


METRICS = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "kappa": kappa,
    "auc": auc,
    "brier": brier,
    "calibration_error": calibration_error,
}
WITH_INTERVAL = ("accuracy", "balanced_accuracy", "auc", "brier")


def resamples(groups: np.ndarray, n_resamples: int, seed: int) -> list[np.ndarray]:
    """Return row indices of `n_resamples` draws of whole groups with replacement."""
    generator = np.random.default_rng(seed)
    _, code = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(code == g) for g in range(code.max() + 1)]
    draws = generator.integers(0, len(members), (n_resamples, len(members)))
    return [np.concatenate([members[g] for g in draw]) for draw in draws]


def difference(
    metric: str, a: Answers, b: Answers, *, n_resamples: int, seed: int
) -> tuple[float, Interval]:
    """Return `metric(a) - metric(b)` on the same items, with its interval over groups."""
    function, everything = METRICS[metric], np.arange(len(a.gold))
    replicates = [
        function(a, rows) - function(b, rows) for rows in resamples(a.groups, n_resamples, seed)
    ]
    return function(a, everything) - function(b, everything), interval(np.array(replicates))


def binary_table(
    name: str,
    samples: Sequence[Sample],
    found: Mapping[str, tuple[str, Answers]],
    *,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Return a row a judge or yardstick of one set: n, groups, verdicts missing, every metric, and
    the interval of those in `WITH_INTERVAL`.

    `found` maps a name to (kind, answers), kind `judge` or `yardstick`.
    """
    share = float(np.mean([sample.label == "Yes" for sample in samples]))
    rows = []
    for who, (kind, answers) in found.items():
        everything = np.arange(len(samples))
        row = {
            "set": name,
            "who": who,
            "kind": kind,
            "n": len(samples),
            "n_groups": len(set(answers.groups)),
            "n_unparsed": int(np.isnan(answers.probability).sum()),
            "share_yes": share,
            "majority": max(share, 1 - share),
            **{metric: function(answers, everything) for metric, function in METRICS.items()},
        }
        draws = resamples(answers.groups, n_resamples, seed)
        for metric in WITH_INTERVAL:
            around = interval(np.array([METRICS[metric](answers, draw) for draw in draws]))
            row |= {f"{metric}_low": around.low, f"{metric}_high": around.high}
        rows.append(row)
    return pd.DataFrame(rows)
