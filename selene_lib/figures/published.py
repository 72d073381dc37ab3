"""The same figures from published values; what was never read at its source is lighter.

Such a value is called unverified.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selene_lib.evaluation.metrics import wilson_interval
from selene_lib.figures.benchmarks import draw_overall
from selene_lib.figures.drawing import (
    BASE,
    INK,
    ON_BLACK,
    TRAINED,
    Drawing,
    baseline_mark,
    draw_baseline,
    heading,
    key,
    lighter,
    new_figure,
    not_run,
    rows_of_bars,
    styled,
)
from selene_lib.figures.judges import TASK_NAMES, colours, order_judges
from selene_lib.figures.words import set_label
from selene_lib.judges.names import is_base
from selene_lib.paper.values import DOMAIN_NAMES, SELENE_MINI, Published

METRIC_OF_TASK = {
    "absolute": "Pearson",
    "classification": "accuracy",
    "pairwise": "accuracy",
    "overall": "Pearson for absolute, accuracy for the others",
}
UNREAD = "Lighter bars: believed, never read by us at their source (unverified)."
OTHERS = (
    ("#0C5A99", "^"),
    ("#009E73", "v"),
    ("#C0392B", "<"),
    ("#7B3294", ">"),
    ("#5B6B7B", "+"),
    ("#8C7A00", "x"),
    ("#56B4E9", "p"),
)
N_REWARD_BENCH = 2985
ALWAYS_NO = {
    "craft_md:terminology": 0.928,
    "craft_md:diagnosis": 0.672,
    "craft_md:history": 0.594,
}
"""What always answering No scores on a domain set of the paper, counted from its labels."""


def published_frame(rows: Iterable[Published]) -> pd.DataFrame:
    """Return published cells as a table: judge, set, value, known, source."""
    columns = ["judge", "set", "value", "known", "source"]
    return pd.DataFrame([vars(row) for row in rows], columns=columns)


def published_task_means(published: pd.DataFrame, task_of: Mapping[str, str]) -> pd.DataFrame:
    """Average published cells by task type, then over the task types.

    Columns: judge, task, value, known, metric. For judges that have a cell for every set of
    `task_of`. A mean that holds one unverified cell is
    `unverified`, else it is `derived`: nobody printed it, we computed it.
    """
    rows = []
    cells = published[published["set"].isin(task_of)].assign(task=lambda f: f["set"].map(task_of))
    for judge, mine in cells.groupby("judge", sort=False):
        if mine["set"].nunique() < len(task_of):
            continue
        known = "unverified" if mine["known"].eq("unverified").any() else "derived"
        means = mine.groupby("task", sort=False)["value"].mean()
        rows += [
            {"judge": judge, "task": task, "value": value, "known": known}
            for task, value in means.items()
        ]
        rows.append({"judge": judge, "task": "overall", "value": means.mean(), "known": known})
    table = pd.DataFrame(rows, columns=["judge", "task", "value", "known"])
    return table.assign(metric=[METRIC_OF_TASK[task] for task in table["task"]])


def draw_published_overall(
    published: pd.DataFrame, task_of: Mapping[str, str], *, name: str = "fig1a_published"
) -> Drawing:
    """Fig. 1a from published cells: bars of unverified means are lighter."""
    means = published_task_means(published, task_of)
    averaged = "Published cells averaged by us; no interval, since nobody published one."
    title = "Published: mean of the task types"
    drawing = draw_overall(means, title=title, note=f"{averaged} {UNREAD}", name=name)
    return replace(drawing, alt=f"Published values. {drawing.alt}")


def draw_published_benchmarks(
    published: pd.DataFrame,
    task_of: Mapping[str, str],
    measured: pd.DataFrame | None = None,
    *,
    name: str = "fig1b_published",
) -> Drawing:
    """Fig. 1b from published cells: a bar for Selene Mini, a mark for every other judge.

    Unverified bars are lighter. `measured`, of the same columns, is what others measured on the
    real Selene Mini on sets that are not in the paper: a panel of its own.
    """
    title = "Published: by task type and benchmark"
    cells = published[published["set"].isin(task_of)].reset_index(drop=True)
    if cells.empty:
        return not_run(name, title, "no published values")
    cells["task"] = cells["set"].map(task_of)
    if measured is not None and len(measured):
        cells = pd.concat([cells, measured.assign(task=OTHER_PEOPLE)], ignore_index=True)
    judges = order_judges(cells["judge"])
    with styled():
        figure = new_figure(2.35 + 0.27 * cells["set"].nunique())
        _panels(figure, cells, judges)
        key(figure.axes[0], _handles(judges))
        whisker = f"RewardBench: 95 % interval of a share of {N_REWARD_BENCH:,} items (ours)."
        heading(figure, title, UNREAD, whisker, "Sources are named in the CSV.")
    n_unverified = int(cells["known"].eq("unverified").sum())
    said = (
        f"Bars of {len(cells)} published cells of {len(judges)} judges on "
        f"{cells['set'].nunique()} benchmarks; {n_unverified} are unverified."
    )
    return Drawing(name, title, said, figure, cells)


OTHER_PEOPLE = "measured by others"
PANELS = {
    **{task: f"{label} ({METRIC_OF_TASK[task]})" for task, label in TASK_NAMES.items()},
    OTHER_PEOPLE: "By others, not in the paper (share)",
}


def _panels(figure: Figure, cells: pd.DataFrame, judges: Sequence[str]) -> None:
    tasks = [task for task in PANELS if task in set(cells["task"])]
    heights = [cells.loc[cells["task"] == t, "set"].nunique() + 0.4 for t in tasks]
    grid = figure.subplots(len(tasks), 1, sharex=True, height_ratios=heights, squeeze=False)
    for panel, task in zip(grid[:, 0], tasks):
        mine = cells[cells["task"] == task]
        sets = list(dict.fromkeys(mine["set"]))
        for y, name in enumerate(sets):
            _benchmark_row(panel, mine[mine["set"] == name], y, judges)
        rows_of_bars(panel, [set_label(name) for name in sets])
        panel.set_xlim(0, 1)
        panel.set_title(PANELS[task].replace("Pearson", "Pearson's r"))


def _look(judges: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and mark of every judge but Selene Mini."""
    others = [judge for judge in judges if judge != SELENE_MINI and not is_base(judge)]
    found = {judge: OTHERS[i % len(OTHERS)] for i, judge in enumerate(others)}
    return {**{judge: (BASE, "s") for judge in judges if is_base(judge)}, **found}


def _benchmark_row(axes: Axes, cells: pd.DataFrame, y: float, judges: Sequence[str]) -> None:
    """A bar for Selene Mini, and below it the marks of the others, each at a height of its own."""
    looks = _look(judges)
    heights = dict(zip(looks, y + np.linspace(0.1, 0.42, max(len(looks), 1))))
    for cell in cells.itertuples():
        if cell.judge != SELENE_MINI:
            ink, mark = looks[cell.judge]
            axes.plot([cell.value], [heights[cell.judge]], mark, color=ink, ms=3.2, mew=0.8)
            continue
        read = cell.known != "unverified"
        axes.barh(y - 0.2, cell.value, height=0.38, color=TRAINED if read else lighter(TRAINED))
        right = axes.get_yaxis_transform()
        axes.text(1.02, y - 0.1, f"{cell.value:.3f}", va="center", transform=right)
        if cell.set == "reward_bench":
            ends = wilson_interval(cell.value * N_REWARD_BENCH, N_REWARD_BENCH)
            axes.plot(ends, [y - 0.2, y - 0.2], color=ON_BLACK, lw=1.2, zorder=4)


def _handles(judges: Sequence[str]) -> list[Artist]:
    handles: list[Artist] = []
    if SELENE_MINI in judges:
        handles.append(Patch(facecolor=TRAINED, label=f"{SELENE_MINI} (value at right)"))
    for judge, (ink, mark) in _look(judges).items():
        handles.append(
            Line2D([], [], linestyle="", marker=mark, color=ink, ms=3.6, mew=0.8, label=judge)
        )
    return handles


def draw_published_domains(published: pd.DataFrame, *, name: str = "fig3a_published") -> Drawing:
    """Fig. 3a from published cells: the two domains, Selene Mini black, base orange."""
    title = "Published: domain accuracy"
    is_domain = published["set"].str.split(":").str[0].isin(DOMAIN_NAMES)
    cells = published[is_domain].reset_index(drop=True)
    if cells.empty:
        return not_run(name, title, "no published values")
    judges = order_judges(cells["judge"])
    with styled():
        figure = new_figure(1.35 + 0.33 * cells["set"].nunique())
        axes = figure.add_subplot()
        _domain_rows(axes, cells, judges)
        palette = colours(judges)
        handles = [Patch(facecolor=palette[j], label=j, edgecolor=INK, lw=0) for j in judges]
        key(axes, [*handles, baseline_mark("always answering No")])
        axes.set_xlabel("accuracy")
        note = (
            "Table 2 of the paper. The baseline is counted from the labels of CRAFT-MD; for all "
            "of it and for FinanceBench none is known."
        )
        heading(figure, title, note)
    said = "; ".join(f"{c.judge} on {c.set} {c.value:.3f}" for c in cells.itertuples())
    return Drawing(name, title, f"Bars of published domain accuracy. {said}.", figure, cells)


def _domain_rows(axes: Axes, cells: pd.DataFrame, judges: Sequence[str]) -> None:
    sets, palette = list(dict.fromkeys(cells["set"])), colours(judges)
    height, right = 0.84 / len(judges), axes.get_yaxis_transform()
    for cell in cells.itertuples():
        y = sets.index(cell.set) - 0.42 + height * (judges.index(cell.judge) + 0.5)
        ink = palette[cell.judge]
        ink = lighter(ink) if cell.known == "unverified" else ink
        axes.barh(y, cell.value, height=height * 0.9, color=ink)
        axes.text(1.02, y, f"{cell.value:.2f}", va="center", transform=right)
    for y, name in enumerate(sets):
        draw_baseline(axes, ALWAYS_NO.get(name, np.nan), y)
    rows_of_bars(axes, [set_label(name) for name in sets])
    axes.set_xlim(0, 1)
