"""Fig. 3: the two domains (a), prompt formats (b), the arena (c)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from selene_lib.figures.benchmarks import INTERVALS
from selene_lib.figures.drawing import (
    INK,
    QUIET,
    Drawing,
    baseline_mark,
    draw_baseline,
    draw_intervals,
    heading,
    inside_ink,
    key,
    new_figure,
    not_run,
    published_mark,
    rows_of_bars,
    styled,
)
from selene_lib.figures.judges import (
    colours,
    judge_label,
    marker_of,
    method_label,
    order_judges,
    short_label,
)
from selene_lib.figures.results import meta_of
from selene_lib.figures.words import FORMATS, set_label, words
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
        figure = new_figure(1.25 + 0.42 * len(labels))
        axes = figure.add_subplot()
        _domain_bars(axes, rows, judges, labels)
        axes.set_xlabel("accuracy: share judged as labelled")
        key(axes, _domain_legend(rows, judges))
        several = "A set that can be read in several ways shows the first; the CSV has all."
        n_readings = int((table["value"].notna() & table["judge"].isin(judges)).sum())
        heading(figure, title, INTERVALS, several if n_readings > len(rows) else "", note)
    said = "; ".join(
        f"{judge_label(r.judge)} on {r.set} {r.part}: {r.value:.3f}" for r in rows.itertuples()
    )
    alt = f"Bar chart of domain accuracy. {said}."
    return Drawing(name, title, alt, figure, table.reset_index(drop=True))


def _domain_legend(rows: pd.DataFrame, judges: Sequence[str]) -> list[Artist]:
    palette = colours(judges)
    handles: list[Artist] = [Patch(facecolor=palette[j], label=short_label(j)) for j in judges]
    handles.append(baseline_mark())
    if "published" in rows and rows["published"].notna().any():
        handles.append(published_mark("published"))
    return handles


def _domain_bars(
    axes: Axes, rows: pd.DataFrame, judges: Sequence[str], labels: Sequence[tuple[str, str]]
) -> None:
    height, palette = 0.84 / len(judges), colours(judges)
    keyed = rows.drop_duplicates(["judge", "set", "part"]).set_index(["judge", "set", "part"])
    names = []
    for i, (set_name, part) in enumerate(labels):
        for k, judge in enumerate(judges):
            if (judge, set_name, part) in keyed.index:
                row = keyed.loc[(judge, set_name, part)]
                y = i - 0.42 + height * (k + 0.5)
                _domain_bar(axes, row, y, height * 0.9, palette[judge])
        one = rows[(rows["set"] == set_name) & (rows["part"] == part)].iloc[0]
        draw_baseline(axes, one["majority"], i)
        reading = "" if one["reading"] in ("as labelled", "") else f", {one['reading']}"
        label = f"{set_label(part_name(set_name, part), 99)}{reading} (n={int(one['n'])})"
        names.append(set_label(label, 19))
    rows_of_bars(axes, names)
    axes.set_xlim(0, 1)


def _domain_bar(axes: Axes, row: pd.Series, y: float, height: float, colour: str) -> None:
    """A bar with its interval and value; where replies were unreadable, how many."""
    axes.barh(y, row["value"], height=height, color=colour)
    if pd.notna(row.get("ci95_low")):
        ink = inside_ink(colour)
        axes.plot([row["ci95_low"], row["ci95_high"]], [y, y], color=ink, linewidth=1.2)
    if pd.notna(row.get("published")):
        axes.plot([float(row["published"])], [y], "D", color=QUIET, mfc="white", zorder=6)
    right = axes.get_yaxis_transform()
    axes.text(1.02, y, f"{row['value']:.2f}", va="center", transform=right)
    n_unread = row.get("n_unparsed")
    if pd.notna(n_unread) and n_unread > row["n"] / 2 and row["value"] < 0.3:
        said = f"{int(n_unread)} of {int(row['n'])} unreadable"
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        end = max(row["value"], row["ci95_high"]) + 0.02
        axes.text(end, y, said, va="center", color=QUIET, zorder=6, bbox=ground)


def draw_formats(formats: pd.DataFrame, *, note: str = "", name: str = "fig3b") -> Drawing:
    """Fig. 3b: accuracy of the same pairs under each prompt format.

    `formats` has judge, format, n, n_unparsed, value and interval, and `value_parsed`: the accuracy
    over the readable replies alone, drawn hollow.
    """
    title = "Fig. 3b  The same pairs under other prompt formats"
    if formats.empty or formats["value"].isna().all():
        return not_run(name, title, "no format results")
    judges, order = order_judges(formats["judge"]), list(dict.fromkeys(formats["format"]))
    with styled():
        figure = new_figure(1.75 + 0.13 * len(judges) * len(order))
        axes = figure.add_subplot()
        for k, judge in enumerate(judges):
            mine = formats[formats["judge"] == judge].drop_duplicates("format")
            mine = mine.set_index("format").reindex(order)
            y = np.arange(len(order)) + (k - (len(judges) - 1) / 2) * 0.42
            _format_points(axes, mine, y, judge)
            _unread(axes, mine, y)
        axes.axvline(0.5, color=QUIET, linestyle=":", linewidth=0.8)
        rows_of_bars(axes, [words(FORMATS, one) for one in order])
        axes.set_xlim(-0.03, 1.03)
        axes.set_xlabel("accuracy over pairs (dotted: a coin)")
        axes.set_title("unread", loc="right", fontsize=7, fontweight="normal", color=QUIET)
        key(axes, _format_key(judges))
        n_pairs = int(formats["n"].max())
        heading(figure, title, INTERVALS, _about_formats(n_pairs), note)
    said = "; ".join(
        f"{judge_label(j)} {m.min():.3f} to {m.max():.3f}"
        for j, m in formats.groupby("judge", sort=False)["value"]
    )
    alt = f"Accuracy under {len(order)} prompt formats, lowest to highest: {said}."
    return Drawing(name, title, alt, figure, formats)


def _about_formats(n_replies: int) -> str:
    return (
        f"{n_replies} replies each. At the right the share without a readable verdict, counted "
        "as wrong: a format may fail for its form alone. Formats and pairs are our choice; the "
        "paper shows RewardBench, in formats that it does not print."
    )


def _format_key(judges: Sequence[str]) -> list[Artist]:
    palette = colours(judges)
    look = {j: (palette[j], marker_of(j)) for j in judges}
    handles: list[Artist] = [
        Line2D([], [], linestyle="", color=ink, marker=mark, label=short_label(judge))
        for judge, (ink, mark) in look.items()
    ]
    hollow = Line2D([], [], linestyle="", color=INK, marker="o", mfc="white")
    hollow.set_label("readable replies alone")
    return [*handles, hollow]


def _format_points(axes: Axes, rows: pd.DataFrame, y: np.ndarray, judge: str) -> None:
    ink, mark = colours([judge])[judge], marker_of(judge)
    draw_intervals(axes, rows, y, ink)
    if "value_parsed" in rows:
        read = rows["value_parsed"].astype(float)
        axes.plot(read, y, mark, color=ink, mfc="white", mew=0.8, clip_on=False)
    axes.plot(rows["value"].astype(float), y, mark, color=ink, clip_on=False, zorder=5)


def _unread(axes: Axes, rows: pd.DataFrame, y: np.ndarray) -> None:
    """Write at the right edge what share of the replies had no verdict."""
    if "n_unparsed" not in rows:
        return
    right = axes.get_yaxis_transform()
    for position, row in zip(y, rows.itertuples()):
        if pd.notna(row.n_unparsed) and row.n:
            said = f"{100 * row.n_unparsed / row.n:.0f} %"
            axes.text(1.02, position, said, color=QUIET, va="center", transform=right)


def draw_arena(arena: pd.DataFrame, *, note: str = "", name: str = "fig3c") -> Drawing:
    """Fig. 3c: Bradley-Terry ratings with 95 % intervals, best first.

    The leaderboard's own sequential Elo, which depends on the order of the votes and is on a scale
    of its own, stays in the CSV.
    """
    title = "Fig. 3c  Arena ratings"
    if arena.empty or arena["rating"].isna().all():
        return not_run(name, title, "no arena votes")
    rows = arena.sort_values("rating", ascending=False, kind="stable").reset_index(drop=True)
    voters = "Votes of a file."
    if any(map(is_base, rows["judge"])):
        voters = "The run's own judges meet; the gold label votes, not a crowd."
    with styled():
        figure = new_figure(1.35 + 0.17 * len(rows))
        axes = figure.add_subplot()
        _ratings(axes, rows)
        rows_of_bars(axes, _rating_labels(rows))
        axes.margins(x=0.04)
        axes.set_xlabel("rating, Elo points")
        explained = (
            "Bradley-Terry ratings: the order of the votes does not count. 400 points more: "
            "preferred ten times as often. Pale bars: 95 % intervals (bootstrap)."
        )
        n_votes = f" {int(rows['n_votes'].max()):,} votes a judge." if "n_votes" in rows else ""
        heading(figure, title, explained, f"{voters}{n_votes}", note)
    said = f"{judge_label(rows['judge'][0])} is first with {rows['rating'][0]:.0f}"
    alt = f"Ratings of {len(rows)} judges; {said}. Intervals stand in the CSV."
    return Drawing(name, title, alt, figure, rows)


def _ratings(axes: Axes, rows: pd.DataFrame) -> None:
    """A wide pale line an interval, and on it a mark so small that the line is seen."""
    palette = colours(rows["judge"])
    for y, row in enumerate(rows.itertuples()):
        ink, mark = palette[row.judge], marker_of(row.judge)
        axes.plot([row.ci95_low, row.ci95_high], [y, y], color=ink, lw=4, alpha=0.45)
        axes.plot([row.rating], [y], mark, color=ink, ms=3, mec="white", mew=0.4, zorder=5)


def _rating_labels(rows: pd.DataFrame) -> list[str]:
    """Method and seed; the seed alone is left out where each method has one judge."""
    once = not rows["judge"].map(method_label).duplicated().any()
    return [method_label(j) if once else short_label(j) for j in rows["judge"]]
