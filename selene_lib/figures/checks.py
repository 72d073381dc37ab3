"""Can the numbers be trusted: calibration, the audit card, contamination."""

from __future__ import annotations

import numpy as np
import pandas as pd

from selene_lib.figures.drawing import INK, QUIET, Drawing, heading, light_grid, new_figure, not_run, styled
from selene_lib.figures.judges import colours, judge_label, order_judges

EFFECT = ("effect", "value", "estimate", "bias", "rate")


def draw_calibration(bins: pd.DataFrame | None, *, note: str = "", name: str = "calibration") -> Drawing:
    """Reliability plot: share right against the probability of the verdict, one line a judge; `bins` as `reliability_table` gives them."""
    title = "Calibration of the verdict probabilities"
    if bins is None or bins.empty:
        return not_run(name, title, "no judge gave verdict probabilities")
    judges = order_judges(bins["judge"])
    with styled():
        figure = new_figure(6.4, 5.2)
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=QUIET, linestyle=":", linewidth=1)
        for index, judge in enumerate(judges):
            mine = bins[bins["judge"] == judge]
            label = f"{judge_label(judge)} (ECE {expected_error(mine):.3f}, n={int(mine['n'].sum())})"
            axes.plot(
                mine["confidence"],
                mine["accuracy"],
                marker="os^Dv<>P"[index % 8],
                color=colours(judges)[judge],
                mec=INK,
                mew=0.5,
                linewidth=1.2,
                label=label,
            )
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("probability the judge gave its verdict")
        axes.set_ylabel("share of those verdicts that were right")
        light_grid(axes, "y")
        axes.legend(loc="upper left", fontsize=8)
        heading(figure, title, f"Dotted: perfectly calibrated. {note}".strip())
    said = "; ".join(f"{judge_label(j)} expected calibration error {expected_error(bins[bins['judge'] == j]):.3f}" for j in judges)
    return Drawing(name, title, f"Reliability plot. {said}.", figure, bins)


def expected_error(bins: pd.DataFrame) -> float:
    """Expected calibration error of one judge's bins: mean over items of |share right - confidence| (Naeini et al. 2015)."""
    return float((bins["n"] * (bins["accuracy"] - bins["confidence"]).abs()).sum() / bins["n"].sum())


def draw_audit(audit: pd.DataFrame, *, note: str = "", name: str = "audit") -> Drawing:
    """The audit card: one row a probe, the effect of each judge with its interval; zero means unmoved."""
    title = "Audit: what moves a verdict that should not"
    column = next((c for c in EFFECT if c in audit), None)
    if column is None or audit.empty or audit[column].isna().all():
        return not_run(name, title, "no probe results")
    rows = audit[audit[column].notna()].copy()
    rows["_probe"] = rows[[c for c in ("probe", "metric", "template") if c in rows]].astype(str).agg(" · ".join, axis=1)
    judges, probes = order_judges(rows["judge"]), list(dict.fromkeys(rows["_probe"]))
    with styled():
        figure = new_figure(8.4, 1.6 + 0.36 * len(probes))
        axes = figure.add_subplot()
        axes.axvline(0, color=QUIET, linewidth=1)
        for index, judge in enumerate(judges):
            mine = rows[rows["judge"] == judge].drop_duplicates("_probe").set_index("_probe").reindex(probes)
            y = np.arange(len(probes)) + (index - (len(judges) - 1) / 2) * 0.24
            if {"ci95_low", "ci95_high"} <= set(mine):
                axes.hlines(y, mine["ci95_low"].astype(float), mine["ci95_high"].astype(float), color=colours(judges)[judge], linewidth=1.6)
            axes.plot(
                mine[column].astype(float),
                y,
                linestyle="",
                marker="os^Dv<>P"[index % 8],
                color=colours(judges)[judge],
                mec=INK,
                mew=0.5,
                label=judge_label(judge),
            )
        axes.set_yticks(range(len(probes)), probes, fontsize=8.5)
        axes.set_ylim(len(probes) - 0.4, -0.6)
        axes.set_xlabel(f"{column}, 95 % interval")
        light_grid(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
        heading(figure, title, note)
    said = "; ".join(f"{p} {v:.3f} ({judge_label(j)})" for p, v, j in zip(rows["_probe"], rows[column], rows["judge"]))
    return Drawing(name, title, f"Effects of {len(probes)} probes. {said}.", figure, audit)


def source_of(record_id: str) -> str:
    """Return the set a record id belongs to: `halueval-0123456789abcdef` is of `halueval`."""
    return str(record_id).rsplit("-", 1)[0]


def overlap_counts(overlaps: pd.DataFrame, sources: list[str], sets: list[str]) -> pd.DataFrame:
    """Count the training items of each source (rows) that overlap each evaluation set (columns); pairs without a finding are 0."""
    counts = pd.DataFrame(0, index=sources, columns=sets)
    if overlaps.empty:
        return counts
    found = overlaps.assign(source=overlaps["train_id"].map(source_of), set=overlaps["bench_id"].map(source_of))
    seen = found.groupby(["source", "set"])["train_id"].nunique().unstack(fill_value=0)
    rows, columns = list(dict.fromkeys([*sources, *seen.index])), list(dict.fromkeys([*sets, *seen.columns]))
    return seen.reindex(index=rows, columns=columns, fill_value=0).astype(int)


def draw_contamination(
    overlaps: pd.DataFrame, sources: list[str], sets: list[str], *, note: str = "", name: str = "contamination"
) -> Drawing:
    """How many training items of each source were found in each evaluation set, by any method; found items were removed before training."""
    title = "Training items found in evaluation sets"
    counts = overlap_counts(overlaps, sources, sets)
    if counts.empty:
        return not_run(name, title, "no sources or no evaluation sets were compared")
    with styled():
        figure = new_figure(max(5.6, 2.6 + 0.62 * counts.shape[1]), 2.3 + 0.36 * counts.shape[0])
        axes = figure.add_subplot()
        shade = np.where(counts.to_numpy() > 0, 0.25 + 0.35 * np.log1p(counts) / max(1.0, float(np.log1p(counts.to_numpy().max()))), 0.0)
        axes.imshow(shade, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
        for i, row in enumerate(counts.to_numpy()):
            for j, n in enumerate(row):
                axes.text(
                    j, i, f"{n}" if n else "·", ha="center", va="center", color=INK if n else QUIET, fontweight="bold" if n else "normal"
                )
        axes.set_xticks(range(counts.shape[1]), counts.columns, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(counts.shape[0]), counts.index)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        heading(figure, title, f"Exact text, shared 13-grams, near-duplicates. {note}".strip())
    total = int(counts.to_numpy().sum())
    table = counts.rename_axis("source").reset_index()
    return Drawing(
        name, title, f"Table of {counts.shape[0]} sources by {counts.shape[1]} sets; {total} overlaps found in all.", figure, table
    )
