"""A trained judge beside its base and beside what needs no judge, on the same held-out items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selene_lib.evaluation.agreement.measures import measure
from selene_lib.evaluation.agreement.verdicts import Verdicts, verdicts_of
from selene_lib.evaluation.metrics import paired_bootstrap
from selene_lib.evaluation.yardsticks import TFIDF, yardsticks
from selene_lib.records import Sample

BEFORE, AFTER = "before", "after"
RULES = ("length", "keyword rule", TFIDF)  # of the yardsticks, those that a reader asks for


def rule_verdicts(
    training: Sequence[Sample], held_out: Sequence[Sample], seed: int
) -> dict[str, list[str]]:
    """Return the verdicts of majority, length, keyword rule and TF-IDF fitted on the training
    items; of tasks other than Yes/No the majority's alone.
    """
    common = Counter(s.label for s in training).most_common(1)[0][0]
    found = {"majority": [str(common)] * len(held_out)}
    if held_out and held_out[0].task == "classification":
        probabilities = yardsticks(training, held_out, seed)
        for name in RULES:
            found[name] = ["Yes" if p > 0.5 else "No" for p in probabilities[name]]
    return found


def compare(
    held_out: Sequence[Sample],
    verdicts: Mapping[str, Sequence[str | None]],
    *,
    seed: int = 0,
    n_resamples: int = 2000,
) -> list[dict[str, Any]]:
    """Return a row a judge or rule: `who`, accuracy and kappa with their 95 % intervals over groups
    (or items, where wider), None where a measure has none. Of scales kappa is the quadratic one.
    """
    rows = []
    for who, said in verdicts.items():
        table = measure(verdicts_of(held_out, said), n_resamples=n_resamples, seed=seed)
        by_name = {m.measure: m for m in table.itertuples() if not m.label}
        row: dict[str, Any] = {"who": who, "n": len(held_out)}
        for name, of in (
            ("accuracy", by_name["accuracy"]),
            ("kappa", by_name.get("quadratic_kappa", by_name["kappa"])),
        ):
            values = (of.value, of.ci95_low, of.ci95_high)
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), map(_known, values)))
        rows.append(row)
    return rows


def gain(before: Verdicts, after: Verdicts, *, seed: int = 0) -> dict[str, float]:
    """Return accuracy after less before on the same items, with its interval and p over groups."""
    a, b = ((v.verdict == v.gold).astype(float) for v in (after, before))
    groups = after.groups if len(set(after.groups)) < len(after) else None
    found = paired_bootstrap(a, b, groups=groups, rng=seed)
    return {
        "accuracy_gain": found.value,
        "accuracy_gain_low": found.ci95_low,
        "accuracy_gain_high": found.ci95_high,
        "p": found.p,
    }


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what training did: against the base, and against the best of what needs no judge."""
    by_who = {row["who"]: row for row in rows}
    before, after = by_who[BEFORE], by_who[AFTER]
    rules = [row for row in rows if row["who"] not in (BEFORE, AFTER)]
    best = max(rules, key=lambda row: row["accuracy"])
    apart = after["accuracy_low"] is not None and before["accuracy_high"] is not None
    apart = apart and after["accuracy_low"] > before["accuracy_high"]
    words = f"Accuracy {before['accuracy']:.3f} before, {after['accuracy']:.3f} after training"
    words += ", intervals apart. " if apart else ", intervals overlap. "
    if after["accuracy"] <= best["accuracy"]:
        return words + f"It is no success: {best['who']} scores {best['accuracy']:.3f} without it."
    low = after["accuracy_low"]
    if low is not None and low > best["accuracy"]:
        return words + f"The best rule, {best['who']}, scores {best['accuracy']:.3f}, below it."
    return words + (
        f"The best rule, {best['who']}, scores {best['accuracy']:.3f}, inside the interval: these "
        "items do not show that the judge is better."
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)
