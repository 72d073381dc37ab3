"""Fig. 2: from the candidate sets to the training pairs, with counts, from the ledger.

Filters are yellow, generation is purple, what the ablation decided has a red edge.
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
from selene_lib.figures.words import METHODS, STAGES, words

GREY = "#E8ECEF"
FILLS = {"filter": YELLOW, "generation": PURPLE, "decision": "white", "read": GREY}
READING = ("read", "generate")
MAX_REASONS, MAX_SETS, WRAP = 3, 16, 58
GAP, LINE = 0.16, 0.115  # inches: between boxes, and a line of text


@dataclass(frozen=True)
class Stage:
    """One stage of the flow over all sources: rows in, rows out, and how many fell to what."""

    name: str
    kind: str
    n_in: int
    n_out: int
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Box:
    """A box of the flow: its words, the numbers at its right, and grey lines below them."""

    text: str
    counts: str
    kind: str
    lines: Sequence[str] = ()

    @property
    def height(self) -> float:
        """Inches: a head line, the grey lines, and room above and below."""
        return 0.13 + LINE * (1 + len(self.lines))


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
    boxes = [_candidates(ledger, stages[0]), *map(_box_of, merge_quiet(stages[1:]))]
    kinds = _mix_line(pairs or {})
    with styled():
        height = sum(box.height + GAP for box in boxes) + 0.62
        figure = new_figure(height + 0.62)
        axes = figure.add_subplot()
        axes.axis("off")
        axes.set_xlim(0, 1)
        axes.set_ylim(height, 0)
        y = 0.0
        for box in boxes:
            _draw_box(axes, y, box)
            _arrow(axes, y + box.height, y + box.height + GAP)
            y += box.height + GAP
        _draw_pairs(axes, y, stages[-1].n_out, kinds)
        heading(figure, title, _LEGEND, note)
    said = "; ".join(f"{s.name}: {s.n_in} in, {s.n_out} out" for s in stages)
    end = f"Ends in {stages[-1].n_out} pairs, chosen and rejected."
    alt = f"Flow chart of the curation. {said}. {end}"
    return Drawing(name, title, alt, figure, ledger.reset_index(drop=True))


_LEGEND = (
    "Grey: what goes in. Yellow: a filter. Purple: a model writes. Red edge: decided by the "
    "ablation. Below each: how many fell, and why."
)


def _candidates(ledger: pd.DataFrame, first: Stage) -> Box:
    """The first box: the candidate sets that go in, by name and size."""
    rows = ledger[ledger["stage"] == first.name].drop_duplicates("source")
    named = [f"{row.source} {int(row.n_in):,}" for row in rows.itertuples()]
    if len(named) > MAX_SETS:
        named = [*named[: MAX_SETS - 1], f"and {len(named) - MAX_SETS + 1} more"]
    what = f"{words(STAGES, first.name)}, {rows['source'].nunique()} sets"
    lost = _reasons(first.dropped)
    return Box(what, _counts(first), "read", [*textwrap.wrap(", ".join(named), WRAP), *lost])


def _box_of(stage: Stage) -> Box:
    said = ", ".join(words(STAGES, part) for part in stage.name.split(", "))
    head, *rest = textwrap.wrap(said, 40)
    return Box(head, _counts(stage), stage.kind, [*rest, *_reasons(stage.dropped)])


def _counts(stage: Stage) -> str:
    return f"{stage.n_out:,}" if stage.n_in == stage.n_out else f"{stage.n_in:,} → {stage.n_out:,}"


def _reasons(dropped: Mapping[str, int]) -> list[str]:
    """At most two lines: the most frequent reasons in words, the rest as a number."""
    if not dropped:
        return []
    ordered = sorted(_in_words(dropped).items(), key=lambda item: -item[1])
    named = [f"{count:,} {reason}" for reason, count in ordered[:MAX_REASONS]]
    rest = sum(count for _, count in ordered[MAX_REASONS:])
    if rest:
        named.append(f"{rest:,} for other reasons")
    lines = textwrap.wrap(f"– {'; '.join(named)}", WRAP)
    return lines if len(lines) <= 2 else [*lines[:2], "  …"]


def _in_words(dropped: Mapping[str, int]) -> dict[str, int]:
    """The reasons as a reader knows them; those that then read alike are added up."""
    found: dict[str, int] = {}
    for reason, count in dropped.items():
        said = str(reason)
        for method, meaning in METHODS.items():
            said = said.replace(f"in an evaluation set ({method})", f"found there as {meaning}")
        said = said.replace("source dropped by the ablation", "of a source that was dropped")
        said = "repeated in another set" if said.startswith("duplicate of") else said
        found[said] = found.get(said, 0) + count
    return found


def _draw_box(axes: Axes, y: float, box: Box) -> None:
    edge, linewidth = (RED, 1.2) if box.kind == "decision" else ("#888888", 0.6)
    _rounded(axes, 0.0, y, 1.0, box.height, FILLS.get(box.kind, GREY), edge, linewidth)
    middle = y + 0.065 + LINE / 2
    axes.text(0.02, middle, box.text, va="center", color=INK, fontsize=7.5)
    axes.text(0.98, middle, box.counts, va="center", ha="right", fontsize=7.5, fontweight="bold")
    for i, line in enumerate(box.lines):
        axes.text(0.02, middle + LINE * (i + 1), line, va="center", color="#444444")


def _rounded(
    axes: Axes,
    left: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    edge: str,
    linewidth: float,
) -> None:
    patch = FancyBboxPatch(
        (left, y),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.02",
        facecolor=fill,
        edgecolor=edge,
        linewidth=linewidth,
        clip_on=False,
    )
    axes.add_patch(patch)


def _arrow(axes: Axes, start: float, end: float) -> None:
    arrow = {"arrowstyle": "-|>", "color": "#555555", "lw": 0.7, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=(0.5, end), xytext=(0.5, start), arrowprops=arrow)


def _draw_pairs(axes: Axes, y: float, n_pairs: int, kinds: str) -> None:
    """The two ends: chosen replies in blue, rejected ones in red, and what they consist of."""
    for left, colour, text in ((0.0, BLUE, "chosen"), (0.51, RED, "rejected")):
        _rounded(axes, left, y, 0.49, 0.24, colour, "none", 0.6)
        axes.text(
            left + 0.245,
            y + 0.12,
            f"{n_pairs:,} {text}",
            ha="center",
            va="center",
            color="white",
            fontweight="bold",
            fontsize=7.5,
        )
    for i, line in enumerate(textwrap.wrap(kinds, WRAP)):
        axes.text(0.0, y + 0.34 + LINE * i, line, va="center", color=QUIET)


def _mix_line(pairs: Mapping[str, int]) -> str:
    """What curation gave, before the decisions of the mix."""
    rows = [f"{count:,} {kind}" for kind, count in pairs.items() if count]
    return f"Pairs before the decisions: {', '.join(rows)}." if rows else ""
