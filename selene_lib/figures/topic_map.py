"""Fig. 4: the topic map of the training data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes

from selene_lib.figures.drawing import INK, Drawing, heading, new_figure, not_run, styled

# Okabe-Ito, and four more of other lightness; topics are named in the picture, so no topic depends on its colour alone.
COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#8C7A00",
    "#5B6B7B",
    "#7B3294",
    "#A6CEE3",
    "#B2182B",
    "#333333",
)
MARKERS = {"absolute": "o", "classification": "s", "pairwise": "^"}


def draw_topic_map(topic_map: pd.DataFrame, *, note: str = "", name: str = "fig4") -> Drawing:
    """Fig. 4 from a table with x, y, topic_index (or topic), topic_name (or topic), task: one point a sample, topics named in place."""
    title = "Fig. 4  Topic map of the training data"
    if topic_map.empty:
        return not_run(name, title, "no topic map")
    frame = _with_topics(topic_map)
    with styled():
        figure = new_figure(8.4, 6.6)
        axes = figure.add_subplot()
        for topic, mine in frame.groupby("_topic", sort=True):
            for task, points in mine.groupby("task", sort=True) if "task" in mine else [("", mine)]:
                axes.scatter(
                    points["x"],
                    points["y"],
                    s=9,
                    marker=MARKERS.get(str(task), "o"),
                    color=COLOURS[int(topic) % len(COLOURS)],
                    alpha=0.65,
                    linewidths=0,
                    rasterized=True,
                )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.margins(0.08)
        _name_topics(axes, frame)
        shapes = "Circles: absolute, squares: classification, triangles: pairwise. Only neighbourhood has a meaning, not the axes."
        heading(figure, title, f"{len(frame):,} samples. {shapes} {note}".strip())
    counts = frame["_name"].value_counts()
    said = "; ".join(f"{topic} ({n})" for topic, n in counts.items())
    return Drawing(
        name, title, f"Scatter plot of {len(frame)} samples in {len(counts)} topics: {said}.", figure, topic_map.reset_index(drop=True)
    )


def _with_topics(topic_map: pd.DataFrame) -> pd.DataFrame:
    names = topic_map["topic_name"] if "topic_name" in topic_map else topic_map["topic"].astype(str)
    index = topic_map["topic_index"] if "topic_index" in topic_map else pd.Series(pd.factorize(names, sort=True)[0], index=topic_map.index)
    return topic_map.assign(_topic=index, _name=names.fillna("no topic"))


def _name_topics(axes: Axes, frame: pd.DataFrame) -> None:
    """Write each topic's name at the median of its points, pushed apart where two names would lie on each other."""
    middle = frame.groupby("_topic", sort=True).agg(x=("x", "median"), y=("y", "median"), name=("_name", "first"))
    span = float(frame["y"].max() - frame["y"].min()) or 1.0
    width = float(frame["x"].max() - frame["x"].min()) or 1.0
    heights = spread(middle["y"].to_numpy(), middle["x"].to_numpy(), 0.045 * span, 0.3 * width)
    for (_, row), y in zip(middle.iterrows(), heights):
        label = row["name"] if len(str(row["name"])) <= 34 else f"{str(row['name'])[:33]}…"
        text = axes.text(row["x"], y, label, ha="center", va="center", fontsize=8.5, fontweight="bold", color=INK, zorder=5)
        text.set_path_effects([patheffects.withStroke(linewidth=3, foreground="white")])


def spread(y: np.ndarray, x: np.ndarray, least_y: float, near_x: float, n_rounds: int = 200) -> np.ndarray:
    """Move positions apart in `y` until any two closer than `near_x` in `x` lie `least_y` apart (or the rounds are spent)."""
    placed = y.astype(float).copy()
    for _ in range(n_rounds):
        moved = False
        for i in range(len(placed)):
            for j in range(i + 1, len(placed)):
                gap = placed[j] - placed[i]
                if abs(x[i] - x[j]) < near_x and abs(gap) < least_y * 0.999:
                    push = (least_y - abs(gap)) / 2 * (1 if gap >= 0 else -1)
                    placed[i], placed[j], moved = placed[i] - push, placed[j] + push, True
        if not moved:
            break
    return placed
