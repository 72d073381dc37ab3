"""Training curves, the ablation of sources and the reward threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from selene_lib.figures.drawing import (
    BLUE,
    INK,
    QUIET,
    RED,
    Drawing,
    draw_intervals,
    heading,
    key_of_grid,
    light_grid,
    new_figure,
    not_run,
    rows_of_bars,
    styled,
)
from selene_lib.figures.judges import LOSS_NAMES, METHODS, OTHER
from selene_lib.figures.words import set_label

LineStyle = Literal["-", "-.", ":"] | tuple[float, tuple[float, float]]
LINES: dict[str, LineStyle] = {"dpo_nll": "-", "dpo": (0, (4, 1.5)), "nll": (0, (1, 1))}
PANELS = (
    ("dpo", "preference loss, nats"),
    ("nll", "chosen: NLL, nats a token"),
    ("margin", "reward margin, nats"),
    ("reward_accuracy", "pairs ranked right, share"),
    ("learning_rate", "learning rate"),
)
MACHINE_PANELS = (
    ("tokens_per_second", "tokens a second", 1.0),
    ("peak_memory_bytes", "peak memory, GiB", 2.0**30),
)


def draw_training_curves(
    training: pd.DataFrame, *, note: str = "", name: str = "training_curves"
) -> Drawing:
    """The parts of the loss, margin, reward accuracy and learning rate by step, one line an arm.

    Seeds of a loss look the same. `training` is long: arm, loss_kind, seed, step and any of dpo,
    nll, margin, reward_accuracy, learning_rate. The sums of other losses are on no common scale, so
    their parts are drawn. Lines are running means over a twentieth of the steps (`n_smoothed`), and
    the picture says so; the CSV holds what was logged.
    """
    title = "Training curves"
    logged = [column for column in training if training[column].notna().any()]
    panels = [(column, label) for column, label in PANELS if column in logged]
    if not panels:
        return not_run(name, title, "no training log")
    n_rows = len(panels) // 2 + 1
    with styled():
        figure = new_figure(0.7 + 1.25 * n_rows)
        axes = figure.subplots(n_rows, 2, squeeze=False).ravel()
        for panel, (column, label) in zip(axes, panels):
            _curves(panel, training, column)
            panel.set_title(label, fontsize=7, fontweight="normal")
            panel.set_xlabel("step")
            light_grid(panel, "y")
        for panel in axes[len(panels) :]:
            panel.axis("off")
        _legend(axes[len(panels)], training)
        heading(figure, title, _smoothing(training), note)
    column, label = max(panels, key=lambda panel: panel[0] == "reward_accuracy")
    ends = training.groupby("arm", sort=False)[column].last()
    # NLL alone has no reference to rank pairs against
    said = "; ".join(f"{arm} {value:.3f}" for arm, value in ends.dropna().items())
    alt = f"Curves of {len(ends)} arms. Last {label}: {said}."
    return Drawing(name, title, alt, figure, training)


def n_smoothed(n_logged: int) -> int:
    """Return over how many logged steps a curve is averaged: a twentieth, at least one."""
    return max(1, n_logged // 20)


def _smoothing(training: pd.DataFrame) -> str:
    n = n_smoothed(int(training.groupby("arm").size().max()))
    if n == 1:
        return "One line a seed, as logged."
    return f"One line a seed: the centred mean over {n} logged steps. The CSV has each step."


def draw_telemetry(telemetry: pd.DataFrame, *, note: str = "", name: str = "telemetry") -> Drawing:
    """Tokens a second and peak memory by step, one line an arm: what this machine did.

    It differs from run to run. `telemetry` is long: arm, loss_kind, step, tokens_per_second,
    peak_memory_bytes.
    """
    title = "Speed and memory of the training"
    if telemetry.empty:
        return not_run(name, title, "no telemetry")
    with styled():
        figure = new_figure(2.3)
        panels = figure.subplots(1, 2)
        for panel, (column, label, unit) in zip(panels, MACHINE_PANELS):
            _curves(panel, telemetry.assign(**{column: telemetry[column] / unit}), column)
            panel.set_title(label, fontsize=7, fontweight="normal")
            panel.set_xlabel("step")
            panel.set_ylim(bottom=0)
            light_grid(panel, "y")
        heading(figure, title, _smoothing(telemetry), note)
        key_of_grid(figure, _losses(telemetry), 2)
    medians = telemetry.groupby("arm", sort=False)["tokens_per_second"].median()
    said = "; ".join(f"{arm} {value:,.0f}" for arm, value in medians.items())
    alt = f"Curves of {len(medians)} arms. Median tokens a second: {said}."
    return Drawing(name, title, alt, figure, telemetry)


def _curves(axes: Axes, training: pd.DataFrame, column: str) -> None:
    for (_arm, loss), mine in training.groupby(["arm", "loss_kind"], sort=False):
        width = n_smoothed(len(mine))
        smooth = mine[column].astype(float).rolling(width, min_periods=1, center=True).mean()
        ink, line = METHODS.get(loss, OTHER), LINES.get(loss, "-.")
        axes.plot(mine["step"], smooth, color=ink, linestyle=line, linewidth=0.9, alpha=0.85)


def _losses(training: pd.DataFrame) -> list[Line2D]:
    """One entry a loss, with the number of its seeds."""
    handles = []
    for loss, mine in training.groupby("loss_kind", sort=False):
        n_seeds = mine["arm"].nunique()
        label = f"{LOSS_NAMES.get(loss, loss)}, {n_seeds} seed{'s' if n_seeds > 1 else ''}"
        ink, line = METHODS.get(loss, OTHER), LINES.get(loss, "-.")
        handles.append(Line2D([], [], lw=1.2, color=ink, linestyle=line, label=label))
    return handles


def _legend(axes: Axes, training: pd.DataFrame) -> None:
    """The legend takes the place of a panel."""
    axes.legend(handles=_losses(training), loc="center left", handlelength=2.4)


def draw_ablation(ablation: pd.DataFrame, *, note: str = "", name: str = "ablation") -> Drawing:
    """What each source adds, and what each other arm does, with intervals.

    `ablation` has arm, kind, source, effect, ci95_low, ci95_high, decision. The effect of a
    `leave_out` arm is that of its source (all sources less the arm without it), that of any other
    arm its own (the arm less all sources).
    """
    title = "Ablation of the training sources"
    rows = ablation[ablation["effect"].notna()] if len(ablation) else ablation
    if rows.empty:
        return not_run(name, title, "no ablation arm was trained")
    left_out = rows["kind"].eq("leave_out")
    parts = [
        (rows[left_out], "source", "accuracy with the source minus without it"),
        (rows[~left_out], "arm", "accuracy with this filter minus without one"),
    ]
    parts = [part for part in parts if len(part[0])]
    with styled():
        figure = new_figure(0.95 + 0.18 * len(rows) + 0.4 * len(parts))
        heights = [len(mine) + 0.8 for mine, _, _ in parts]
        grid = figure.subplots(len(parts), 1, height_ratios=heights, squeeze=False, sharex=True)
        for panel, (mine, column, label) in zip(grid[:, 0], parts):
            _effects(panel, mine, column)
            panel.set_xlabel(label)
            panel.tick_params(labelbottom=True)
        explained = "Right of zero helps, left of it harms. Lines: paired 95 % intervals."
        heading(figure, title, explained, "A red cross marks a source that was dropped.", note)
    names = rows["source"].where(left_out, rows["arm"])
    said = "; ".join(f"{name} {effect:+.3f}" for name, effect in zip(names, rows["effect"]))
    return Drawing(name, title, f"Effects of {len(rows)} arms: {said}.", figure, ablation)


def _effects(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    y = np.arange(len(rows))
    decisions = [""] * len(rows)
    if "decision" in rows:
        decisions = rows["decision"].fillna("").astype(str).tolist()
    looks = [(RED, "X") if decision.startswith("drop") else (INK, "o") for decision in decisions]
    axes.axvline(0, color=QUIET, linewidth=0.8)
    draw_intervals(axes, rows, y, [ink for ink, _ in looks], 1.4)
    for position, effect, (ink, marker) in zip(y, rows["effect"], looks):
        axes.plot([effect], [position], marker, color=ink, ms=5, mec="white", mew=0.5, zorder=5)
    names = [set_label(str(label), 40).replace("reward >=", "reward ≥") for label in rows[column]]
    said = [" (dropped)" if decision.startswith("drop") else "" for decision in decisions]
    rows_of_bars(axes, [f"{name}{decision}" for name, decision in zip(names, said)])
    axes.margins(x=0.08)


def draw_rewards(
    rewards: pd.DataFrame,
    *,
    thresholds: Mapping[float, bool] | None = None,
    note: str = "",
    name: str = "rewards",
) -> Drawing:
    """Histograms of the reward by source, chosen blue and rejected red dashed.

    `rewards` has source, side, low, high, n: one row a bin. `thresholds` are the rewards below
    which pairs would be dropped, and whether each was chosen: lines, full for the chosen one.
    """
    title = "Rewards of chosen and rejected replies"
    if rewards.empty or not rewards["n"].sum():
        return not_run(name, title, "no reward model scored the pairs")
    sources = list(dict.fromkeys(rewards["source"]))
    n_columns = min(3, len(sources))
    n_rows = -(-len(sources) // n_columns)
    with styled():
        figure = new_figure(1.15 + 0.72 * n_rows)
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True).ravel()
        for panel, source in zip(panels, sources):
            _histogram(panel, _side(rewards, source, "chosen"), BLUE, "-")
            _histogram(panel, _side(rewards, source, "rejected"), RED, (0, (3, 1)))
            for value, is_chosen in (thresholds or {}).items():
                panel.axvline(value, color=INK, lw=0.8, ls="-" if is_chosen else ":")
            panel.set_title(set_label(source, 30), fontsize=7, fontweight="normal")
            panel.set_yticks([])
            panel.spines["left"].set_visible(False)
        for panel in panels[len(sources) :]:
            panel.axis("off")
        figure.supylabel("pairs (own height a panel)", fontsize=7, color=QUIET)
        handles, _ = panels[0].get_legend_handles_labels()
        explained = "Across: the score of the reward model, the same in all panels."
        heading(figure, title, explained, note)
        key_of_grid(figure, [*handles, *_threshold_key(thresholds or {})], 4)
    means = []
    for source in sources:
        chosen = _mean_reward(_side(rewards, source, "chosen"))
        rejected = _mean_reward(_side(rewards, source, "rejected"))
        means.append(f"{source} {chosen} against {rejected}")
    said = f"Mean reward, chosen against rejected: {'; '.join(means)}."
    return Drawing(name, title, f"Histograms of {len(sources)} sources. {said}", figure, rewards)


def _threshold_key(thresholds: Mapping[float, bool]) -> list[Line2D]:
    handles = []
    for chosen in dict.fromkeys(thresholds.values()):
        label = "threshold, chosen" if chosen else "threshold, tried"
        handles.append(Line2D([], [], color=INK, lw=0.8, ls="-" if chosen else ":", label=label))
    return handles


def _side(rewards: pd.DataFrame, source: str, side: str) -> pd.DataFrame:
    mine = rewards[(rewards["source"] == source) & (rewards["side"] == side)]
    return mine.sort_values("low")


def _histogram(axes: Axes, bins: pd.DataFrame, colour: str, line: LineStyle) -> None:
    if bins.empty:
        return
    edges, label = [*bins["low"], bins["high"].iloc[-1]], bins["side"].iloc[0]
    axes.stairs(bins["n"], edges, color=colour, linestyle=line, linewidth=1.0, label=label)


def _mean_reward(bins: pd.DataFrame) -> str:
    if not bins["n"].sum():
        return "none"
    return f"{np.average((bins['low'] + bins['high']) / 2, weights=bins['n']):.2f}"


def draw_threshold(
    sweep: pd.DataFrame,
    *,
    chosen: float | Mapping[str, float] | None = None,
    note: str = "",
    name: str = "threshold",
) -> Drawing:
    """Accuracy against the reward threshold with its interval and the pairs left.

    `sweep` has threshold (NaN: no filter), n_pairs, accuracy, ci95_low, ci95_high; marked is the
    row whose decision is `chosen`, or, where the table names no decision, whose threshold is
    `chosen`.
    """
    title = "Reward threshold"
    rows = sweep[sweep["accuracy"].notna()] if len(sweep) else sweep
    if rows.empty:
        return not_run(name, title, "no threshold sweep")
    names = ["none" if pd.isna(t) else f"{t:.3g}" for t in rows["threshold"]]
    x = np.arange(len(rows))
    with styled():
        figure = new_figure(2.5)
        axes = figure.add_subplot()
        if {"ci95_low", "ci95_high"} <= set(rows):
            low, high = rows["ci95_low"].astype(float), rows["ci95_high"].astype(float)
            axes.vlines(x, low, high, color=INK, linewidth=1.2)
        axes.plot(x, rows["accuracy"], "o", color=INK, ms=4)
        axes.set_xticks(x, [f"{t}\n{int(n):,} pairs" for t, n in zip(names, rows["n_pairs"])])
        axes.set_xlabel("least reward of a chosen reply")
        axes.set_ylabel("accuracy on development items")
        axes.margins(x=0.12, y=0.15)
        if "decision" in rows:
            picked = rows["decision"].eq("chosen").to_numpy()
        else:
            picked = rows["threshold"].eq(chosen).to_numpy()
        _ring(axes, x[picked], rows["accuracy"][picked])
        light_grid(axes, "y")
        heading(figure, title, "Lines: 95 % intervals over items.", note)
    said = "; ".join(
        f"{t}: {a:.3f} with {int(n)} pairs"
        for t, a, n in zip(names, rows["accuracy"], rows["n_pairs"])
    )
    return Drawing(name, title, f"Accuracy by reward threshold. {said}.", figure, sweep)


def _ring(axes: Axes, x: np.ndarray, y: pd.Series) -> None:
    """Circle the chosen points in red, with a legend; nothing where there is none."""
    if not len(x):
        return
    axes.plot(
        x,
        y,
        marker="o",
        markersize=9,
        mfc="none",
        mec=RED,
        mew=1.4,
        linestyle="",
        label="chosen",
    )
    axes.legend(loc="best")
