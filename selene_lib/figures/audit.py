"""The audit card: what moves a verdict that should not, and how sure the judge is of what it says.

Its title says what was found.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from selene_lib.figures.drawing import (
    INK,
    QUIET,
    Drawing,
    draw_intervals,
    heading,
    key,
    new_figure,
    not_run,
    rows_of_bars,
    styled,
)
from selene_lib.figures.judges import colours, judge_label, marker_of, order_judges, short_label
from selene_lib.figures.words import PROBES, words
from selene_lib.judges.names import main_judge

KINDS = {
    "bias": "Bias: change of favour",
    "stability": "Stability: share that changes",
    "calibration": "Calibration: gap of shares",
    "attack": "Attacks: share that succeeds",
    "escape gain": "The same, plain minus escaped",
}
CALIBRATION = ("calibration_error", "overconfidence")
ROW = {"attack": 0.2}


def draw_audit(audit: pd.DataFrame, *, note: str = "", name: str = "audit") -> Drawing:
    """Probes by kind with 95 % intervals; filled for the escaping template, hollow for the plain.

    `audit` has judge, probe, kind, template, effect (shares), ci95_low, ci95_high, n; `context`
    rows are left to the table. The title names what moved the trained judge most.
    """
    rows = audit[audit["effect"].notna() & audit["kind"].ne("context")] if len(audit) else audit
    if rows.empty:
        return not_run(name, "Audit: what moves a verdict that should not", "no probe results")
    rows = rows.assign(kind=rows["kind"].where(~rows["probe"].isin(CALIBRATION), "calibration"))
    title, shown = finding(rows), _without_zero_gains(rows)
    kinds = [kind for kind in KINDS if shown["kind"].eq(kind).any()]
    sizes = [shown.loc[shown["kind"] == kind, "probe"].nunique() for kind in kinds]
    heights = [0.12 + n * ROW.get(kind, 0.15) for n, kind in zip(sizes, kinds)]
    with styled():
        figure = new_figure(1.5 + sum(heights) + 0.34 * len(kinds))
        grid = figure.subplots(len(kinds), 1, height_ratios=heights, squeeze=False)[:, 0]
        for panel, kind in zip(grid, kinds):
            _panel(panel, shown[shown["kind"] == kind], order_judges(rows["judge"]))
            panel.set_title(KINDS[kind])
        key(grid[0], _handles(rows))
        heading(figure, title, "Lines: 95 % intervals.", _left_out(rows, shown), note)
    said = "; ".join(
        f"{r.probe} ({r.template}) {r.effect:+.3f} for {judge_label(r.judge)}"
        for r in rows.itertuples()
    )
    return Drawing(name, title, f"Audit effects. {said}.", figure, audit)


def finding(rows: pd.DataFrame) -> str:
    """Return the title: the attack that moved the main judge most, and what escaping did."""
    main = main_judge(rows["judge"]) or str(rows["judge"].iloc[0])
    mine = rows[rows["judge"] == main]
    is_attack = mine["kind"].eq("attack") & mine["template"].ne("plain")
    attacks = mine[is_attack & mine["probe"].ne("control")]
    said = []
    if len(attacks):
        worst = attacks.loc[attacks["effect"].idxmax()]
        share = f"{100 * worst['effect']:.0f} % of verdicts"
        said.append(f"the worst attack ({_probe(worst['probe'])}) turns {share}")
    gains = mine[mine["kind"].eq("escape gain") & mine["probe"].ne("control")]
    if len(gains):
        n_better, n_worse = int((gains["ci95_low"] > 0).sum()), int((gains["ci95_high"] < 0).sum())
        worse = f" and helps {n_worse}" if n_worse else ""
        said.append(f"escaping stops {n_better or 'none'} of {len(gains)}{worse}")
    return f"Audit: {'; '.join(said) or 'what moves a verdict that should not'}"


def _probe(name: object) -> str:
    return words(PROBES, str(name))


def _without_zero_gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Leave out the probes on which escaping made no difference for any judge."""
    gains = rows[rows["kind"] == "escape gain"]
    moved = gains.loc[gains["effect"].ne(0), "probe"].unique()
    return rows[rows["kind"].ne("escape gain") | rows["probe"].isin(moved)]


def _left_out(rows: pd.DataFrame, shown: pd.DataFrame) -> str:
    n = rows.loc[rows["kind"] == "escape gain", "probe"].nunique()
    n -= shown.loc[shown["kind"] == "escape gain", "probe"].nunique()
    return f"Escaping makes no difference to the {n} other attacks." if n else ""


def _panel(axes: Axes, rows: pd.DataFrame, judges: list[str]) -> None:
    probes = list(dict.fromkeys(rows["probe"]))
    templates = list(dict.fromkeys(rows["template"]))
    found = set(zip(rows["judge"], rows["template"]))
    series = [(j, t) for j in judges for t in templates if (j, t) in found]
    axes.axvline(0, color=QUIET, linewidth=0.8)
    for index, (judge, template) in enumerate(series):
        mine = rows[(rows["judge"] == judge) & (rows["template"] == template)]
        middle = np.array([probes.index(p) for p in mine["probe"]])
        y = middle + (index - (len(series) - 1) / 2) * 0.8 / max(len(series), 2)
        ink, mark = colours(judges)[judge], marker_of(judge)
        draw_intervals(axes, mine, y, ink, 0.9)
        filled = "white" if template == "plain" else ink
        axes.plot(mine["effect"], y, mark, color=ink, mfc=filled, mew=0.7, ms=2.8, zorder=5)
    rows_of_bars(axes, [_probe(probe) for probe in probes])


def _handles(rows: pd.DataFrame) -> list[Artist]:
    judges = order_judges(rows["judge"])
    handles: list[Artist] = []
    for judge in judges:
        ink, mark = colours(judges)[judge], marker_of(judge)
        handles.append(Line2D([], [], lw=0.9, color=ink, marker=mark, label=short_label(judge)))
    plain = Line2D([], [], linestyle="", marker="o", color=INK, mfc="white")
    plain.set_label("hollow: plain template, not escaping")
    return [*handles, plain] if rows["template"].eq("plain").any() else handles
