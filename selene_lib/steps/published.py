"""Notebook 08: the published values, as tables and figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from selene_lib.figures import draw_published
from selene_lib.files import write_csv
from selene_lib.paper.tables import cells_table
from selene_lib.paper.values import SELENE_MINI, marked


def selene_mini_cells() -> pd.DataFrame:
    """Return every published cell of Selene Mini: set, metric, value, known, convention, source.

    `value` is text: a cell that nobody read at its source says so.
    """
    cells = cells_table()
    mine = cells[cells["judge"] == SELENE_MINI].copy()
    shown = zip(mine["value"], mine["known"], mine["digits"])
    mine["value"] = [marked(value, known, digits) for value, known, digits in shown]
    return mine[["set", "metric", "value", "known", "convention", "source"]]


def write_values(table: Path, figures: Path) -> None:
    """Write every published cell as CSV to `table`, and their figures to the folder `figures`."""
    write_csv(table, cells_table())
    draw_published(figures)
