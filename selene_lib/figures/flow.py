"""Fig. 2: the curation flow with its counts, from the ledger.

Filters are yellow, generation is purple, decisions have a red circle.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from selene_lib.figures.drawing import (
    BLUE,
    INK,
    PURPLE,
    QUIET,
    RED,
    YELLOW,
    Drawing,
    heading,
    new_figure,
    not_run,
    styled,
)

GREY = "#E8ECEF"
FILLS = {"filter": YELLOW, "generation": PURPLE, "decision": "white", "read": GREY}
READING = ("read", "generate")
ROW = 1.0
MAX_REASONS = 3


@dataclass(frozen=True)
class Stage:
    """One stage of the flow over all sources: rows in, rows out, and how many fell to what."""

    name: str
    kind: str
    n_in: int
    n_out: int
    dropped: Mapping[str, int]


def flow_stages(ledger: pd.DataFrame) -> list[Stage]:
    """Sum a ledger over its sources, stage by stage in the order of the ledger.

    `ledger` has stage, kind, source, n_in, n_out, reason, n_dropped: one row a stage, source and
    reason, `n_in` and `n_out` repeated.
    """
    stages = []
    for name, mine in ledger.groupby("stage", sort=False):
        once = mine.drop_duplicates("source")
        lost = mine[mine["n_dropped"].fillna(0) > 0]
        dropped = lost.groupby("reason", sort=False)["n_dropped"].sum().astype(int).to_dict()
        kind = "read" if name in READING else str(mine["kind"].iloc[0])
        n_in, n_out = int(once["n_in"].sum()), int(once["n_out"].sum())
        stages.append(Stage(str(name), kind, n_in, n_out, dropped))
    return stages


def merge_quiet(stages: Sequence[Stage]) -> list[Stage]:
    """Draw neighbouring filters that dropped nothing as one box; the ledger keeps every stage."""
    merged: list[Stage] = []
    for stage in stages:
        if merged and _are_quiet(merged[-1], stage):
            last = merged.pop()
            stage = Stage(f"{last.name}, {stage.name}", "filter", last.n_in, stage.n_out, {})
        merged.append(stage)
    return merged


def _are_quiet(one: Stage, following: Stage) -> bool:
    both = (one, following)
    nothing_dropped = all(stage.kind == "filter" and not stage.dropped for stage in both)
    return nothing_dropped and one.n_out == following.n_in


def draw_flow(
    ledger: pd.DataFrame,
    *,
    pairs: Mapping[str, int] | None = None,
    note: str = "",
    name: str = "fig2",
) -> Drawing:
    """Fig. 2 from ledger counts; `pairs` counts the pairs before the decisions by kind."""
    title = "Fig. 2  How the training pairs came to be"
    stages = flow_stages(ledger) if len(ledger) else []
    if not stages:
        return not_run(name, title, "no ledger")
    with styled():
        stages = merge_quiet(stages)
        figure = new_figure(8.6, 1.2 + 0.62 * (len(stages) + 1.5))
        axes = figure.add_subplot()
        axes.axis("off")
        axes.set_xlim(0, 10)
        axes.set_ylim((len(stages) + 1.3) * ROW, -0.55)
        for index, stage in enumerate(stages):
            _draw_stage(axes, index * ROW, stage)
            _arrow(axes, index * ROW + 0.34, (index + 1) * ROW - 0.36)
        _draw_pairs(axes, len(stages) * ROW + 0.12, stages[-1].n_out, pairs or {})
        heading(figure, title, _legend_note(note))
    said = "; ".join(f"{s.name}: {s.n_in} in, {s.n_out} out" for s in stages)
    end = f"Ends in {stages[-1].n_out} pairs, chosen and rejected."
    alt = f"Flow chart of the curation. {said}. {end}"
    return Drawing(name, title, alt, figure, ledger.reset_index(drop=True))


def _legend_note(note: str) -> str:
    legend = (
        "Yellow: filter. Purple: generation. Grey: read. Red circle: decided on evidence. "
        "Right: what was dropped and why."
    )
    return f"{legend} {note}".strip()


def _box(
    axes: Axes, left: float, y: float, width: float, fill: str, edge: str, linewidth: float
) -> None:
    box = FancyBboxPatch(
        (left, y - 0.3),
        width,
        0.6,
        boxstyle="round,pad=0.02,rounding_size=0.12",
        facecolor=fill,
        edgecolor=edge,
        linewidth=linewidth,
    )
    axes.add_patch(box)


def _draw_stage(axes: Axes, y: float, stage: Stage) -> None:
    decided = stage.kind == "decision"
    edge, linewidth = (RED, 1.6) if decided else ("#888888", 0.8)
    _box(axes, 0.75, y, 4.3, FILLS.get(stage.kind, GREY), edge, linewidth)
    if decided:
        axes.plot([0.42], [y], marker="o", markersize=15, mfc=RED, mec=RED)
        axes.text(
            0.42,
            y + 0.01,
            "?",
            color="white",
            ha="center",
            va="center",
            fontweight="bold",
            fontsize=9,
        )
    lines = textwrap.wrap(stage.name.replace("_", " "), 32)
    axes.text(
        0.95,
        y,
        "\n".join(lines[:3]),
        va="center",
        fontsize=(9.5, 8.5, 7.0)[min(len(lines), 3) - 1],
        color=INK,
        linespacing=1.1,
    )
    counts = f"{stage.n_out:,}"
    if stage.n_in != stage.n_out:
        counts = f"{stage.n_in:,} → {stage.n_out:,}"
    axes.text(4.95, y, counts, va="center", ha="right", fontsize=9.5, fontweight="bold", color=INK)
    if stage.dropped:
        axes.annotate(
            "",
            xy=(5.75, y),
            xytext=(5.1, y),
            arrowprops={"arrowstyle": "->", "color": QUIET, "lw": 0.9},
        )
        axes.text(
            5.85, y, _reasons(stage.dropped), va="center", fontsize=8, color=QUIET, linespacing=1.15
        )


def _reasons(dropped: Mapping[str, int]) -> str:
    """At most two lines: the most frequent reasons by name, the rest as a number."""
    ordered = sorted(dropped.items(), key=lambda item: -item[1])
    named = [f"{count:,} {reason}" for reason, count in ordered[:MAX_REASONS]]
    rest = sum(count for _, count in ordered[MAX_REASONS:])
    if rest:
        named.append(f"{rest:,} for other reasons")
    lines = textwrap.wrap("; ".join(named), 58)
    if len(lines) > 2:
        lines = [*lines[:2], "…"]
    return "\n".join(lines)


def _arrow(axes: Axes, start: float, end: float) -> None:
    axes.annotate(
        "",
        xy=(2.9, end),
        xytext=(2.9, start),
        arrowprops={"arrowstyle": "-|>", "color": "#555555", "lw": 1.0, "shrinkA": 0, "shrinkB": 0},
    )


def _draw_pairs(axes: Axes, y: float, n_pairs: int, pairs: Mapping[str, int]) -> None:
    """The two ends: chosen replies in blue, rejected ones in red, and what the mix consists of."""
    for x, colour, text in ((0.75, BLUE, "chosen"), (2.98, RED, "rejected")):
        _box(axes, x, y, 2.07, colour, "none", 1.0)
        axes.text(
            x + 1.03,
            y,
            f"{n_pairs:,} {text}",
            ha="center",
            va="center",
            color="white",
            fontweight="bold",
            fontsize=9.5,
        )
    axes.text(5.85, y, "\n".join(_mix_lines(pairs)), va="center", fontsize=8.5, color=INK)


def _mix_lines(pairs: Mapping[str, int]) -> Sequence[str]:
    """What curation gave, before the decisions of the mix."""
    rows = [f"{count:,} {kind}" for kind, count in pairs.items() if count]
    return ["pairs before the decisions:", *rows] if rows else []
