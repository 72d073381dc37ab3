"""Measures of agreement between a judge and labels, each with an interval over groups, or over
items where that is wider.

A reply without a verdict counts as wrong in shares and as a verdict of its own in kappa; measures
of numbers (correlations, mean absolute error, weighted kappa) leave it out and say with `n` of how
many items they speak.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from selene_lib.evaluation.agreement.verdicts import NONE, Verdicts
from selene_lib.evaluation.metrics.estimates import Estimate, estimate

COLUMNS = ("measure", "label", "value", "ci95_low", "ci95_high", "n", "n_groups")
Row = tuple[str, str, Estimate]


def confusion(v: Verdicts) -> pd.DataFrame:
    """Return counts of labelled items: a row a label, a column a verdict, last `none`."""
    verdicts = [*v.labels, NONE]
    table = [[int(((v.gold == g) & (v.verdict == s)).sum()) for s in verdicts] for g in v.labels]
    names = [*v.labels, "none"]
    return pd.DataFrame(table, index=pd.Index(v.labels, name="label"), columns=names)


def measure(v: Verdicts, *, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return one row a measure of the labelled items, columns `COLUMNS`; NaN where a measure has no
    value (kappa of one class) and where no interval can be told.

    Recall of Yes is the true positive rate, recall of No the true negative rate.
    """

    def of(metric: str, *columns: np.ndarray, keep: np.ndarray | None = None) -> Estimate:
        rows = np.ones(len(v), bool) if keep is None else keep
        chosen = [column[rows] for column in columns]
        options: dict[str, Any] = {"n_resamples": n_resamples, "rng": seed}
        by_item = estimate(metric, *chosen, **options)
        by_group = estimate(metric, *chosen, groups=v.groups[rows], **options)
        return _wider(by_group, by_item)

    rows = [*_shares(v, of), *_per_class(v, of), *_numbers(v, of), *_confidence(v, of)]
    return pd.DataFrame(
        [(name, label, e.value, e.low, e.high, e.n, e.n_groups) for name, label, e in rows],
        columns=list(COLUMNS),
    )


def _wider(by_group: Estimate, by_item: Estimate) -> Estimate:
    """Few groups of a balanced design all look alike: they are not surer than their items are."""
    if by_item.high - by_item.low > by_group.high - by_group.low:
        return replace(by_group, low=by_item.low, high=by_item.high)
    return by_group


Estimator = Callable[..., Estimate]


def _shares(v: Verdicts, of: Estimator) -> Iterator[Row]:
    gold, said = _codes(v, v.gold), _codes(v, v.verdict)
    yield "accuracy", "", of("accuracy", said, gold)
    yield "balanced_accuracy", "", of("balanced_accuracy", said, gold)
    yield "kappa", "", of("cohens_kappa", said, gold)


def _per_class(v: Verdicts, of: Estimator) -> Iterator[Row]:
    """Each as a weighted mean, so that a resample is one product of matrices.

    F1 is 2 TP / (said + gold): the mean of 2 TP / w with w = said + gold.
    """
    for label in v.labels:
        said, gold = (v.verdict == label).astype(float), (v.gold == label).astype(float)
        both, weight = said * gold, said + gold
        yield "precision", label, _share_of(of, gold, said)
        yield "recall", label, _share_of(of, said, gold)
        f1 = np.divide(2 * both, weight, out=np.zeros(len(v)), where=weight > 0)
        yield "f1", label, _share_of(of, f1, weight)


def _share_of(of: Estimator, values: np.ndarray, weight: np.ndarray) -> Estimate:
    """A weighted mean whose n is the items that carry weight."""
    return of("weighted_mean", values, weight, keep=weight > 0)


def _numbers(v: Verdicts, of: Estimator) -> Iterator[Row]:
    if v.task != "absolute":
        return
    keep = v.verdict != NONE
    said = np.array([float(s) if s else math.nan for s in v.verdict])
    whole = np.array([float(s) for s in v.gold])
    yield "quadratic_kappa", "", of("quadratic_kappa", said, whole, keep=keep)
    yield "pearson", "", of("pearson", said, v.score, keep=keep)
    yield "spearman", "", of("spearman", said, v.score, keep=keep)
    yield "mean_absolute_error", "", of("mean_absolute_error", said, v.score, keep=keep)


def _confidence(v: Verdicts, of: Estimator) -> Iterator[Row]:
    keep = ~np.isnan(v.confidence) & (v.verdict != NONE)
    if keep.any():
        right = (v.verdict == v.gold).astype(float)
        found = of("expected_calibration_error", v.confidence, right, keep=keep)
        yield "expected_calibration_error", "", found


def _codes(v: Verdicts, labels: np.ndarray) -> np.ndarray:
    place = {label: float(i) for i, label in enumerate((*v.labels, NONE))}
    return np.array([place[label] for label in labels])


def by_subset(v: Verdicts, *, n_resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Return accuracy with its interval, and kappa, of each subset; no row without subsets."""
    rows = []
    for name in dict.fromkeys(v.subset.tolist() if v.subset is not None else ()):
        here = v.where(v.subset == name)
        table = measure(here, n_resamples=n_resamples, seed=seed).set_index("measure")
        accuracy, kappa = table.loc["accuracy"], table.loc["kappa"]
        interval = (accuracy.ci95_low, accuracy.ci95_high)
        rows.append((name, len(here), accuracy.value, *interval, kappa.value))
    return pd.DataFrame(rows, columns=["subset", "n", "accuracy", "ci95_low", "ci95_high", "kappa"])


def baselines(v: Verdicts) -> dict[str, float]:
    """Accuracy of always giving the commonest label, and of drawing labels at their frequency."""
    shares = np.array([(v.gold == label).mean() for label in v.labels])
    return {"majority": float(shares.max()), "chance": float((shares**2).sum())}
