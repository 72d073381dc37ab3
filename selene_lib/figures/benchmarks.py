"""Fig. 1: task-average scores of all judges (a), and every benchmark by task type (b)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selene_lib.figures.drawing import (
    INK,
    QUIET,
    Drawing,
    baseline_mark,
    draw_baseline,
    heading,
    light_grid,
    new_figure,
    not_run,
    published_mark,
    styled,
)
from selene_lib.figures.judges import TASK_NAMES, colours, judge_label, order_judges
from selene_lib.figures.results import headline_rows
from selene_lib.judges.names import is_base, main_judge


def draw_overall(task_means: pd.DataFrame, *, note: str = "", name: str = "fig1a") -> Drawing:
    """Fig. 1a: the mean of the task types, one bar a judge with its 95 % interval.

    `task_means` has judge, task, value and, where known, ci95_low, ci95_high; rows with task
    `overall` are drawn, or the mean of the task rows of a judge where it has no such row (then
    without interval).
    """
    title = "Fig. 1a  Mean of the task types"
    rows = task_means[task_means["task"] == "overall"]
    if rows.empty:
        of_tasks = task_means[task_means["task"].isin(TASK_NAMES)]
        rows = of_tasks.groupby("judge", sort=False)["value"].mean().reset_index()
    rows = rows.dropna(subset=["value"])
    if rows.empty:
        return not_run(name, title, "no task means")
    rows = rows.set_index("judge").loc[order_judges(rows["judge"])].reset_index()
    with styled():
        figure = new_figure(7.4, 1.5 + 0.42 * len(rows))
        _bars(
            figure.add_subplot(),
            rows,
            [judge_label(j) for j in rows["judge"]],
            colours(rows["judge"]),
        )
        heading(figure, title, note)
    said = "; ".join(f"{judge_label(r.judge)} {r.value:.3f}" for r in rows.itertuples())
    return Drawing(
        name, title, f"Bar chart of the mean score over task types. {said}.", figure, rows
    )


def draw_benchmarks(
    scores: pd.DataFrame,
    *,
    judges: Sequence[str] | None = None,
    note: str = "",
    name: str = "fig1b",
) -> Drawing:
    """Fig. 1b: every set by task type, base and trained, beside baseline and published value.

    `scores` has the columns of `records.Score`; its headline rows are drawn. `judges` are those
    shown: the main trained one and the base by default.
    """
    title = "Fig. 1b  By task type and benchmark"
    rows = headline_rows(scores)
    rows = rows[rows["value"].notna()] if len(rows) else rows
    if rows.empty:
        return not_run(name, title, "no scores")
    shown = list(judges) if judges else _base_and_main(rows["judge"])
    rows = rows[rows["judge"].isin(shown)].reset_index(drop=True)
    n_sets = rows["set"].nunique()
    with styled():
        figure = new_figure(8.2, 1.7 + (0.17 * len(shown) + 0.24) * n_sets)
        _panels(figure, rows, order_judges(shown))
        heading(figure, title, note)
    return Drawing(name, title, _said(rows), figure, rows)


def _base_and_main(judges: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(judges))
    return [n for n in names if is_base(n) or n == main_judge(names)]


def _said(rows: pd.DataFrame) -> str:
    parts = []
    for task, mine in rows.groupby("task", sort=False):
        means = mine.groupby("judge", sort=False)["value"].mean()
        said = ", ".join(f"{judge_label(j)} mean {v:.3f}" for j, v in means.items())
        parts.append(f"{TASK_NAMES.get(task, task)}: {said}")
    n_sets = rows["set"].nunique()
    return (
        f"Bar chart of {n_sets} sets in {len(parts)} task types. {'; '.join(parts)}. "
        "The values stand in the CSV."
    )


def _panels(figure: Figure, rows: pd.DataFrame, judges: Sequence[str]) -> None:
    tasks = [t for t in TASK_NAMES if t in set(rows["task"])]
    n_sets = [rows.loc[rows["task"] == t, "set"].nunique() for t in tasks]
    heights = [n + 0.7 for n in n_sets]
    axes = figure.subplots(len(tasks), 1, height_ratios=heights, squeeze=False)[:, 0]
    palette = colours(judges)
    for panel, task in zip(axes, tasks):
        mine = rows[rows["task"] == task]
        _task_panel(panel, mine, judges, palette)
        metrics = ", ".join(dict.fromkeys(mine["metric"])) if "metric" in mine else "score"
        panel.set_title(f"{TASK_NAMES[task]} ({metrics.replace('_', ' ')})", fontsize=9.5)
    handles = [Patch(facecolor=palette[j], label=judge_label(j)) for j in judges]
    axes[0].legend(
        handles=[*handles, *_marks(rows)],
        loc="lower left",
        bbox_to_anchor=(0, 1.16 + 0.1 / n_sets[0]),
        ncols=4,
        borderpad=0,
        handlelength=1.2,
        columnspacing=1.1,
        fontsize=8.5,
    )


def _marks(rows: pd.DataFrame) -> list[Line2D]:
    marks = []
    if "baseline_majority" in rows and rows["baseline_majority"].notna().any():
        marks.append(baseline_mark())
    if "published" in rows and rows["published"].notna().any():
        doubtful = _is_doubtful(rows)[rows["published"].notna()]
        if not doubtful.all():
            marks.append(published_mark("published value"))
        if doubtful.any():
            mark = published_mark("published, unverified")
            mark.set_marker(UNVERIFIED)
            marks.append(mark)
    return marks


UNVERIFIED = "$?$"
"""The mark of a published value that nobody read at its source."""


def _is_doubtful(rows: pd.DataFrame) -> pd.Series:
    """Whether the published value of each row was never read by us."""
    if "published_note" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["published_note"].fillna("").astype(str).str.startswith("unverified")


def _task_panel(
    axes: Axes, rows: pd.DataFrame, judges: Sequence[str], palette: dict[str, str]
) -> None:
    sets = list(dict.fromkeys(rows["set"]))
    height = 0.8 / len(judges)
    for index, judge in enumerate(judges):
        mine = rows[rows["judge"] == judge].drop_duplicates("set").set_index("set").reindex(sets)
        y = np.arange(len(sets)) - 0.4 + height * (index + 0.5)
        axes.barh(y, mine["value"], height=height * 0.9, color=palette[judge])
        _whiskers(axes, mine, y, palette[judge])
        _published(axes, mine, y)
    by_set = rows.drop_duplicates("set").set_index("set")
    if "baseline_majority" in rows:
        for index, name in enumerate(sets):
            draw_baseline(axes, by_set.loc[name, "baseline_majority"], index)
    labels = [f"{name}  (n={int(by_set.loc[name, 'n'])})" for name in sets] if "n" in rows else sets
    axes.set_yticks(range(len(sets)), labels)
    axes.set_ylim(len(sets) - 0.45, -0.55)
    lowest = float(rows[[c for c in ("value", "ci95_low") if c in rows]].min().min())
    axes.set_xlim(min(0, lowest), 1)
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def _whiskers(axes: Axes, rows: pd.DataFrame, y: np.ndarray, colour: str) -> None:
    if "ci95_low" not in rows or rows["ci95_low"].isna().all():
        return
    below, above = rows["value"] - rows["ci95_low"], rows["ci95_high"] - rows["value"]
    ends = np.vstack([below, above]).astype(float)
    # Grey on black and dark on light: an interval must be seen inside its bar as well as beyond it.
    ink = "#8C8C8C" if colour == "#000000" else INK
    axes.errorbar(
        rows["value"],
        y,
        xerr=np.clip(ends, 0, None),
        fmt="none",
        ecolor=ink,
        elinewidth=1.3,
        capsize=2,
    )


def _published(axes: Axes, rows: pd.DataFrame, y: np.ndarray) -> None:
    if "published" not in rows or rows["published"].isna().all():
        return
    values, doubtful = rows["published"].astype(float), _is_doubtful(rows).to_numpy(dtype=bool)
    for mine, marker in ((~doubtful, "D"), (doubtful, UNVERIFIED)):
        axes.plot(
            values[mine],
            y[mine],
            linestyle="",
            marker=marker,
            color=QUIET,
            mfc="white" if marker == "D" else QUIET,
            markersize=4.5 if marker == "D" else 6.5,
            zorder=4,
        )


def _bars(axes: Axes, rows: pd.DataFrame, labels: Sequence[str], palette: dict[str, str]) -> None:
    """Horizontal bars with the value at the end; an unverified value is hatched and says so."""
    y = np.arange(len(rows))
    for position, row in zip(y, rows.itertuples()):
        bar = axes.barh(position, row.value, height=0.68, color=palette[row.judge])
        if _is_unverified(row):
            bar[0].set(hatch="////", facecolor="white", edgecolor=palette[row.judge])
    _whiskers(axes, rows.set_index("judge"), y, "")
    ends = rows[[c for c in ("value", "ci95_high") if c in rows]].max(axis=1)
    for position, row, end in zip(y, rows.itertuples(), ends):
        said = f"{row.value:.3f}{' unverified' if _is_unverified(row) else ''}"
        place = (max(end, 0) + 0.012, float(position))
        axes.text(*place, said, va="center", color=INK, fontsize=9)
    axes.set_yticks(y, labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    # as long as the axis is wide, so what is measured stands on a line of its own
    axes.set_xlabel(f"mean over the task types\n({_metrics_of(rows)})")
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def _metrics_of(rows: pd.DataFrame) -> str:
    """Name what the mean is of; tables without a column `metric` do not say."""
    named = [str(m) for m in dict.fromkeys(rows["metric"])] if "metric" in rows else []
    return ";\n".join(named).replace("pearson", "Pearson") or "metrics not named"


def _is_unverified(row: Any) -> bool:
    return getattr(row, "known", "") == "unverified"
