"""Notebook 08: the published values, as tables and figures."""

from __future__ import annotations

import pandas as pd

from selene_lib.figures import draw_published
from selene_lib.files import write_csv
from selene_lib.paper.tables import cells_table
from selene_lib.paper.values import SELENE_MINI
from selene_lib.pipeline.runs import Step
from selene_lib.steps.report import PUBLISHED, publish_figures


def selene_mini_cells() -> pd.DataFrame:
    """Return every published cell of Selene Mini: set, value, known, convention, source."""
    cells = cells_table()
    mine = cells[cells["judge"] == SELENE_MINI]
    return mine[["set", "value", "known", "convention", "source"]]


def publish_values(step: Step) -> str:
    """Write every published cell as `published.csv` and draw the figures; return their folder."""
    write_csv(step.path("published.csv"), cells_table())
    draw_published(step.path("figures"))
    return publish_figures(step, PUBLISHED)
