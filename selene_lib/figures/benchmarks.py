"""Fig. 1: task-average scores of all judges (a), and every benchmark by task type (b)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selene_lib.figures.drawing import (
    INK,
    PALE,
    QUIET,
    Drawing,
    baseline_mark,
    draw_baseline,
    draw_intervals,
    heading,
    inside_ink,
    key,
    lighter,
    new_figure,
    not_run,
    published_mark,
    rows_of_bars,
    styled,
)
from selene_lib.figures.judges import (
    TASK_NAMES,
    colours,
    judge_label,
    method_label,
    order_judges,
    short_label,
)
from selene_lib.figures.results import headline_rows
from selene_lib.figures.words import SETS_EXPLAINED, set_label
from selene_lib.judges.names import is_base, main_judge

INTERVALS = "Lines: 95 % intervals over items."


def draw_overall(
    task_means: pd.DataFrame,
    *,
    title: str = "Fig. 1a  Mean of the task types",
    note: str = "",
    name: str = "fig1a",
) -> Drawing:
    """Fig. 1a: the mean of the task types, one bar a method and a dot a seed with its interval.

    `task_means` has judge, task, value and, where known, ci95_low, ci95_high, majority, metric and
    known; rows with task `overall` are drawn, or the mean of the task rows of a judge where it has
    no such row (then without interval). Bars of values `unverified` are lighter.
    """
    rows = _overall_rows(task_means)
    if rows.empty:
        return not_run(name, title, "no task means")
    means = rows.groupby("method", sort=False)["value"].mean().sort_values(ascending=False)
    with styled():
        figure = new_figure(1.25 + 0.34 * len(means))
        axes = figure.add_subplot()
        for y, (method, mean) in enumerate(means.items()):
            _method_bar(axes, rows[rows["method"] == method], y, float(mean))
        rows_of_bars(axes, [set_label(str(method), 17) for method in means.index])
        axes.set_xlim(0, 1)
        axes.set_xlabel(f"mean over the task types\n({_metrics_of(rows)})")
        _overall_key(axes, rows)
        heading(figure, title, INTERVALS if "ci95_low" in rows else "", note)
    said = "; ".join(f"{judge_label(r.judge)} {r.value:.3f}" for r in rows.itertuples())
    alt = f"Bar chart of the mean score over task types. {said}."
    return Drawing(name, title, alt, figure, rows.drop(columns="method"))


def _overall_rows(task_means: pd.DataFrame) -> pd.DataFrame:
    rows = task_means[task_means["task"] == "overall"]
    if rows.empty:
        of_tasks = task_means[task_means["task"].isin(TASK_NAMES)]
        rows = of_tasks.groupby("judge", sort=False)["value"].mean().reset_index()
    rows = rows.dropna(subset=["value"])
    if rows.empty:
        return rows
    rows = rows.set_index("judge").loc[order_judges(rows["judge"])].reset_index()
    return rows.assign(method=rows["judge"].map(method_label))


def _method_bar(axes: Axes, rows: pd.DataFrame, y: float, mean: float) -> None:
    """One bar at the mean of the seeds, a dot and an interval a seed, the mean at the right."""
    judge = rows["judge"].iloc[0]
    ink = colours([judge])[judge]
    unverified = "known" in rows and rows["known"].eq("unverified").any()
    axes.barh(y, mean, height=0.72, color=lighter(ink) if unverified else ink)
    places = y + (np.arange(len(rows)) - (len(rows) - 1) / 2) * min(0.22, 0.6 / len(rows))
    draw_intervals(axes, rows, places, inside_ink(ink))
    if len(rows) > 1:
        axes.plot(rows["value"], places, "o", ms=3.2, mfc="white", mec=INK, mew=0.6, zorder=5)
    axes.text(1.02, y, f"{mean:.3f}", va="center", transform=axes.get_yaxis_transform())


def _overall_key(axes: Axes, rows: pd.DataFrame) -> None:
    handles: list[Artist] = []
    if rows["method"].duplicated().any():
        seeds = Line2D([], [], linestyle="", marker="o", mfc="white", mec=INK, mew=0.6)
        seeds.set_label("a seed (bar: their mean)")
        handles.append(seeds)
    if "majority" in rows and rows["majority"].notna().any():
        value = float(rows["majority"].dropna().iloc[0])
        axes.axvline(value, color=baseline_mark().get_color(), lw=1.2, ls="--", zorder=3)
        handles.append(baseline_mark(f"always the commonest label, {value:.3f}"))
    if handles:
        key(axes, handles, 1)


def _metrics_of(rows: pd.DataFrame) -> str:
    """Name what the mean is of; tables without a column `metric` do not say."""
    named = [str(m) for m in dict.fromkeys(rows["metric"])] if "metric" in rows else []
    same = "accuracy for classification, accuracy for pairwise"
    said = ";\n".join(named).replace(same, "accuracy for the others")
    return said.replace("pearson", "Pearson").replace("_", " ") or "metrics not named"


def draw_benchmarks(
    scores: pd.DataFrame,
    *,
    judges: Sequence[str] | None = None,
    note: str = "",
    name: str = "fig1b",
) -> Drawing:
    """Fig. 1b: every set by task type, base and trained, beside baseline and published value.

    `scores` has the columns of `records.Score`; its headline rows are drawn, one metric a panel.
    `judges` are those shown: the main trained one and the base by default.
    """
    title = "Fig. 1b  By task type and benchmark"
    rows = headline_rows(scores)
    rows = rows[rows["value"].notna() | _was_judged(rows)] if len(rows) else rows
    if rows.empty:
        return not_run(name, title, "no scores")
    shown = list(judges) if judges else _base_and_main(rows["judge"])
    rows = rows[rows["judge"].isin(shown)].reset_index(drop=True)
    with styled():
        panels = _panels_of(rows)
        n_rows = sum(mine["set"].nunique() for _, mine in panels)
        figure = new_figure(1.1 + 0.36 * len(panels) + max(0.15 * len(shown), 0.26) * n_rows)
        _draw_panels(figure, panels, rows, order_judges(shown))
        explained = [text for set_, text in SETS_EXPLAINED.items() if set_ in set(rows["set"])]
        heading(figure, title, INTERVALS, *explained, note)
    return Drawing(name, title, _said(rows), figure, rows)


def _was_judged(rows: pd.DataFrame) -> pd.Series:
    return rows["n"].gt(0) if "n" in rows else pd.Series(False, index=rows.index)


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


def _panels_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """One panel a task type and metric: two quantities never share an axis."""
    metric = rows["metric"] if "metric" in rows else pd.Series("score", index=rows.index)
    panels = []
    for task, label in TASK_NAMES.items():
        for one in dict.fromkeys(metric[rows["task"] == task]):
            said = str(one).replace("_", " ").replace("pearson", "Pearson's r")
            mine = rows[(rows["task"] == task) & (metric == one)]
            panels.append((f"{label} ({said})", mine))
    return panels


def _draw_panels(
    figure: Figure,
    panels: Sequence[tuple[str, pd.DataFrame]],
    rows: pd.DataFrame,
    judges: Sequence[str],
) -> None:
    heights = [mine["set"].nunique() + 0.5 for _, mine in panels]
    grid = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
    palette = colours(judges)
    for panel, (title, mine) in zip(grid, panels):
        _task_panel(panel, mine, judges, palette)
        panel.set_title(title)
    handles = [Patch(facecolor=palette[j], label=short_label(j)) for j in judges]
    key(grid[0], [*handles, *_marks(rows)])


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
            mark.set_color(PALE)
            marks.append(mark)
    return marks


def _is_doubtful(rows: pd.DataFrame) -> pd.Series:
    """Whether the published value of each row was never read by us."""
    if "published_note" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["published_note"].fillna("").astype(str).str.startswith("unverified")


def _task_panel(
    axes: Axes, rows: pd.DataFrame, judges: Sequence[str], palette: dict[str, str]
) -> None:
    sets = list(dict.fromkeys(rows["set"]))
    height = 0.84 / len(judges)
    for index, judge in enumerate(judges):
        mine = rows[rows["judge"] == judge].drop_duplicates("set").set_index("set").reindex(sets)
        y = np.arange(len(sets)) - 0.42 + height * (index + 0.5)
        axes.barh(y, mine["value"], height=height * 0.9, color=palette[judge])
        draw_intervals(axes, mine, y, inside_ink(palette[judge]))
        _values(axes, mine, y)
        _published(axes, mine, y)
    by_set = rows.drop_duplicates("set").set_index("set")
    is_share = not rows.get("metric", pd.Series("accuracy")).eq("pearson").all()
    if "baseline_majority" in rows and is_share:
        for index, name in enumerate(sets):
            draw_baseline(axes, by_set.loc[name, "baseline_majority"], index)
    rows_of_bars(axes, [_set_name(by_set, name) for name in sets])
    lowest = float(rows[[c for c in ("value", "ci95_low") if c in rows]].min().min())
    axes.set_xlim(math.floor(2 * lowest) / 2 - 0.02 if lowest < -0.02 else 0, 1)
    if not is_share:
        axes.axvline(0, color=INK, lw=0.8)


def _set_name(by_set: pd.DataFrame, name: str) -> str:
    n = f" (n={int(by_set.loc[name, 'n'])})" if "n" in by_set else ""
    return set_label(f"{set_label(name, 99)}{n}", 19)


def _values(axes: Axes, rows: pd.DataFrame, y: np.ndarray) -> None:
    """The value of each bar at the right edge; where there is none, the reason in its place."""
    for place, row in zip(y, rows.itertuples()):
        if pd.notna(row.value):
            right = axes.get_yaxis_transform()
            axes.text(1.02, place, f"{row.value:.2f}", va="center", transform=right)
        elif pd.notna(getattr(row, "n", np.nan)):
            axes.text(0.02, place, _why_none(row), va="center", color=QUIET)


def _why_none(row: object) -> str:
    """Why a judged set has no value: a correlation needs scores that differ."""
    if getattr(row, "n_unparsed", 0) >= getattr(row, "n", 0) - 1:
        return "no readable reply"
    return "none: one score for all"


def _published(axes: Axes, rows: pd.DataFrame, y: np.ndarray) -> None:
    if "published" not in rows or rows["published"].isna().all():
        return
    values, doubtful = rows["published"].astype(float), _is_doubtful(rows).to_numpy(dtype=bool)
    for mine, ink in ((~doubtful, QUIET), (doubtful, PALE)):
        axes.plot(
            values[mine], y[mine], "D", color=ink, mfc="white", markersize=3.5, zorder=6, mew=1.0
        )
