"""Fig. 3: the two domains (a), prompt formats (b), the arena (c)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selene_lib.figures.drawing import (
    INK,
    MUTED,
    QUIET,
    Drawing,
    heading,
    light_grid,
    new_figure,
    not_run,
    styled,
)
from selene_lib.figures.judges import colours, judge_label, order_judges
from selene_lib.figures.results import meta_of
from selene_lib.judges.names import is_base, main_judge

INTERVALS = ("ci95_low", "ci95_high")


def domain_rows(domain_scores: pd.DataFrame) -> pd.DataFrame:
    """Bring a domain table into one shape: judge, set, part, reading, n, n_unparsed, value,
    ci95_low, ci95_high, majority, published.

    Takes rows of `records.Score` (meta names part and reading; the accuracy rows are used) or the
    wide table with a column `accuracy`.
    """
    if "accuracy" in domain_scores:
        names = {
            "accuracy": "value",
            "accuracy_ci95_low": "ci95_low",
            "accuracy_ci95_high": "ci95_high",
        }
        return domain_scores.rename(columns=names)
    rows = (
        domain_scores[domain_scores["metric"].eq("accuracy")]
        .rename(columns={"baseline_majority": "majority"})
        .copy()
    )
    if "meta" in rows:
        rows["part"] = rows["meta"].map(lambda cell: meta_of(cell).get("part", ""))
        rows["reading"] = rows["meta"].map(lambda cell: meta_of(cell).get("reading", ""))
        rows["why"] = rows["meta"].map(lambda cell: meta_of(cell).get("why", ""))
    return rows


def first_readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep of each set and part the first reading in the table, and of a set that was scored as a
    whole (`all`) only the whole.

    The other readings and the parts of such a set (its configurations) stay in the CSV.
    """
    if "reading" not in rows:
        return rows
    part = rows["part"].fillna("")
    whole = part.eq("all").groupby(rows["set"]).transform("any")
    rows = rows[part.eq("all") | ~whole]
    first = (
        rows.fillna({"part": ""}).groupby(["set", "part"], sort=False)["reading"].transform("first")
    )
    return rows[rows["reading"].eq(first) | rows["reading"].isna()]


def part_name(set_name: str, part: str | None) -> str:
    """Name a set with its part as published cells do: `craft_md:history`, but `craft_md` for the
    whole or the mean over its parts.
    """
    return set_name if not part or part in ("all", "overall") else f"{set_name}:{part}"


def draw_domains(domain_scores: pd.DataFrame, *, note: str = "", name: str = "fig3a") -> Drawing:
    """Fig. 3a: accuracy on the domain sets, base and trained, with the majority baseline and the
    published value.
    """
    title = "Fig. 3a  Accuracy on the domain sets"
    table = domain_rows(domain_scores) if len(domain_scores) else domain_scores
    rows = first_readings(table) if len(table) else table
    rows = rows[rows["value"].notna()] if len(rows) else rows
    if rows.empty:
        return not_run(name, title, "no domain scores")
    judges = [
        j for j in order_judges(rows["judge"]) if is_base(j) or j == main_judge(rows["judge"])
    ]
    rows = rows[rows["judge"].isin(judges)]
    labels = (
        rows.drop_duplicates(["set", "part"])[["set", "part"]]
        .fillna("")
        .apply(tuple, axis=1)
        .tolist()
    )
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
        heading(
            figure, title, f"One named reading a set; the others stand in the CSV. {note}".strip()
        )
    said = "; ".join(
        f"{judge_label(r.judge)} on {r.set} {r.part}: {r.value:.3f}"
        for r in rows.fillna("").itertuples()
    )
    return Drawing(
        name, title, f"Bar chart of domain accuracy. {said}.", figure, table.reset_index(drop=True)
    )


def _domain_legend(rows: pd.DataFrame, judges: Sequence[str]) -> list:
    handles: list = [Patch(facecolor=colours(judges)[j], label=judge_label(j)) for j in judges]
    handles.append(
        Line2D(
            [],
            [],
            color="#D55E00",
            marker="|",
            markersize=11,
            markeredgewidth=2,
            linestyle="",
            label="majority baseline",
        )
    )
    if "published" in rows and rows["published"].notna().any():
        handles.append(
            Line2D(
                [],
                [],
                color=QUIET,
                marker="D",
                markersize=5,
                mfc="white",
                linestyle="",
                label="published",
            )
        )
    return handles


def _domain_bars(
    axes: Axes, rows: pd.DataFrame, judges: Sequence[str], labels: Sequence[tuple[str, str]]
) -> None:
    height, palette = 0.8 / len(judges), colours(judges)
    keyed = (
        rows.fillna({"part": ""})
        .drop_duplicates(["judge", "set", "part"])
        .set_index(["judge", "set", "part"])
    )
    names = []
    for i, (set_name, part) in enumerate(labels):
        for k, judge in enumerate(judges):
            if (judge, set_name, part) in keyed.index:
                _domain_bar(
                    axes,
                    keyed.loc[(judge, set_name, part)],
                    i - 0.4 + height * (k + 0.5),
                    height * 0.9,
                    palette[judge],
                )
        one = rows[(rows["set"] == set_name) & (rows["part"].fillna("") == part)].iloc[0]
        if pd.notna(one.get("majority")):
            axes.plot(
                [one["majority"]] * 2, [i - 0.42, i + 0.42], color="#D55E00", linewidth=2, zorder=5
            )
        names.append(f"{part_name(set_name, part)}\n{one.get('reading') or ''} (n={int(one['n'])})")
    axes.set_yticks(range(len(labels)), names, fontsize=8.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    light_grid(axes, "x")
    axes.tick_params(axis="y", length=0)


def _domain_bar(axes: Axes, row: pd.Series, y: float, height: float, colour: str) -> None:
    axes.barh(y, row["value"], height=height, color=colour)
    if pd.notna(row.get("ci95_low")):
        axes.plot(
            [row["ci95_low"], row["ci95_high"]],
            [y, y],
            color="#8C8C8C" if colour == "#000000" else INK,
            linewidth=1.3,
        )
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
    """Fig. 3b: accuracy of the same pairs under each prompt format; `formats` has judge, format, n,
    n_unparsed, value and interval.
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
            mine = (
                formats[formats["judge"] == judge]
                .drop_duplicates("format")
                .set_index("format")
                .reindex(order)
            )
            y = np.arange(len(order)) + (k - (len(judges) - 1) / 2) * 0.26
            _points(axes, mine, y, palette[judge], "os^Dv<>P"[k % 8], judge_label(judge))
            _unparsed(axes, mine, y, judge, k, judges)
        axes.axvline(0.5, color=QUIET, linestyle=":", linewidth=1)
        axes.set_yticks(range(len(order)), order)
        axes.set_ylim(len(order) - 0.5, -0.6)
        axes.set_xlim(0, 1)
        axes.set_xlabel("accuracy, an unreadable reply counts as wrong (dotted: a coin)")
        light_grid(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3)
        heading(
            figure,
            title,
            f"The published formats are not known; these are our choice. {note}".strip(),
        )
    said = "; ".join(
        f"{judge_label(j)} {m.min():.3f} to {m.max():.3f}"
        for j, m in formats.groupby("judge", sort=False)["value"]
    )
    return Drawing(
        name,
        title,
        f"Accuracy under {len(order)} prompt formats, lowest to highest: {said}.",
        figure,
        formats,
    )


def _points(
    axes: Axes, rows: pd.DataFrame, y: np.ndarray, colour: str, marker: str, label: str
) -> None:
    if set(INTERVALS) <= set(rows):
        axes.hlines(
            y,
            rows["ci95_low"].astype(float),
            rows["ci95_high"].astype(float),
            color=colour,
            linewidth=1.4,
        )
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


def _unparsed(
    axes: Axes, rows: pd.DataFrame, y: np.ndarray, judge: str, k: int, judges: Sequence[str]
) -> None:
    if "n_unparsed" not in rows:
        return
    for position, row in zip(y, rows.itertuples()):
        if pd.notna(row.n_unparsed) and row.n_unparsed > 0:
            text = f"{int(row.n_unparsed)} / {int(row.n)} unread"
            axes.text(
                1.01,
                position,
                text,
                fontsize=7.5,
                color=QUIET,
                va="center",
                transform=axes.get_yaxis_transform(),
            )


def draw_arena(arena: pd.DataFrame, *, note: str = "", name: str = "fig3c") -> Drawing:
    """Fig. 3c: Bradley-Terry ratings with 95 % intervals, best first, beside the leaderboard's own
    sequential Elo where known.
    """
    title = "Fig. 3c  Arena ratings with 95 % intervals"
    if arena.empty or arena["rating"].isna().all():
        return not_run(name, title, "no arena votes")
    rows = arena.sort_values("rating", ascending=False, kind="stable").reset_index(drop=True)
    y = np.arange(len(rows))
    palette = (
        colours(rows["judge"])
        if any(is_base(j) for j in rows["judge"])
        else dict.fromkeys(rows["judge"], "#0072B2")
    )
    with styled():
        figure = new_figure(7.8, 1.7 + 0.33 * len(rows))
        axes = figure.add_subplot()
        if "elo" in rows:
            width = rows.get("elo_printed_interval")
            axes.errorbar(
                rows["elo"],
                y + 0.2,
                xerr=width,
                fmt="D",
                mfc="white",
                color=MUTED,
                markersize=4,
                elinewidth=1,
                label="sequential Elo, printed interval",
            )
        axes.hlines(
            y - 0.1,
            rows["ci95_low"],
            rows["ci95_high"],
            color=[palette[j] for j in rows["judge"]],
            linewidth=2.2,
        )
        axes.plot(
            rows["rating"],
            y - 0.1,
            "o",
            color=INK,
            markersize=5.5,
            label="Bradley-Terry, bootstrap interval",
        )
        counts = rows["n_votes"] if "n_votes" in rows else [None] * len(rows)
        axes.set_yticks(
            y,
            [
                f"{judge_label(j)}  ({int(n)} votes)" if n is not None else judge_label(j)
                for j, n in zip(rows["judge"], counts)
            ],
        )
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("rating (Elo points)")
        light_grid(axes, "x")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
        voters = (
            "The run's own judges meet; the gold label votes, not a crowd."
            if any(map(is_base, rows["judge"]))
            else "Votes of a file."
        )
        heading(figure, title, f"{voters} {note}".strip())
    said = f"{judge_label(rows['judge'][0])} is first with {rows['rating'][0]:.0f}"
    return Drawing(
        name,
        title,
        f"Ratings of {len(rows)} judges; {said}. Intervals stand in the CSV.",
        figure,
        rows,
    )
