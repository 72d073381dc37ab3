"""Yes/No sets of a run: base and trained judge beside a bag of words and the majority."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from selene_lib.evaluation.yardsticks import TFIDF as BAG_OF_WORDS
from selene_lib.figures.benchmarks import INTERVALS
from selene_lib.figures.drawing import (
    Drawing,
    baseline_mark,
    draw_baseline,
    draw_intervals,
    heading,
    inside_ink,
    key,
    new_figure,
    not_run,
    rows_of_bars,
    styled,
)
from selene_lib.figures.judges import YARDSTICK, colours, judge_label, order_judges, short_label
from selene_lib.figures.words import set_label
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
    palette = {**colours(shown[:-1]), BAG_OF_WORDS: YARDSTICK}
    with styled():
        figure = new_figure(1.25 + 0.42 * rows["set"].nunique())
        axes = figure.add_subplot()
        _bars(axes, rows, shown, palette)
        handles = [Patch(facecolor=palette[who], label=_short(who)) for who in shown]
        key(axes, [*handles, baseline_mark()])
        heading(figure, _TITLE, INTERVALS, note)
    return Drawing(name, _TITLE, _said(rows, shown), figure, rows)


def _bars(axes: Axes, rows: pd.DataFrame, shown: list[str], palette: dict[str, str]) -> None:
    sets = list(dict.fromkeys(rows["set"]))
    height, right = 0.84 / len(shown), axes.get_yaxis_transform()
    for index, who in enumerate(shown):
        mine = rows[rows["who"] == who].set_index("set").reindex(sets)
        y = np.arange(len(sets)) - 0.42 + height * (index + 0.5)
        axes.barh(y, mine["accuracy"], height=height * 0.9, color=palette[who])
        ends = {"accuracy_low": "ci95_low", "accuracy_high": "ci95_high"}
        draw_intervals(axes, mine.rename(columns=ends), y, inside_ink(palette[who]))
        for place, value in zip(y, mine["accuracy"]):
            axes.text(1.02, place, f"{value:.2f}", va="center", transform=right)
    by_set = rows.drop_duplicates("set").set_index("set")
    for index, name in enumerate(sets):
        draw_baseline(axes, by_set.loc[name, "majority"], index)
    labels = [f"{set_label(s, 99)} (n={int(by_set.loc[s, 'n'])})" for s in sets]
    rows_of_bars(axes, [set_label(label, 19) for label in labels])
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of right answers")


def _short(who: str) -> str:
    return "bag of words" if who == BAG_OF_WORDS else short_label(who)


def _label(who: str) -> str:
    return "bag of words" if who == BAG_OF_WORDS else judge_label(who)


def _said(rows: pd.DataFrame, shown: list[str]) -> str:
    parts = []
    for name, mine in rows.groupby("set", sort=False):
        values = mine.set_index("who")["accuracy"]
        said = ", ".join(f"{_label(who)} {values[who]:.3f}" for who in shown if who in values)
        parts.append(f"{name} (n={int(mine['n'].iloc[0])}): {said}")
    return f"Bar chart of the share of right answers. {'; '.join(parts)}."
