"""Can the numbers be trusted: calibration, the audit card, contamination."""

from __future__ import annotations

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
    draw_intervals,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import colours, judge_label, one_a_loss, order_judges

AUDIT_KINDS = {
    "bias": "Bias: change of favour",
    "stability": "Stability: share of verdicts that change",
    "attack": "Attacks: success rate",
    "escape gain": "Attack success, plain less escaped (below 0: escaping harms)",
}


def draw_calibration(
    bins: pd.DataFrame | None, *, note: str = "", name: str = "calibration"
) -> Drawing:
    """Reliability plot: share right against the probability of the verdict.

    `bins` are as `reliability_table` gives them. One line a judge, of the arms of one loss the
    first; the CSV holds all.
    """
    title = "Calibration of the verdict probabilities"
    if bins is None or bins.empty:
        return not_run(name, title, "no judge gave verdict probabilities")
    judges = one_a_loss(bins["judge"])
    palette = colours(judges)
    with styled():
        figure = new_figure(7.4, 5.4)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
        handles = []
        for index, judge in enumerate(judges):
            mine = bins[bins["judge"] == judge]
            handles.append(_reliability(axes, mine, palette[judge], "os^Dv<>P"[index % 8]))
        axes.set_xlim(0, 1.02)
        axes.set_xlabel("probability the judge gave its verdict")
        axes.set_ylabel("share of those verdicts that were right")
        light_grid(axes, "y")
        axes.set_ylim(0, 1.06)
        axes.legend(
            handles=handles,
            fontsize=8,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=1 if len(handles) < 4 else 2,
        )
        explained = "Dotted: perfectly calibrated. Larger marks hold more verdicts."
        heading(figure, title, f"{explained} {note}".strip())
    errors = {judge: expected_error(bins[bins["judge"] == judge]) for judge in judges}
    said = "; ".join(
        f"{judge_label(judge)} expected calibration error {error:.3f}"
        for judge, error in errors.items()
    )
    return Drawing(name, title, f"Reliability plot. {said}.", figure, bins)


def _reliability(axes: Axes, bins: pd.DataFrame, ink: str, marker: str) -> Line2D:
    """Draw one judge's bins; return its entry in the legend."""
    axes.plot(bins["confidence"], bins["accuracy"], color=ink, linewidth=0.8, alpha=0.6)
    axes.scatter(
        bins["confidence"],
        bins["accuracy"],
        s=14 + 160 * bins["n"] / bins["n"].sum(),
        marker=marker,
        color=ink,
        edgecolors=INK,
        linewidths=0.5,
        zorder=3,
    )
    judge, n = judge_label(bins["judge"].iloc[0]), int(bins["n"].sum())
    label = f"{judge} (ECE {expected_error(bins):.3f}, n={n})"
    return Line2D([], [], color=ink, marker=marker, mec=INK, mew=0.5, linewidth=0.8, label=label)


def expected_error(bins: pd.DataFrame) -> float:
    """Expected calibration error of one judge's bins; Naeini et al. (2015).

    The mean over items of |share right - mean confidence| of their bin.
    """
    gap = (bins["accuracy"] - bins["confidence"]).abs()
    return float((bins["n"] * gap).sum() / bins["n"].sum())


def draw_audit(audit: pd.DataFrame, *, note: str = "", name: str = "audit") -> Drawing:
    """The audit card: a panel a kind of probe, a point a judge and template with its interval.

    `audit` has judge, probe, kind, template, effect (shares), ci95_low, ci95_high, n; `context`
    rows are left to the table.
    """
    title = "Audit: what moves a verdict that should not"
    rows = audit[audit["effect"].notna() & audit["kind"].ne("context")] if len(audit) else audit
    if rows.empty:
        return not_run(name, title, "no probe results")
    found = set(rows["kind"])
    kinds = [k for k in AUDIT_KINDS if k in found] + sorted(found - set(AUDIT_KINDS))
    sizes = [rows.loc[rows["kind"] == k, "probe"].nunique() for k in kinds]
    with styled():
        figure = new_figure(8.4, 1.4 + 0.3 * sum(sizes) + 0.55 * len(kinds))
        heights = [n + 0.6 for n in sizes]
        axes = figure.subplots(len(kinds), 1, height_ratios=heights, squeeze=False)[:, 0]
        for panel, kind in zip(axes, kinds):
            _audit_panel(panel, rows[rows["kind"] == kind], order_judges(rows["judge"]))
            panel.set_title(AUDIT_KINDS.get(kind, kind), fontsize=9.5)
        explained = "Filled: escaping template, hollow: plain template."
        heading(figure, title, f"Shares with 95 % intervals. {explained} {note}".strip())
        _audit_legend(figure, rows)
    said = "; ".join(
        f"{r.probe} ({r.template}) {r.effect:+.3f} for {judge_label(r.judge)}"
        for r in rows.itertuples()
    )
    return Drawing(name, title, f"Audit effects. {said}.", figure, audit)


def _audit_panel(axes: Axes, rows: pd.DataFrame, judges: list[str]) -> None:
    probes = list(dict.fromkeys(rows["probe"]))
    templates = list(dict.fromkeys(rows["template"]))
    found = set(zip(rows["judge"], rows["template"]))
    series = [(j, t) for j in judges for t in templates if (j, t) in found]
    axes.axvline(0, color=QUIET, linewidth=1)
    for index, (judge, template) in enumerate(series):
        mine = rows[(rows["judge"] == judge) & (rows["template"] == template)]
        middle = np.array([probes.index(p) for p in mine["probe"]])
        y = middle + (index - (len(series) - 1) / 2) * 0.22
        ink = colours(judges)[judge]
        draw_intervals(axes, mine, y, ink, 1.5)
        axes.plot(
            mine["effect"],
            y,
            linestyle="",
            marker="o",
            color=ink,
            mfc="white" if template == "plain" else ink,
            mec=ink,
            markersize=5.5,
        )
    axes.set_yticks(range(len(probes)), [p.replace("_", " ") for p in probes], fontsize=8.5)
    axes.set_ylim(len(probes) - 0.4, -0.6)
    light_grid(axes, "x")


def _audit_legend(figure: Figure, rows: pd.DataFrame) -> None:
    judges = order_judges(rows["judge"])
    handles = [Patch(facecolor=colours(judges)[j], label=judge_label(j)) for j in judges]
    figure.legend(handles=handles, loc="outside upper right", ncols=3)


def source_of(record_id: str) -> str:
    """Return the set of a record id, or of the id of a text of it (`<id>#<part>`).

    `halueval-0123456789abcdef` is of `halueval`.
    """
    return str(record_id).split("#")[0].rsplit("-", 1)[0]


def overlap_counts(overlaps: pd.DataFrame, sources: list[str], sets: list[str]) -> pd.DataFrame:
    """Count the training items of each source (rows) that overlap each evaluation set (columns)."""
    counts = pd.DataFrame(0, index=sources, columns=sets)
    if overlaps.empty:
        return counts
    found = overlaps.assign(
        source=overlaps["train_id"].map(source_of), set=overlaps["bench_id"].map(source_of)
    )
    found["item"] = found["train_id"].astype(str).str.split("#").str[0]
    seen = found.groupby(["source", "set"])["item"].nunique().unstack(fill_value=0)
    rows = list(dict.fromkeys([*sources, *seen.index]))
    columns = list(dict.fromkeys([*sets, *seen.columns]))
    return seen.reindex(index=rows, columns=columns, fill_value=0).astype(int)


def draw_contamination(
    overlaps: pd.DataFrame,
    sources: list[str],
    sets: list[str],
    *,
    note: str = "",
    name: str = "contamination",
) -> Drawing:
    """How many training items of each source were found in each evaluation set, by any method.

    Items that were found were removed before training.
    """
    title = "Training items found in evaluation sets"
    counts = overlap_counts(overlaps, sources, sets)
    if counts.empty:
        return not_run(name, title, "no sources or no evaluation sets were compared")
    with styled():
        figure = new_figure(max(5.6, 2.6 + 0.62 * counts.shape[1]), 2.3 + 0.36 * counts.shape[0])
        axes = figure.add_subplot()
        _count_cells(axes, counts.to_numpy())
        axes.set_xticks(
            range(counts.shape[1]), counts.columns, rotation=35, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(counts.shape[0]), counts.index)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        heading(figure, title, f"Exact text, shared 13-grams, near-duplicates. {note}".strip())
    total = int(counts.to_numpy().sum())
    said = f"Table of {counts.shape[0]} sources by {counts.shape[1]} sets; {total} overlaps in all."
    return Drawing(name, title, said, figure, counts.rename_axis("source").reset_index())


def _count_cells(axes: Axes, counts: np.ndarray) -> None:
    """Write each count in a cell that is darker for more, on a logarithmic scale."""
    depth = np.log1p(counts) / max(1.0, float(np.log1p(counts.max())))
    shade = np.where(counts > 0, 0.25 + 0.35 * depth, 0.0)
    axes.imshow(shade, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            ink, weight = (INK, "bold") if n else (QUIET, "normal")
            text = f"{n}" if n else "·"
            axes.text(j, i, text, ha="center", va="center", color=ink, fontweight=weight)
