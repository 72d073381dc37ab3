"""The same figures from published values; what was never read at its source is hatched.

Such a value is called unverified.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from selene_lib.figures.benchmarks import draw_overall
from selene_lib.figures.drawing import (
    INK,
    Drawing,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import TASK_NAMES, colours, order_judges
from selene_lib.paper.values import DOMAIN_NAMES, SELENE_MINI, Published

METRIC_OF_TASK = {
    "absolute": "Pearson",
    "classification": "accuracy",
    "pairwise": "accuracy",
    "overall": "Pearson for absolute, accuracy for the others",
}


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
    """Fig. 1a from published cells: unverified means are hatched."""
    means = published_task_means(published, task_of)
    note = (
        "Published cells averaged by us over the three task types. "
        "Hatched: holds cells that we never read at the source (unverified)."
    )
    drawing = draw_overall(means, note=note, name=name)
    return drawing if drawing.not_run else _retitled(drawing, "Published: mean of the task types")


def _retitled(drawing: Drawing, title: str) -> Drawing:
    drawing.figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=INK)
    return replace(drawing, title=title, alt=f"Published values. {drawing.alt}")


def draw_published_benchmarks(
    published: pd.DataFrame, task_of: Mapping[str, str], *, name: str = "fig1b_published"
) -> Drawing:
    """Fig. 1b from published cells, every judge that has any; unverified cells are hatched."""
    title = "Published: by task type and benchmark"
    cells = published[published["set"].isin(task_of)].reset_index(drop=True)
    cells["task"] = cells["set"].map(task_of)
    if cells.empty:
        return not_run(name, title, "no published values")
    judges = order_judges(cells["judge"])
    palette = colours(judges)
    with styled():
        figure = new_figure(8.6, 9.6)
        tasks = [t for t in TASK_NAMES if t in set(cells["task"])]
        sizes = [cells.loc[cells["task"] == t, "set"].nunique() for t in tasks]
        heights = [n + 0.4 for n in sizes]
        grid = figure.subplots(len(tasks), 1, sharex=True, height_ratios=heights, squeeze=False)
        axes = grid[:, 0]
        for panel, task in zip(axes, tasks):
            _published_panel(panel, cells[cells["task"] == task], judges, palette)
            panel.set_title(f"{TASK_NAMES[task]} ({METRIC_OF_TASK[task]})", fontsize=9.5)
        handles = [Patch(facecolor=palette[j], label=j) for j in judges]
        handles.append(Patch(facecolor="white", edgecolor=INK, hatch="//////", label="unverified"))
        figure.legend(handles=handles, loc="outside right upper", fontsize=8)
        hatched = "Hatched: believed, never read by us at the source."
        heading(figure, title, f"As printed at the sources named in the CSV. {hatched}")
    n_unverified = int(cells["known"].eq("unverified").sum())
    said = (
        f"Bars of {len(cells)} published cells of {len(judges)} judges on "
        f"{cells['set'].nunique()} benchmarks; {n_unverified} are unverified."
    )
    return Drawing(name, title, said, figure, cells)


def _published_panel(
    axes: Axes, cells: pd.DataFrame, judges: Sequence[str], palette: dict[str, str]
) -> None:
    sets = list(dict.fromkeys(cells["set"]))
    height = 0.86 / len(judges)
    for cell in cells.itertuples():
        y = sets.index(cell.set) - 0.43 + height * (judges.index(cell.judge) + 0.5)
        ink = palette[cell.judge]
        bar = axes.barh(y, cell.value, height=height * 0.92, color=ink)
        if cell.known == "unverified":
            bar[0].set(hatch="//////", facecolor="white", edgecolor=ink)
        if cell.judge == SELENE_MINI:
            said = f"{cell.value:.3f}{'?' if cell.known == 'unverified' else ''}"
            axes.text(cell.value + 0.008, y, said, va="center", fontsize=6.5, color=INK)
    axes.set_yticks(range(len(sets)), sets)
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def draw_published_domains(published: pd.DataFrame, *, name: str = "fig3a_published") -> Drawing:
    """Fig. 3a from published cells: the two domains, Selene Mini black, base orange."""
    title = "Published: domain accuracy"
    is_domain = published["set"].str.split(":").str[0].isin(DOMAIN_NAMES)
    cells = published[is_domain].reset_index(drop=True)
    if cells.empty:
        return not_run(name, title, "no published values")
    judges = order_judges(cells["judge"])
    palette = colours(judges)
    with styled():
        figure = new_figure(7.4, 1.5 + 0.55 * cells["set"].nunique())
        axes = figure.add_subplot()
        _published_panel(axes, cells, judges, palette)
        handles = [Patch(facecolor=palette[j], label=j) for j in judges]
        axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        heading(
            figure,
            title,
            "Table 2 of the paper. Always answering No scores .928 (terminology), "
            ".672 (diagnosis), .594 (history) on CRAFT-MD.",
        )
    said = "; ".join(f"{c.judge} on {c.set} {c.value:.3f}" for c in cells.itertuples())
    return Drawing(name, title, f"Bars of published domain accuracy. {said}.", figure, cells)
