"""The table a run on real text opens with: every Yes/No set that was tried, base and trained beside
simple yardsticks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.judges.names import BASE, main_judge

PATH = f"{files.EVALUATE}/yes_no.csv"
RULES = (
    "majority",
    "random",
    "length",
    "keyword rule",
    "word overlap",
    "TF-IDF + regression",
)


@dataclass(frozen=True)
class Measured:
    """One judge or yardstick on a set: accuracy with its interval over groups, and AUC."""

    accuracy: float
    low: float
    high: float
    auc: float | None


@dataclass(frozen=True)
class YesNoRow:
    """One set. `above` says whether the trained judge's interval lies above the base's and above
    the majority; `shifted` whether the set was never trained on.
    """

    set: str
    n: int
    n_groups: int
    base: Measured
    trained: Measured
    rules: tuple[Measured, ...]
    majority: float
    above: bool
    shifted: bool


def yes_no_rows(result_dir: Path) -> list[YesNoRow]:
    """Return a row a Yes/No set of the run, those never trained on last; none where it has no such
    set or no trained judge.
    """
    table = files.run_table(result_dir, PATH)
    if table is None or table.empty:
        return []
    judges = [w for w in table.loc[table["kind"] == "judge", "who"] if "," not in w]
    main = main_judge(judges)
    if main is None or BASE not in judges:
        return []
    roles = files.run_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    shifted = set() if roles is None else set(roles.loc[roles["role"] == "shifted", "name"])
    found = [
        _row(name, mine.set_index("who"), main, name in shifted)
        for name, mine in table.groupby("set", sort=False)
    ]
    return sorted(found, key=lambda row: row.shifted)


def _row(name: object, mine: pd.DataFrame, main: str, shifted: bool) -> YesNoRow:
    base, trained = _measured(mine.loc[BASE]), _measured(mine.loc[main])
    first = mine.iloc[0]
    return YesNoRow(
        set=str(name),
        n=int(first["n"]),
        n_groups=int(first["n_groups"]),
        base=base,
        trained=trained,
        rules=tuple(_of_rule(mine, rule) for rule in RULES),
        majority=float(first["majority"]),
        above=trained.low > max(base.high, float(first["majority"])),
        shifted=shifted,
    )


def _of_rule(mine: pd.DataFrame, rule: str) -> Measured:
    """A run that did not try a rule has no number for it."""
    if rule not in mine.index:
        return Measured(math.nan, math.nan, math.nan, None)
    return _measured(mine.loc[rule])


def _measured(row: pd.Series) -> Measured:
    auc = None if pd.isna(row["auc"]) else float(row["auc"])
    return Measured(
        float(row["accuracy"]), float(row["accuracy_low"]), float(row["accuracy_high"]), auc
    )
