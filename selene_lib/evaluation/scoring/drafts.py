"""A score row before its interval, and what the rows of all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from selene_lib.evaluation.scoring.outcomes import Outcomes, tie_share

STRICT = "strict"
PARSED = "parsed only"


@dataclass(frozen=True)
class Draft:
    """One metric under one named convention: item arrays and the metric on them.

    `kind` names the metric in `metrics.counts`, `columns` are what it takes, each [n_items].
    `bounds` are of the same metric, `baselines` are (majority, random).
    """

    metric: str
    convention: str
    columns: tuple[np.ndarray, ...]
    groups: np.ndarray
    kind: str = "mean"
    n: int = 0
    n_unparsed: int = 0
    bounds: tuple[float | None, float | None] = (None, None)
    baselines: tuple[float | None, float | None] = (None, None)
    meta: Mapping[str, Any] = field(default_factory=dict)


def accuracy_bounds(correct: np.ndarray, missing: np.ndarray) -> tuple[float, float]:
    """The mean with every unparsed reply wrong, and with every one right."""
    if not len(correct):
        return float("nan"), float("nan")
    low = np.where(missing, 0.0, correct).mean()
    high = np.where(missing, 1.0, correct).mean()
    return float(low), float(high)


def majority_share(gold: np.ndarray) -> float:
    """Accuracy of always giving the commonest gold label; NaN for no items."""
    if not len(gold):
        return float("nan")
    _, counts = np.unique(gold.astype(str), return_counts=True)
    return float(max(counts) / len(gold))


def headline_meta(o: Outcomes) -> dict[str, Any]:
    """What the one row that stands for a set says beside its value."""
    meta: dict[str, Any] = {"headline": True, "statuses": o.status_counts()}
    if ties := tie_share(o):
        meta |= {"gold_tie_share": round(ties, 6), "ceiling": round(1 - ties, 6)}
    return meta
