"""Calibration of a Yes/No judge: what its probabilities mean, learnt from held-out items.

Platt scaling (Platt 1999): p' = sigmoid(slope * logit(p) + shift), fitted by maximum likelihood on
validation items with Platt's smoothed targets. `slope` undoes over-confidence, `shift` moves the
threshold. A question is known by its rubric, so each rubric with enough items has a scaling of its
own; others use the one fitted on all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from selene_lib.errors import UserError
from selene_lib.files import read_json, write_json
from selene_lib.prompts.rendering import format_reply
from selene_lib.records import Judgement, Sample

LEAST_ITEMS = 20
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Scaling:
    """p' = sigmoid(slope * logit(p) + shift), fitted on `n` items."""

    slope: float
    shift: float
    n: int

    def apply(self, probability: float) -> float:
        """Return the scaled probability of Yes."""
        return float(_sigmoid(self.slope * _logit(np.array(probability)) + self.shift))


@dataclass(frozen=True)
class Calibration:
    """The scalings of one judge by rubric, and the one of all rubrics together.

    They are None where there were too few items.
    """

    overall: Scaling | None = None
    by_rubric: Mapping[str, Scaling] = field(default_factory=dict, hash=False)

    def of(self, rubric: str) -> Scaling | None:
        """Return the scaling for a rubric."""
        return self.by_rubric.get(rubric, self.overall)

    def apply(self, judgement: Judgement, sample: Sample) -> Judgement:
        """Return the judgement with the scaled probabilities and the verdict that they name.

        A judgement without probabilities, of another task, or without a scaling is returned as it
        is. What it said before stands in `meta["uncalibrated"]`.
        """
        scaling = self.of(sample.rubric)
        probabilities = judgement.verdict_probs
        if judgement.task != "classification" or not probabilities or scaling is None:
            return judgement
        yes = scaling.apply(probabilities["Yes"])
        verdict = "Yes" if yes > 0.5 else "No"
        return replace(
            judgement,
            reply=format_reply(None, verdict),
            verdict=verdict,
            verdict_probs={"Yes": yes, "No": 1 - yes},
            meta={**judgement.meta, "uncalibrated": dict(probabilities)},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `write` keeps them."""
        return {
            "overall": vars(self.overall) if self.overall else None,
            "by_rubric": {rubric: vars(found) for rubric, found in self.by_rubric.items()},
        }

    def write(self, path: str | Path) -> Path:
        """Write the calibration as JSON."""
        return write_json(path, self.to_dict())


def read_calibration(path: str | Path) -> Calibration:
    """Read what `Calibration.write` wrote; a file of another shape is a UserError."""
    if not Path(path).is_file():
        raise UserError(f"no calibration {path}: run notebook 05 first, or leave it out")
    try:
        values = read_json(path)
        overall = values["overall"]
        return Calibration(
            Scaling(**overall) if overall else None,
            {rubric: Scaling(**found) for rubric, found in values["by_rubric"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is no calibration file, as notebook 05 and selene train write; give one of "
            "those, or leave it out"
        ) from error


def fit_calibration(
    samples: Sequence[Sample], judgements: Sequence[Judgement], *, balanced: bool = False
) -> Calibration:
    """Fit a judge's calibration on labelled Yes/No items and its judgements of them, by sample id.

    `balanced` weighs Yes and No alike, for items whose share of Yes was made by curation and says
    nothing of the items to come; the threshold is then that of as many Yes as No.

    Items without label or probabilities are left out; fewer than `LEAST_ITEMS` of a rubric, or only
    one label among them, give that rubric no scaling of its own.
    """
    by_id = {sample.id: sample for sample in samples}
    rows: dict[str, list[tuple[float, bool]]] = {}
    for judgement in judgements:
        sample = by_id[judgement.sample_id]
        if sample.task == "classification" and sample.label and judgement.verdict_probs:
            pair = (judgement.verdict_probs["Yes"], sample.label == "Yes")
            rows.setdefault(sample.rubric, []).append(pair)
    everything = [pair for pairs in rows.values() for pair in pairs]
    fitted = {rubric: _fit(pairs, balanced) for rubric, pairs in sorted(rows.items())}
    return Calibration(
        _fit(everything, balanced),
        {rubric: found for rubric, found in fitted.items() if found is not None},
    )


def _fit(pairs: Sequence[tuple[float, bool]], balanced: bool) -> Scaling | None:
    answers = {answer for _, answer in pairs}
    if len(pairs) < LEAST_ITEMS or len(answers) < 2:
        return None
    probability, answer = (np.array(column, dtype=float) for column in zip(*pairs))
    share = answer.mean()
    weight = np.where(answer > 0, 0.5 / share, 0.5 / (1 - share)) if balanced else None
    slope, shift = fit_platt(probability, answer, weight)
    return Scaling(slope, shift, len(pairs))


def fit_platt(
    probability: np.ndarray,
    answer: np.ndarray,
    weight: np.ndarray | None = None,
    n_steps: int = 100,
) -> tuple[float, float]:
    """Return (slope, shift) of greatest likelihood for probabilities of Yes and answers 0 or 1.

    All arrays are [n]; `weight` (default: ones) is how often an item counts. Targets are Platt's
    (N+ + 1) / (N+ + 2) and 1 / (N- + 2), which keeps the slope finite where the classes do not
    overlap. Newton's method with step halving.
    """
    logits = _logit(np.asarray(probability, dtype=float))
    n_yes, n_no = float(answer.sum()), float((1 - answer).sum())
    targets = np.where(answer > 0, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    counts = np.ones_like(logits) if weight is None else weight
    weights = np.zeros(2)
    loss = _log_loss(design @ weights, targets, counts)
    for _ in range(n_steps):
        fitted = _sigmoid(design @ weights)
        gradient = design.T @ (counts * (fitted - targets))
        # a small ridge keeps the matrix invertible where all logits are equal
        hessian = (design * (counts * fitted * (1 - fitted))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-8 and _log_loss(design @ (weights - size * step), targets, counts) > loss:
            size /= 2
        weights = weights - size * step
        improved = loss - _log_loss(design @ weights, targets, counts)
        loss -= improved
        if improved < 1e-12:
            break
    return float(weights[0]), float(weights[1])


def _logit(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.log(clipped) - np.log1p(-clipped)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def _log_loss(logits: np.ndarray, targets: np.ndarray, counts: np.ndarray) -> float:
    return float((counts * (np.logaddexp(0, logits) - targets * logits)).sum())
