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
    """Fig. 4: one point a sample, topics numbered in place and named beside.

    `topic_map` has x, y, topic or topic_index, topic_name and task. Crowded regions are stretched
    (`stretch`): only neighbourhood has a meaning on such a map.
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
        shapes = (
            "Circles: absolute, squares: classification, triangles: pairwise. "
            "Crowds are stretched; only neighbourhood has a meaning."
        )
        heading(figure, title, f"{len(frame):,} samples. {shapes} {note}".strip())
    said = "; ".join(f"{name} ({n})" for name, n in zip(topics["name"], topics["n"]))
    alt = f"Scatter plot of {len(frame)} samples in {len(topics)} topics: {said}."
    return Drawing(name, title, alt, figure, topic_map.reset_index(drop=True))


def stretch(values: np.ndarray) -> np.ndarray:
    """Spread crowded values out, their order kept.

    Seven tenths of their rank and three tenths of their place, both in [0, 1].
    """
    span = float(values.max() - values.min()) or 1.0
    ranks = pd.Series(values).rank(method="average").to_numpy() - 1
    rank = RANK_SHARE * ranks / max(len(values) - 1, 1)
    return rank + (1 - RANK_SHARE) * (values - values.min()) / span


def _with_topics(topic_map: pd.DataFrame) -> pd.DataFrame:
    names = topic_map["topic_name"] if "topic_name" in topic_map else topic_map["topic"].astype(str)
    places = {axis: stretch(topic_map[axis].to_numpy(dtype=float)) for axis in ("x", "y")}
    numbers = _topic_numbers(topic_map, names)
    return topic_map.assign(_topic=numbers, _name=names.fillna("no topic"), **places)


def _topic_numbers(topic_map: pd.DataFrame, names: pd.Series) -> pd.Series:
    """The topic's number of each sample; counted from the names where the table has none."""
    for column in ("topic", "topic_index"):
        if column in topic_map and pd.api.types.is_numeric_dtype(topic_map[column]):
            return topic_map[column]
    return pd.Series(pd.factorize(names, sort=True)[0], index=topic_map.index)


def _points(axes: Axes, frame: pd.DataFrame) -> None:
    tasks = frame["task"].astype(str) if "task" in frame else pd.Series("", index=frame.index)
    for (topic, task), points in frame.groupby([frame["_topic"], tasks], sort=True):
        axes.scatter(
            points["x"],
            points["y"],
            s=9,
            alpha=0.65,
            linewidths=0,
            rasterized=True,
            marker=MARKERS.get(task, "o"),
            color=COLOURS[int(topic) % len(COLOURS)],
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.margins(0.04)


def _number_topics(axes: Axes, frame: pd.DataFrame) -> None:
    """Write each topic's number on the sample nearest to the topic's middle.

    Two numbers that would lie on each other are moved apart.
    """
    middles = frame.groupby("_topic", sort=True)[["x", "y"]].median()
    places = {}
    for topic, middle in middles.iterrows():
        mine = frame.loc[frame["_topic"] == topic, ["x", "y"]]
        places[topic] = mine.iloc[int(((mine - middle) ** 2).sum(axis=1).argmin())].to_numpy()
    x, y = np.array(list(places.values())).T
    for topic, left, height in zip(places, x, spread(y, x, 0.042, 0.035)):
        box = {
            "boxstyle": "circle,pad=0.18",
            "facecolor": "white",
            "edgecolor": COLOURS[int(topic) % len(COLOURS)],
            "linewidth": 1.6,
        }
        axes.text(
            left,
            height,
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
    """Move positions apart in `y` until any two that are near in `x` lie `least_y` apart.

    Near is closer than `near_x`. Stops when the rounds are spent.
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
