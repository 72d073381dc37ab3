"""The curation ledger of a report: the stages of Fig. 2, and the evaluation sets beside them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.figures.everything import curation_ledger
from selene_lib.figures.flow import Stage, flow_stages


def training_stages(result_dir: Path) -> list[Stage]:
    """Return the stages of the training sources alone, as Fig. 2 draws them.

    The ledger of reading counts the evaluation sets too, which curation never sees.
    """
    ledger = curation_ledger(result_dir)
    return [] if ledger is None else flow_stages(ledger[~_of_sets(ledger, result_dir)])


def evaluation_stages(result_dir: Path) -> list[Stage]:
    """Return the stages of the evaluation sets: how many of their items were read."""
    ledger = curation_ledger(result_dir)
    return [] if ledger is None else flow_stages(ledger[_of_sets(ledger, result_dir)])


def _of_sets(ledger: pd.DataFrame, result_dir: Path) -> pd.Series:
    sets = files.run_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    names = set() if sets is None or "name" not in sets else set(sets["name"])
    sources = files.run_table(result_dir, f"{files.EXPLORE}/sources.csv")
    trained_on = set() if sources is None or "name" not in sources else set(sources["name"])
    return ledger["source"].isin(names - trained_on)
