"""Fig. 4: the topic map of the training data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from selene_lib.figures.drawing import INK, Drawing, heading, new_figure, not_run, styled

# Okabe-Ito, and four more of other lightness; topics are numbered in the picture, so none depends
# on its colour alone.
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


RANK_SHARE = 0.7


def draw_topic_map(topic_map: pd.DataFrame, *, note: str = "", name: str = "fig4") -> Drawing:
    """Fig. 4 from a table with x, y, topic or topic_index, topic_name, task: one point a sample,
    topics numbered in place and named beside.

    Crowded regions are stretched (`stretch`): only neighbourhood has a meaning on such a map.
    """
    title = "Fig. 4  Topic map of the training data"
    if topic_map.empty:
        return not_run(name, title, "no topic map")
    frame = _with_topics(topic_map)
    topics = frame.groupby("_topic", sort=True).agg(name=("_name", "first"), n=("_name", "size"))
    with styled():
        figure = new_figure(9.6, max(5.6, 1.2 + 0.24 * len(topics)))
        axes = figure.add_subplot()
        _points(axes, frame)
        _number_topics(axes, frame)
        figure.legend(
            handles=_named(topics),
            loc="outside right center",
            fontsize=8,
            handletextpad=0.2,
            labelspacing=0.35,
        )
        shapes = "Circles: absolute, squares: classification, triangles: pairwise. Crowds are stretched; only neighbourhood has a meaning."
        heading(figure, title, f"{len(frame):,} samples. {shapes} {note}".strip())
    said = "; ".join(
        f"{row.name} ({row.n})" for row in topics.itertuples(index=False, name="Topic")
    )
    return Drawing(
        name,
        title,
        f"Scatter plot of {len(frame)} samples in {len(topics)} topics: {said}.",
        figure,
        topic_map.reset_index(drop=True),
    )


def stretch(values: np.ndarray) -> np.ndarray:
    """Spread crowded values out: seven tenths of their rank, three tenths of their place, both in
    [0, 1]; the order stays.
    """
    span = float(values.max() - values.min()) or 1.0
    ranks = pd.Series(values).rank(method="average").to_numpy() - 1
    return (
        RANK_SHARE * ranks / max(len(values) - 1, 1)
        + (1 - RANK_SHARE) * (values - values.min()) / span
    )


def _with_topics(topic_map: pd.DataFrame) -> pd.DataFrame:
    names = topic_map["topic_name"] if "topic_name" in topic_map else topic_map["topic"].astype(str)
    given = next(
        (
            topic_map[c]
            for c in ("topic", "topic_index")
            if c in topic_map and pd.api.types.is_numeric_dtype(topic_map[c])
        ),
        None,
    )
    index = (
        pd.Series(pd.factorize(names, sort=True)[0], index=topic_map.index)
        if given is None
        else given
    )
    places = {
        "x": stretch(topic_map["x"].to_numpy(dtype=float)),
        "y": stretch(topic_map["y"].to_numpy(dtype=float)),
    }
    return topic_map.assign(_topic=index, _name=names.fillna("no topic"), **places)


def _points(axes: Axes, frame: pd.DataFrame) -> None:
    for topic, mine in frame.groupby("_topic", sort=True):
        for task, points in mine.groupby("task", sort=True) if "task" in mine else [("", mine)]:
            look = {
                "marker": MARKERS.get(str(task), "o"),
                "color": COLOURS[int(topic) % len(COLOURS)],
            }
            axes.scatter(
                points["x"], points["y"], s=9, alpha=0.65, linewidths=0, rasterized=True, **look
            )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.margins(0.04)


def _number_topics(axes: Axes, frame: pd.DataFrame) -> None:
    """Write each topic's number on the sample nearest to the topic's middle; two numbers that would
    lie on each other are moved apart.
    """
    middles = frame.groupby("_topic", sort=True)[["x", "y"]].median()
    places = {}
    for topic, middle in middles.iterrows():
        mine = frame.loc[frame["_topic"] == topic, ["x", "y"]]
        places[topic] = mine.iloc[int(((mine - middle) ** 2).sum(axis=1).argmin())].to_numpy()
    heights = spread(
        np.array([p[1] for p in places.values()]),
        np.array([p[0] for p in places.values()]),
        0.042,
        0.035,
    )
    for (topic, place), y in zip(places.items(), heights):
        box = {
            "boxstyle": "circle,pad=0.18",
            "facecolor": "white",
            "edgecolor": COLOURS[int(topic) % len(COLOURS)],
            "linewidth": 1.6,
        }
        axes.text(
            place[0],
            y,
            str(int(topic) + 1),
            ha="center",
            va="center",
            fontsize=7.5,
            fontweight="bold",
            color=INK,
            bbox=box,
            zorder=5,
        )


def _named(topics: pd.DataFrame) -> list[Line2D]:
    rows = [(int(topic), row) for topic, row in topics.iterrows()]
    return [
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            color=COLOURS[topic % len(COLOURS)],
            label=f"{topic + 1}  {_short(row['name'])} ({row['n']:,})",
        )
        for topic, row in rows
    ]


def _short(name: str, most: int = 32) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def spread(
    y: np.ndarray, x: np.ndarray, least_y: float, near_x: float, n_rounds: int = 200
) -> np.ndarray:
    """Move positions apart in `y` until any two closer than `near_x` in `x` lie `least_y` apart (or
    the rounds are spent).
    """
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
