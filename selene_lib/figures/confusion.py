"""The confusion matrix of a judge: people's labels against its verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from selene_lib.figures.drawing import INK, Drawing, heading, new_figure, styled

DARK = 0.55  # share of a row from which on its cell needs white figures


def draw_confusion(counts: pd.DataFrame, *, note: str = "", name: str = "confusion") -> Drawing:
    """Counts with a row a label and a column a verdict, shaded by the share of their row.

    `counts` is as `agreement.measures.confusion` gives it; the column `none` (replies without a
    verdict) is drawn only where it holds any.
    """
    shown = counts.drop(columns="none") if not counts["none"].any() else counts
    cells = shown.to_numpy()
    totals = cells.sum(1, keepdims=True)
    shares = np.divide(cells, totals, out=np.zeros(cells.shape), where=totals > 0)
    title = "What people said, what the judge said"
    with styled():
        figure = new_figure(1.1 + 0.32 * len(shown))
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(shown.shape[1]), [str(c) for c in shown.columns])
        axes.set_yticks(range(len(shown)), [str(c) for c in shown.index])
        axes.set_xlabel("the judge's verdict")
        axes.set_ylabel("people's label")
        axes.tick_params(length=0)
        for (row, column), count in np.ndenumerate(cells):
            colour = "white" if shares[row, column] > DARK else INK
            axes.text(column, row, f"{count}", ha="center", va="center", color=colour)
        heading(figure, title, note)
    said = "; ".join(
        f"of {int(total)} labelled {label}: "
        + ", ".join(f"{count} {verdict}" for verdict, count in zip(shown.columns, row))
        for label, row, total in zip(shown.index, cells, totals[:, 0])
    )
    return Drawing(name, title, f"{said}.", figure, shown.reset_index())
