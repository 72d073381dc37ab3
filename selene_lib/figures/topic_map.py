"""Fig. 4: the topic map of the training data."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from selene_lib.embeddings.look import COLOURS, stretch
from selene_lib.figures.drawing import (
    BASELINE,
    BLUE,
    INK,
    PALE,
    QUIET,
    Drawing,
    heading,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import TASK_NAMES

TASK_COLOURS = {"pairwise": BLUE, "classification": BASELINE, "absolute": PALE}
MAP_HEIGHT = 2.5
N_CELLS = 12  # a side: the grid on which a topic's home is looked for


def draw_topic_map(topic_map: pd.DataFrame, *, note: str = "", name: str = "fig4") -> Drawing:
    """Fig. 4: one point a sample, topics numbered where most of them lie and named below.

    `topic_map` has x, y, topic or topic_index, topic_name and task. Crowded regions are stretched
    (`stretch`): only neighbourhood has a meaning on such a map. A bar beside each name shows of
    which tasks the topic consists.
    """
    title = "Fig. 4  Topic map of the training data"
    if topic_map.empty:
        return not_run(name, title, "no topic map")
    frame = _with_topics(topic_map)
    topics = frame.groupby("_topic", sort=True).agg(name=("_name", "first"), n=("_name", "size"))
    table_height = 0.15 * len(topics) + 0.16
    with styled():
        figure = new_figure(MAP_HEIGHT + table_height + 1.0)
        plot, table = figure.subplots(2, 1, height_ratios=[MAP_HEIGHT, table_height])
        _points(plot, frame)
        _number_topics(plot, frame)
        _topic_table(table, frame, topics)
        explained = "Close points hold like text; far distances mean nothing (crowds are spread)."
        bars = "Bars: what the samples of a topic ask the judge for."
        if "task" not in frame or frame["task"].nunique() < 2:
            bars = f"All ask for {frame['task'].iloc[0]}." if "task" in frame else ""
        heading(figure, title, f"{len(frame):,} samples, one point each. {explained}", bars, note)
    said = "; ".join(f"{name} ({n})" for name, n in zip(topics["name"], topics["n"]))
    alt = f"Scatter plot of {len(frame)} samples in {len(topics)} topics: {said}."
    return Drawing(name, title, alt, figure, topic_map.reset_index(drop=True))


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
    shown = frame.sample(frac=1.0, random_state=0)  # no topic lies on top of all others
    inks = [COLOURS[int(topic) % len(COLOURS)] for topic in shown["_topic"]]
    axes.scatter(
        shown["x"], shown["y"], s=3.2, alpha=0.75, linewidths=0, rasterized=True, color=inks
    )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.margins(0.04)


def _number_topics(axes: Axes, frame: pd.DataFrame) -> None:
    """Write each topic's number where it is at home.

    Two numbers that would lie on each other are moved apart.
    """
    places = homes(frame)
    x, y = np.array(list(places.values())).T
    for topic, left, height in zip(places, x, spread(y, x, 0.075, 0.06)):
        ink = COLOURS[int(topic) % len(COLOURS)]
        box = {"boxstyle": "circle,pad=0.16", "facecolor": "white", "edgecolor": ink, "lw": 1.1}
        axes.text(
            left,
            height,
            str(int(topic) + 1),
            ha="center",
            va="center",
            fontweight="bold",
            color=INK,
            bbox=box,
            zorder=5,
        )


def homes(frame: pd.DataFrame) -> dict[int, np.ndarray]:
    """Return the place of each topic's number: amid its points in the cell that is most its own.

    Of the cells of a grid, the one where the topic has most points, each point counted by the share
    of the topic among its cell: a crowd of another topic is no home.
    """
    grid = pd.DataFrame(index=frame.index)
    for axis in ("x", "y"):
        span = float(frame[axis].max() - frame[axis].min()) or 1.0
        place = (frame[axis] - frame[axis].min()) / span * N_CELLS
        grid[axis] = place.clip(upper=N_CELLS - 1).astype(int)
    cell = grid["x"] * N_CELLS + grid["y"]
    counts = pd.crosstab(frame["_topic"], cell)
    own = counts**2 / counts.sum()
    found = {}
    for topic, best in own.idxmax(axis=1).items():
        mine = frame.loc[(frame["_topic"] == topic) & (cell == best), ["x", "y"]]
        found[topic] = mine.median().to_numpy()
    return found


def _topic_table(axes: Axes, frame: pd.DataFrame, topics: pd.DataFrame) -> None:
    """A line a topic: number, name, size, and a bar of the tasks its samples ask for."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(topics), -1.1)
    tasks = frame["task"].astype(str) if "task" in frame else pd.Series("", index=frame.index)
    known = [task for task in TASK_NAMES if tasks.eq(task).any()]
    handles: list[Artist] = [
        Patch(facecolor=TASK_COLOURS[task], label=TASK_NAMES[task].split()[0]) for task in known
    ]
    if len(known) > 1:
        axes.legend(
            handles=handles,
            loc="lower right",
            bbox_to_anchor=(1.0, 1 - 1.1 / (len(topics) + 1.1)),
            ncols=len(known),
            title=None,
        )
    for y, (topic, row) in enumerate(topics.iterrows()):
        axes.plot([0.015], [y + 0.5], "o", color=COLOURS[int(topic) % len(COLOURS)], ms=4.5)
        axes.text(0.04, y + 0.5, f"{int(topic) + 1}  {_short(row['name'])}", va="center")
        axes.text(0.69, y + 0.5, f"{row['n']:,}", va="center", ha="right", color=QUIET)
        left = 0.71
        for task in known if len(known) > 1 else ():
            share = float(tasks[frame["_topic"] == topic].eq(task).mean())
            axes.barh(y + 0.5, 0.29 * share, 0.6, left=left, color=TASK_COLOURS[task])
            left += 0.29 * share


def _short(name: str, most: int = 34) -> str:
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
