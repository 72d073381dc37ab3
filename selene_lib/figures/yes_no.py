"""Yes/No sets of a run: base and trained judge beside a bag of words and the majority."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from selene_lib.evaluation.yardsticks import TFIDF as BAG_OF_WORDS
from selene_lib.figures.drawing import (
    INK,
    OTHERS,
    Drawing,
    baseline_mark,
    draw_baseline,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import colours, judge_label, order_judges
from selene_lib.judges.names import BASE, main_judge

_TITLE = "Yes/No sets: base and trained judge"


def draw_yes_no(table: pd.DataFrame, *, note: str = "", name: str = "yes_no") -> Drawing:
    """Accuracy of base, main trained judge and bag of words on every Yes/No set, with the 95 %
    interval over groups; a mark shows the majority.

    `table` is `yes_no.csv` of notebook 05: set, who, kind, n, majority, accuracy, accuracy_low,
    accuracy_high.
    """
    judges = [who for who in table.loc[table["kind"] == "judge", "who"].unique() if "," not in who]
    main = main_judge(judges)
    shown = [*order_judges(j for j in judges if j in (BASE, main)), BAG_OF_WORDS]
    rows = table[table["who"].isin(shown)].reset_index(drop=True)
    if main is None or rows.empty:
        return not_run(name, _TITLE, "no trained judge of Yes/No sets")
    palette = {**colours(shown[:-1]), BAG_OF_WORDS: OTHERS[1]}
    with styled():
        figure = new_figure(7.6, 1.5 + 0.72 * rows["set"].nunique())
        axes = figure.add_subplot()
        _bars(axes, rows, shown, palette)
        handles = [Patch(facecolor=palette[who], label=_label(who)) for who in shown]
        axes.legend(
            handles=[*handles, baseline_mark()],
            loc="lower left",
            bbox_to_anchor=(0, 1.01),
            ncols=4,
            borderpad=0,
            handlelength=1.2,
            columnspacing=1.1,
            fontsize=8.5,
        )
        heading(figure, _TITLE, note)
    return Drawing(name, _TITLE, _said(rows, shown), figure, rows)


def _bars(axes: Axes, rows: pd.DataFrame, shown: list[str], palette: dict[str, str]) -> None:
    sets = list(dict.fromkeys(rows["set"]))
    height = 0.8 / len(shown)
    for index, who in enumerate(shown):
        mine = rows[rows["who"] == who].set_index("set").reindex(sets)
        y = np.arange(len(sets)) - 0.4 + height * (index + 0.5)
        axes.barh(y, mine["accuracy"], height=height * 0.9, color=palette[who])
        ends = [
            mine["accuracy"] - mine["accuracy_low"],
            mine["accuracy_high"] - mine["accuracy"],
        ]
        # grey on black and dark on light, so that an interval is seen inside its bar too
        ink = "#8C8C8C" if palette[who] == "#000000" else INK
        width = np.clip(np.vstack(ends).astype(float), 0, None)
        axes.errorbar(
            mine["accuracy"], y, xerr=width, fmt="none", ecolor=ink, elinewidth=1.3, capsize=2
        )
        for place, value, end in zip(y, mine["accuracy"], mine["accuracy_high"]):
            axes.text(end + 0.012, place, f"{value:.3f}", va="center", color=INK, fontsize=8.5)
    by_set = rows.drop_duplicates("set").set_index("set")
    for index, name in enumerate(sets):
        draw_baseline(axes, by_set.loc[name, "majority"], index)
    axes.set_yticks(range(len(sets)), [f"{s}\n(n={int(by_set.loc[s, 'n'])})" for s in sets])
    axes.set_ylim(len(sets) - 0.45, -0.55)
    axes.set_xlim(0, 1.08)
    axes.set_xlabel("share of right answers")
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def _label(who: str) -> str:
    return "bag of words" if who == BAG_OF_WORDS else judge_label(who)


def _said(rows: pd.DataFrame, shown: list[str]) -> str:
    parts = []
    for name, mine in rows.groupby("set", sort=False):
        values = mine.set_index("who")["accuracy"]
        said = ", ".join(f"{_label(who)} {values[who]:.3f}" for who in shown if who in values)
        parts.append(f"{name} (n={int(mine['n'].iloc[0])}): {said}")
    return f"Bar chart of the share of right answers. {'; '.join(parts)}."
