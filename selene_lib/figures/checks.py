"""Can the numbers be trusted: calibration of the probabilities, and contamination."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from selene_lib.evaluation.metrics import wilson_interval
from selene_lib.figures.drawing import (
    INK,
    QUIET,
    Drawing,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import (
    colours,
    judge_label,
    marker_of,
    one_a_loss,
    short_label,
)
from selene_lib.figures.words import METHODS, words

FEW = 20  # verdicts below which a bin says little: its mark is hollow


def draw_calibration(
    bins: pd.DataFrame | None, *, note: str = "", name: str = "calibration"
) -> Drawing:
    """Reliability plot: share right against the probability of the verdict, a panel a judge.

    `bins` are as `reliability_table` gives them. Of the arms of one loss the first is drawn; the
    CSV holds all. Points have 95 % Wilson intervals; those of few verdicts are hollow.
    """
    title = "Calibration of the verdict probabilities"
    if bins is None or bins.empty:
        return not_run(name, title, "no judge gave verdict probabilities")
    judges = one_a_loss(bins["judge"])
    n_rows = -(-len(judges) // 2)
    with styled():
        figure = new_figure(1.15 + 1.5 * n_rows)
        grid = figure.subplots(n_rows, 2, squeeze=False, sharex=True, sharey=True)
        for panel, judge in zip(grid.ravel(), judges):
            _reliability(panel, bins[bins["judge"] == judge], judge)
        for panel in grid.ravel()[len(judges) :]:
            panel.axis("off")
        figure.supylabel("share that was right", fontsize=7)
        panel = grid[-1, 0]
        panel.set_xlabel("probability given to the verdict")
        explained = (
            "Dotted: perfectly calibrated. Points: bins of a tenth, larger for more verdicts, "
            f"hollow below {FEW}; lines: 95 % intervals. ECE: mean distance to the dotted line."
        )
        heading(figure, title, explained, note)
    errors = {judge: expected_error(bins[bins["judge"] == judge]) for judge in judges}
    said = "; ".join(
        f"{judge_label(judge)} expected calibration error {error:.3f}"
        for judge, error in errors.items()
    )
    return Drawing(name, title, f"Reliability plot. {said}.", figure, bins)


def _reliability(axes: Axes, bins: pd.DataFrame, judge: str) -> None:
    """Draw one judge's bins, each with its interval."""
    ink, total = colours([judge])[judge], bins["n"].sum()
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=0.8)
    for row in bins.itertuples():
        low, high = wilson_interval(row.accuracy * row.n, row.n)
        axes.plot([row.confidence] * 2, [low, high], color=ink, lw=1.1, alpha=0.7)
        axes.plot(
            [row.confidence],
            [row.accuracy],
            marker_of(judge),
            color=ink,
            mfc="white" if row.n < FEW else ink,
            ms=3 + 5 * np.sqrt(row.n / total),
            clip_on=False,
            zorder=3,
        )
    axes.set_xlim(0, 1.03)
    axes.set_ylim(0, 1.03)
    light_grid(axes, "y")
    n = f"{int(total):,} verdicts, ECE {expected_error(bins):.2f}"
    axes.set_title(f"{short_label(judge)}\n{n}", fontsize=7, fontweight="normal")


def expected_error(bins: pd.DataFrame) -> float:
    """Expected calibration error of one judge's bins; Naeini et al. (2015).

    The mean over items of |share right - mean confidence| of their bin.
    """
    gap = (bins["accuracy"] - bins["confidence"]).abs()
    return float(np.average(gap, weights=bins["n"]))


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
    removed: Mapping[str, int] | None = None,
    note: str = "",
    name: str = "contamination",
) -> Drawing:
    """How many training items of each source were found in each evaluation set, by any method.

    `overlaps` has train_id, bench_id and method. `removed` counts the items that were taken out
    before training, by method; the others are reported only.
    """
    title = "Training items that share text with evaluation sets"
    counts = overlap_counts(overlaps, sources, sets)
    if counts.empty:
        return not_run(name, title, "no sources or no evaluation sets were compared")
    with styled():
        longest = max(map(len, counts.columns))
        figure = new_figure(1.3 + 0.06 * longest + 0.17 * counts.shape[0])
        axes = figure.add_subplot()
        _count_cells(axes, counts.to_numpy())
        axes.set_xticks(range(counts.shape[1]), counts.columns, rotation=90)
        axes.set_yticks(range(counts.shape[0]), counts.index)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        sides = "Rows: training sources. Columns: evaluation sets."
        heading(figure, title, sides, _found_by(overlaps), _taken_out(removed), note)
    total = int(counts.to_numpy().sum())
    said = f"Table of {counts.shape[0]} sources by {counts.shape[1]} sets; {total} overlaps in all."
    return Drawing(name, title, said, figure, counts.rename_axis("source").reset_index())


def _found_by(overlaps: pd.DataFrame) -> str:
    """How many training items each method found, in words."""
    if overlaps.empty or "method" not in overlaps:
        return "Compared as: " + ", ".join(METHODS.values()) + "."
    items = overlaps["train_id"].astype(str).str.split("#").str[0]
    n_items = items.groupby(overlaps["method"]).nunique().sort_values(ascending=False)
    named = [f"{words(METHODS, str(method))} ({n:,})" for method, n in n_items.items()]
    return f"Items found, by what they share: {', '.join(named)}."


def _taken_out(removed: Mapping[str, int] | None) -> str:
    if removed is None:
        return ""
    named = [f"{n:,} as {words(METHODS, method)}" for method, n in removed.items() if n]
    return f"Taken out before training: {', '.join(named) or 'none'}; the rest is reported only."


def _count_cells(axes: Axes, counts: np.ndarray) -> None:
    """Write each count in a cell that is darker for more, on a logarithmic scale."""
    depth = np.log1p(counts) / max(1.0, float(np.log1p(counts.max())))
    shade = np.where(counts > 0, 0.2 + 0.35 * depth, 0.0)
    axes.imshow(shade, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    for i, row in enumerate(counts):
        for j, n in enumerate(row):
            ink = INK if n else QUIET
            axes.text(j, i, f"{n}" if n else "·", ha="center", va="center", color=ink)
