"""Fig. 3: the two domains (a), prompt formats (b), the arena (c)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from selene_lib.figures.drawing import (
    BLUE,
    INK,
    MUTED,
    QUIET,
    Drawing,
    baseline_mark,
    draw_baseline,
    draw_intervals,
    heading,
    light_grid,
    new_figure,
    not_run,
    published_mark,
    styled,
)
from selene_lib.figures.judges import colours, judge_label, order_judges
from selene_lib.figures.results import meta_of
from selene_lib.judges.names import is_base, main_judge


def domain_rows(domain_scores: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy rows of a domain table, with the columns part, reading, why, majority.

    Takes rows of `records.Score`, whose meta names part and reading.
    """
    rows = domain_scores[domain_scores["metric"].eq("accuracy")].copy()
    meta = rows["meta"].map(meta_of)
    for name in ("part", "reading", "why"):
        rows[name] = [cell.get(name, "") for cell in meta]
    return rows.rename(columns={"baseline_majority": "majority"})


def first_readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep of each set and part the first reading, and of a set scored as a whole only the whole.

    The other readings and the parts of such a set (its configurations) stay in the CSV.
    """
    if "reading" not in rows:
        return rows
    part = rows["part"].fillna("")
    whole = part.eq("all").groupby(rows["set"]).transform("any")
    rows = rows[part.eq("all") | ~whole]
    by_part = rows.fillna({"part": ""}).groupby(["set", "part"], sort=False)
    first = by_part["reading"].transform("first")
    return rows[rows["reading"].eq(first) | rows["reading"].isna()]


def part_name(set_name: str, part: str | None) -> str:
    """Name a set with its part as published cells do: `craft_md:history`.

    The whole, and the mean over the parts, have the name of the set.
    """
    return set_name if not part or part in ("all", "overall") else f"{set_name}:{part}"


def draw_domains(domain_scores: pd.DataFrame, *, note: str = "", name: str = "fig3a") -> Drawing:
    """Fig. 3a: accuracy on the domain sets, base and trained, beside baseline and published value.

    `domain_scores` has the columns of `records.Score`.
    """
    title = "Fig. 3a  Accuracy on the domain sets"
    table = domain_rows(domain_scores) if len(domain_scores) else domain_scores
    rows = first_readings(table) if len(table) else table
    rows = rows[rows["value"].notna()] if len(rows) else rows
    if rows.empty:
        return not_run(name, title, "no domain scores")
    main = main_judge(rows["judge"])
    judges = [j for j in order_judges(rows["judge"]) if is_base(j) or j == main]
    rows = rows[rows["judge"].isin(judges)].fillna({"part": ""})
    labels = list(dict.fromkeys(zip(rows["set"], rows["part"])))
    with styled():
        figure = new_figure(7.8, 1.7 + 0.56 * len(labels))
        axes = figure.add_subplot()
        _domain_bars(axes, rows, judges, labels)
        axes.legend(
            handles=_domain_legend(rows, judges),
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=4,
            columnspacing=1.2,
        )
        explained = "One named reading a set; the others stand in the CSV."
        heading(figure, title, f"{explained} {note}".strip())
    said = "; ".join(
        f"{judge_label(r.judge)} on {r.set} {r.part}: {r.value:.3f}" for r in rows.itertuples()
    )
    alt = f"Bar chart of domain accuracy. {said}."
    return Drawing(name, title, alt, figure, table.reset_index(drop=True))


def _domain_legend(rows: pd.DataFrame, judges: Sequence[str]) -> list[Artist]:
    palette = colours(judges)
    handles: list[Artist] = [Patch(facecolor=palette[j], label=judge_label(j)) for j in judges]
    handles.append(baseline_mark())
    if "published" in rows and rows["published"].notna().any():
        handles.append(published_mark("published"))
    return handles


def _domain_bars(
    axes: Axes, rows: pd.DataFrame, judges: Sequence[str], labels: Sequence[tuple[str, str]]
) -> None:
    height, palette = 0.8 / len(judges), colours(judges)
    keyed = rows.drop_duplicates(["judge", "set", "part"]).set_index(["judge", "set", "part"])
    names = []
    for i, (set_name, part) in enumerate(labels):
        for k, judge in enumerate(judges):
            if (judge, set_name, part) in keyed.index:
                row = keyed.loc[(judge, set_name, part)]
                y = i - 0.4 + height * (k + 0.5)
                _domain_bar(axes, row, y, height * 0.9, palette[judge])
        one = rows[(rows["set"] == set_name) & (rows["part"] == part)].iloc[0]
        draw_baseline(axes, one["majority"], i)
        names.append(f"{part_name(set_name, part)}\n{one['reading']} (n={int(one['n'])})")
    axes.set_yticks(range(len(labels)), names, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def _domain_bar(axes: Axes, row: pd.Series, y: float, height: float, colour: str) -> None:
    axes.barh(y, row["value"], height=height, color=colour)
    if pd.notna(row.get("ci95_low")):
        ink = "#8C8C8C" if colour == "#000000" else INK
        axes.plot([row["ci95_low"], row["ci95_high"]], [y, y], color=ink, linewidth=1.3)
    if pd.notna(row.get("published")):
        axes.plot(
            [float(row["published"])],
            [y],
            marker="D",
            color=QUIET,
            mfc="white",
            markersize=4.5,
            zorder=6,
        )


def draw_formats(formats: pd.DataFrame, *, note: str = "", name: str = "fig3b") -> Drawing:
    """Fig. 3b: accuracy of the same pairs under each prompt format.

    `formats` has judge, format, n, n_unparsed, value and interval.
    """
    title = "Fig. 3b  The same pairs under other prompt formats"
    if formats.empty or formats["value"].isna().all():
        return not_run(name, title, "no format results")
    judges, order = order_judges(formats["judge"]), list(dict.fromkeys(formats["format"]))
    palette = colours(judges)
    with styled():
        figure = new_figure(7.8, 1.6 + 0.42 * len(order))
        axes = figure.add_subplot()
        for k, judge in enumerate(judges):
            mine = formats[formats["judge"] == judge].drop_duplicates("format")
            mine = mine.set_index("format").reindex(order)
            y = np.arange(len(order)) + (k - (len(judges) - 1) / 2) * 0.26
            _points(axes, mine, y, palette[judge], "os^Dv<>P"[k % 8], judge_label(judge))
            _unparsed(axes, mine, y)
        axes.axvline(0.5, color=QUIET, linestyle=":", linewidth=1)
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(len(order) - 0.5, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("accuracy, an unparsed reply counts as wrong (dotted: a coin)")
        light_grid(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
        explained = "The published formats are not known; these are our choice."
        heading(figure, title, f"{explained} {note}".strip())
    said = "; ".join(
        f"{judge_label(j)} {m.min():.3f} to {m.max():.3f}"
        for j, m in formats.groupby("judge", sort=False)["value"]
    )
    alt = f"Accuracy under {len(order)} prompt formats, lowest to highest: {said}."
    return Drawing(name, title, alt, figure, formats)


def _points(
    axes: Axes, rows: pd.DataFrame, y: np.ndarray, colour: str, marker: str, label: str
) -> None:
    if {"ci95_low", "ci95_high"} <= set(rows):
        draw_intervals(axes, rows, y, colour, 1.4)
    axes.plot(
        rows["value"].astype(float),
        y,
        linestyle="",
        marker=marker,
        color=colour,
        markersize=6,
        mec=INK,
        mew=0.5,
        label=label,
    )


def _unparsed(axes: Axes, rows: pd.DataFrame, y: np.ndarray) -> None:
    """Write beside a point how many replies of it had no verdict."""
    if "n_unparsed" not in rows:
        return
    for position, row in zip(y, rows.itertuples()):
        if pd.notna(row.n_unparsed) and row.n_unparsed > 0:
            axes.text(
                1.01,
                position,
                f"{int(row.n_unparsed)} / {int(row.n)} unparsed",
                fontsize=7.5,
                color=QUIET,
                va="center",
                transform=axes.get_yaxis_transform(),
            )


def draw_arena(arena: pd.DataFrame, *, note: str = "", name: str = "fig3c") -> Drawing:
    """Fig. 3c: Bradley-Terry ratings with 95 % intervals, best first.

    Beside them the leaderboard's own sequential Elo, where `arena` has it.
    """
    title = "Fig. 3c  Arena ratings with 95 % intervals"
    if arena.empty or arena["rating"].isna().all():
        return not_run(name, title, "no arena votes")
    rows = arena.sort_values("rating", ascending=False, kind="stable").reset_index(drop=True)
    own_judges = any(map(is_base, rows["judge"]))
    voters = "Votes of a file."
    if own_judges:
        voters = "The run's own judges meet; the gold label votes, not a crowd."
    with styled():
        figure = new_figure(7.8, 1.7 + 0.33 * len(rows))
        axes = figure.add_subplot()
        palette = colours(rows["judge"])
        inks = [palette[j] if own_judges else BLUE for j in rows["judge"]]
        _ratings(axes, rows, inks)
        axes.set_yticks(np.arange(len(rows)), _rating_labels(rows))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("rating (Elo points)")
        light_grid(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
        heading(figure, title, f"{voters} {note}".strip())
    said = f"{judge_label(rows['judge'][0])} is first with {rows['rating'][0]:.0f}"
    alt = f"Ratings of {len(rows)} judges; {said}. Intervals stand in the CSV."
    return Drawing(name, title, alt, figure, rows)


def _ratings(axes: Axes, rows: pd.DataFrame, inks: Sequence[str]) -> None:
    y = np.arange(len(rows))
    if "elo" in rows:
        axes.errorbar(
            rows["elo"],
            y + 0.2,
            xerr=rows.get("elo_printed_interval"),
            fmt="D",
            mfc="white",
            color=MUTED,
            markersize=4,
            elinewidth=1,
            label="sequential Elo, printed interval",
        )
    axes.hlines(y - 0.1, rows["ci95_low"], rows["ci95_high"], color=inks, linewidth=2.2)
    label = "Bradley-Terry, bootstrap interval"
    axes.plot(rows["rating"], y - 0.1, "o", color=INK, markersize=5.5, label=label)


def _rating_labels(rows: pd.DataFrame) -> list[str]:
    labels = [judge_label(judge) for judge in rows["judge"]]
    if "n_votes" not in rows:
        return labels
    return [f"{label}  ({int(n)} votes)" for label, n in zip(labels, rows["n_votes"])]
