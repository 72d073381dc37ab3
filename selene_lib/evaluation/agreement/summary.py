"""One report of a judged table: measures, disagreements, pass rate, what the set can tell."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from selene_lib.errors import UserError
from selene_lib.evaluation.agreement.alpha import krippendorff_alpha
from selene_lib.evaluation.agreement.measures import baselines, by_subset, confusion, measure
from selene_lib.evaluation.agreement.passing import Counts, PassRate, design_effect, pass_rates
from selene_lib.evaluation.agreement.planning import (
    Threshold,
    choose_threshold,
    labels_needed,
    resolvable_gap,
)
from selene_lib.evaluation.agreement.verdicts import NONE, Verdicts
from selene_lib.records import TIE

PASSING = {"classification": ("Yes",), "absolute": ("4", "5")}


@dataclass(frozen=True)
class Agreement:
    """How far a judge agrees with labels; `measures` has the columns of `measures.COLUMNS`.

    `disagreements` are the judged items whose verdict is not the label, most confident first.
    `alpha` is Krippendorff's among people and with the judge as one more, empty without further
    annotators. `pass_rates` are of the rows without a label, empty where there are none.
    """

    task: str
    n: int
    n_groups: int
    n_without_verdict: int
    n_unlabelled: int
    baselines: Mapping[str, float]
    measures: pd.DataFrame
    confusion: pd.DataFrame
    disagreements: pd.DataFrame
    alpha: Mapping[str, float]
    pass_rates: tuple[PassRate, ...]
    labels_needed: Mapping[float, int]
    resolvable_gap: float
    design_effect: float
    threshold: Threshold | None
    subsets: pd.DataFrame

    def value(self, name: str, label: str = "") -> float:
        """Return a measure's value; a UserError for one that is not in the table."""
        rows = self.measures[(self.measures.measure == name) & (self.measures.label == label)]
        if rows.empty:
            raise UserError(f"no measure {name!r}; there are {', '.join(self.names)}")
        return float(rows.iloc[0].value)

    @property
    def names(self) -> list[str]:
        """The measures by the names a gate takes: `kappa`, `recall:Yes`."""
        pairs = zip(self.measures.measure, self.measures.label)
        return [f"{name}:{label}" if label else str(name) for name, label in pairs]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, None for NaN; disagreements come with their texts."""
        threshold = asdict(self.threshold) if self.threshold else None
        return _plain(
            {
                "task": self.task,
                "n": self.n,
                "n_groups": self.n_groups,
                "n_without_verdict": self.n_without_verdict,
                "n_unlabelled": self.n_unlabelled,
                "baselines": dict(self.baselines),
                "measures": self.measures.to_dict("records"),
                "confusion": {
                    str(label): row.to_dict() for label, row in self.confusion.iterrows()
                },
                "krippendorff_alpha": dict(self.alpha),
                "pass_rates": [asdict(rate) for rate in self.pass_rates],
                "labels_needed": {str(width): n for width, n in self.labels_needed.items()},
                "resolvable_gap": self.resolvable_gap,
                "design_effect": self.design_effect,
                "threshold": threshold,
                "subsets": self.subsets.to_dict("records"),
                "disagreements": self.disagreements.to_dict("records"),
            }
        )


def agreement(v: Verdicts, *, n_resamples: int = 2000, seed: int = 0) -> Agreement:
    """Report on a judged table. Raises UserError where no row has a label."""
    has_label = v.gold != NONE
    if not has_label.any():
        raise UserError("no row has a label to agree with; label some, or map the column")
    here, rest = v.where(has_label), v.where(~has_label)
    right = (here.verdict == here.gold).astype(float)
    effect = design_effect(right, here.groups)
    accuracy = float(right.mean())
    return Agreement(
        v.task,
        len(here),
        len(set(here.groups)),
        int((here.verdict == NONE).sum()),
        len(rest),
        baselines(here),
        measure(here, n_resamples=n_resamples, seed=seed),
        confusion(here),
        disagreements(here),
        _alpha(v),
        tuple(_pass_rates(here, rest, effect)),
        labels_needed(accuracy, effect),
        resolvable_gap(len(here) / effect, accuracy),
        effect,
        choose_threshold(here, seed),
        by_subset(here, n_resamples=n_resamples, seed=seed),
    )


def disagreements(v: Verdicts) -> pd.DataFrame:
    """Return the labelled items that the judge judged otherwise, most confident first (those of a
    judge without probabilities in file order); of a scale the furthest first.
    """
    rows = []
    for place in np.flatnonzero((v.verdict != v.gold) & (v.verdict != NONE)):
        sample = v.samples[place]
        rows.append(
            {
                "id": sample.id,
                "label": v.gold[place],
                "verdict": v.verdict[place],
                "confidence": float(v.confidence[place]),
                "distance": _distance(v, place),
                "instruction": sample.instruction,
                "response": sample.response,
                "response_b": sample.response_b or "",
            }
        )
    names = ["id", "label", "verdict", "confidence", "distance", "instruction", "response"]
    table = pd.DataFrame(rows, columns=[*names, "response_b"])
    return table.sort_values(
        ["distance", "confidence"], ascending=False, kind="stable", ignore_index=True
    )


def _distance(v: Verdicts, place: int) -> int:
    if v.task != "absolute":
        return 1
    return abs(int(v.verdict[place]) - int(v.gold[place]))


def _alpha(v: Verdicts) -> dict[str, float]:
    if not v.people:
        return {}
    level = "ordinal" if v.task == "absolute" else "nominal"
    people = [list(v.gold), *map(list, v.people.values())]
    found = {"people": krippendorff_alpha(people, v.labels, level)}
    found["people and the judge"] = krippendorff_alpha([*people, list(v.verdict)], v.labels, level)
    return found


def _pass_rates(here: Verdicts, rest: Verdicts, effect: float) -> list[PassRate]:
    passing = PASSING.get(here.task, ())
    judged = rest.verdict != NONE
    if not passing or not judged.any() or TIE in passing:
        return []
    good, said = np.isin(here.gold, passing), np.isin(here.verdict, passing)
    counts = Counts(
        tp=float((good & said).sum()),
        fn=float((good & ~said).sum()),
        tn=float((~good & ~said).sum()),
        fp=float((~good & said).sum()),
        passed=float(np.isin(rest.verdict[judged], passing).sum()),
        n_unlabelled=float(judged.sum()),
        design_effect=effect,
    )
    return pass_rates(counts)


_GATE = re.compile(r"\s*([\w:]+)\s*(>=|<=|=|>|<)\s*(-?\d*\.?\d+)\s*")
_COMPARE = {
    ">=": operator.ge,
    "=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
}


def failed_gates(found: Agreement, gates: list[str]) -> list[str]:
    """Return a line for each gate that is not met; `kappa=0.6` asks for 0.6 or more, `>`, `<` and
    `<=` stand for themselves (`mean_absolute_error<0.5`). A measure without a value fails. A gate
    that cannot be read is a UserError.
    """
    failed = []
    for gate in gates:
        match = _GATE.fullmatch(gate)
        if match is None:
            raise UserError(f"--fail-under {gate!r}: write it as kappa=0.6")
        name, label = (*match[1].split(":", 1), "")[:2]
        value = found.value(name, label)
        if math.isnan(value) or not _COMPARE[match[2]](value, float(match[3])):
            shown = "has no value" if math.isnan(value) else f"is {value:.3f}"
            failed.append(f"{match[1]} {shown}, asked for {match[2]} {match[3]}")
    return failed


def _plain(value: Any) -> Any:
    """Values that JSON has: no NaN, no numpy."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else round(float(value), 10)
    if isinstance(value, np.integer):
        return int(value)
    return value
