"""Training curves, the ablation of sources and the reward threshold."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from selene_lib.figures.drawing import (
    BLUE,
    INK,
    QUIET,
    RED,
    TRAINED,
    Drawing,
    draw_intervals,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import LOSS_NAMES

LOSS_LOOK = {"dpo_nll": (TRAINED, "-"), "dpo": ("#0072B2", "--"), "nll": ("#D55E00", ":")}
PANELS = (
    ("loss", "training loss"),
    ("nll", "NLL of the chosen reply (nats a token)"),
    ("margin", "reward margin, chosen - rejected"),
    ("reward_accuracy", "share of pairs ranked right"),
    ("learning_rate", "learning rate"),
)
MACHINE_PANELS = (
    ("tokens_per_second", "tokens a second", 1.0),
    ("peak_memory_bytes", "peak memory of the process, GiB", 2.0**30),
)


def draw_training_curves(
    training: pd.DataFrame, *, note: str = "", name: str = "training_curves"
) -> Drawing:
    """Loss, NLL, margin, reward accuracy and learning rate by step, one line an arm.

    Seeds of a loss look the same. `training` is long: arm, loss_kind, seed, step and any of loss,
    nll, margin, reward_accuracy, learning_rate. Lines are running means over a twentieth of the
    steps; the CSV holds what was logged.
    """
    title = "Training curves"
    logged = [column for column in training if training[column].notna().any()]
    panels = [(column, label) for column, label in PANELS if column in logged]
    if not panels:
        return not_run(name, title, "no training log")
    n_rows = (len(panels) + 1) // 2
    with styled():
        figure = new_figure(9.0, 1.0 + 2.5 * n_rows)
        axes = figure.subplots(n_rows, 2, squeeze=False).ravel()
        for panel, (column, label) in zip(axes, panels):
            _curves(panel, training, column)
            panel.set_title(label, fontsize=9.5)
            panel.set_xlabel("step")
            light_grid(panel, "y")
        for panel in axes[len(panels) :]:
            panel.axis("off")
        _legend(figure, axes[0])
        heading(figure, title, note)
    column, label = max(panels, key=lambda panel: panel[0] == "reward_accuracy")
    ends = training.groupby("arm", sort=False)[column].last()
    # NLL alone has no reference to rank pairs against
    said = "; ".join(f"{arm} {value:.3f}" for arm, value in ends.dropna().items())
    alt = f"Curves of {len(ends)} arms. Last {label}: {said}."
    return Drawing(name, title, alt, figure, training)


def draw_telemetry(telemetry: pd.DataFrame, *, note: str = "", name: str = "telemetry") -> Drawing:
    """Tokens a second and peak memory by step, one line an arm: what this machine did.

    It differs from run to run. `telemetry` is long: arm, loss_kind, step, tokens_per_second,
    peak_memory_bytes.
    """
    title = "Speed and memory of the training"
    if telemetry.empty:
        return not_run(name, title, "no telemetry")
    with styled():
        figure = new_figure(9.0, 3.2)
        for panel, (column, label, unit) in zip(figure.subplots(1, 2), MACHINE_PANELS):
            _curves(panel, telemetry.assign(**{column: telemetry[column] / unit}), column)
            panel.set_title(label, fontsize=9.5)
            panel.set_xlabel("step")
            panel.set_ylim(bottom=0)
            light_grid(panel, "y")
        _legend(figure, figure.axes[0])
        heading(figure, title, note)
    medians = telemetry.groupby("arm", sort=False)["tokens_per_second"].median()
    said = "; ".join(f"{arm} {value:,.0f}" for arm, value in medians.items())
    alt = f"Curves of {len(medians)} arms. Median tokens a second: {said}."
    return Drawing(name, title, alt, figure, telemetry)


def _curves(axes: Axes, training: pd.DataFrame, column: str) -> None:
    for (_arm, loss), mine in training.groupby(["arm", "loss_kind"], sort=False):
        colour, line = LOSS_LOOK.get(loss, (QUIET, "-."))
        width = max(1, len(mine) // 20)
        smooth = mine[column].astype(float).rolling(width, min_periods=1, center=True).mean()
        axes.plot(
            mine["step"],
            smooth,
            color=colour,
            linestyle=line,
            linewidth=1.3,
            alpha=0.85,
            label=LOSS_NAMES.get(loss, loss),
        )


def _legend(figure: Figure, axes: Axes) -> None:
    """One entry a loss, whatever the number of its arms."""
    handles, labels = axes.get_legend_handles_labels()
    first = dict(zip(reversed(labels), reversed(handles)))
    figure.legend(
        handles=list(first.values()), labels=list(first), loc="outside upper right", ncols=3
    )


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
        (rows[left_out], "source", "what the source adds: accuracy with it less without it"),
        (rows[~left_out], "arm", "what the arm does: its accuracy less that of all sources"),
    ]
    parts = [part for part in parts if len(part[0])]
    with styled():
        figure = new_figure(8.2, 1.0 + 0.3 * len(rows) + 0.75 * len(parts))
        heights = [len(mine) + 0.8 for mine, _, _ in parts]
        axes = figure.subplots(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
        for panel, (mine, column, label) in zip(axes, parts):
            _effects(panel, mine, column)
            panel.set_xlabel(f"{label}, paired 95 % interval")
        explained = "Right of zero helps, left of it harms. A red cross marks what was dropped."
        heading(figure, title, f"{explained} {note}".strip())
    names = rows["source"].where(left_out, rows["arm"])
    said = "; ".join(f"{name} {effect:+.3f}" for name, effect in zip(names, rows["effect"]))
    return Drawing(name, title, f"Effects of {len(rows)} arms: {said}.", figure, ablation)


def _effects(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    y = np.arange(len(rows))
    decisions = [""] * len(rows)
    if "decision" in rows:
        decisions = rows["decision"].fillna("").astype(str).tolist()
    looks = [(RED, "X") if decision.startswith("drop") else (INK, "o") for decision in decisions]
    axes.axvline(0, color=QUIET, linewidth=1)
    draw_intervals(axes, rows, y, [ink for ink, _ in looks], 2)
    for position, effect, (ink, marker) in zip(y, rows["effect"], looks):
        axes.plot(
            [effect], [position], marker=marker, color=ink, markersize=9, mec="white", mew=0.8
        )
    said = [f"  [{decision}]" if decision else "" for decision in decisions]
    axes.set_yticks(y, [f"{label}{decision}" for label, decision in zip(rows[column], said)])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.08)
    light_grid(axes, "x")


def draw_rewards(rewards: pd.DataFrame, *, note: str = "", name: str = "rewards") -> Drawing:
    """Histograms of the reward by source, chosen blue and rejected red dashed.

    `rewards` has source, side, low, high, n: one row a bin.
    """
    title = "Rewards of chosen and rejected replies"
    if rewards.empty or not rewards["n"].sum():
        return not_run(name, title, "no reward model scored the pairs")
    sources = list(dict.fromkeys(rewards["source"]))
    n_columns = min(3, len(sources))
    n_rows = -(-len(sources) // n_columns)
    with styled():
        figure = new_figure(9.0, 1.2 + 1.5 * n_rows)
        panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True).ravel()
        for panel, source in zip(panels, sources):
            _histogram(panel, _side(rewards, source, "chosen"), BLUE, "-")
            _histogram(panel, _side(rewards, source, "rejected"), RED, "--")
            panel.set_title(source, fontsize=9)
            panel.set_yticks([])
            panel.spines["left"].set_visible(False)
        for panel in panels[len(sources) :]:
            panel.axis("off")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles=handles, labels=labels, loc="outside upper right", ncols=2)
        explained = "Number of pairs by the reward model's score, each panel on its own height."
        heading(figure, title, f"{explained} {note}".strip())
    means = []
    for source in sources:
        chosen = _mean_reward(_side(rewards, source, "chosen"))
        rejected = _mean_reward(_side(rewards, source, "rejected"))
        means.append(f"{source} {chosen} against {rejected}")
    said = f"Mean reward, chosen against rejected: {'; '.join(means)}."
    return Drawing(name, title, f"Histograms of {len(sources)} sources. {said}", figure, rewards)


def _side(rewards: pd.DataFrame, source: str, side: str) -> pd.DataFrame:
    mine = rewards[(rewards["source"] == source) & (rewards["side"] == side)]
    return mine.sort_values("low")


def _histogram(axes: Axes, bins: pd.DataFrame, colour: str, line: str) -> None:
    if bins.empty:
        return
    edges, label = [*bins["low"], bins["high"].iloc[-1]], bins["side"].iloc[0]
    axes.stairs(bins["n"], edges, color=colour, linestyle=line, linewidth=1.4, label=label)


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
        figure = new_figure(7.2, 3.7)
        axes = figure.add_subplot()
        if {"ci95_low", "ci95_high"} <= set(rows):
            low, high = rows["ci95_low"].astype(float), rows["ci95_high"].astype(float)
            axes.vlines(x, low, high, color=INK, linewidth=1.6)
        axes.plot(x, rows["accuracy"], marker="o", color=INK, linewidth=1)
        axes.set_xticks(x, [f"{t}\n{int(n):,} pairs" for t, n in zip(names, rows["n_pairs"])])
        axes.set_xlabel("threshold")
        axes.set_ylabel("accuracy, development items")
        axes.margins(x=0.08, y=0.15)
        if "decision" in rows:
            picked = rows["decision"].eq("chosen").to_numpy()
        else:
            picked = rows["threshold"].eq(chosen).to_numpy()
        _ring(axes, x[picked], rows["accuracy"][picked])
        light_grid(axes, "y")
        heading(figure, title, note)
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
        markersize=15,
        mfc="none",
        mec=RED,
        mew=2,
        linestyle="",
        label="chosen",
    )
    axes.legend(loc="best")
