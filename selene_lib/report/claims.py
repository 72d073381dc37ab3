"""What is claimed and what was found: every published cell beside ours, with interval, counts,
baselines and status.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.figures.domains import domain_rows, first_readings, part_name
from selene_lib.judges.names import is_base, main_judge
from selene_lib.paper import values as paper


@dataclass(frozen=True)
class Cell:
    """One judge's number on one set; `n` is None where it was not run, `value` alone where the
    metric is undefined (constant verdicts).
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_unparsed: int | None = None


@dataclass(frozen=True)
class Claim:
    """One row of the claims table: a set with the published value, ours (trained and base), the
    baselines, and what that amounts to.
    """

    set: str
    task: str
    metric: str
    published: float | None
    known: str
    source: str
    trained: Cell
    base: Cell
    majority: float | None = None
    random: float | None = None
    status: str = "not run"
    why: str = ""
    details: dict[str, Any] = field(default_factory=dict)


def claims(result_dir: Path) -> list[Claim]:
    """Return the sets of a run, then its domains, then every published cell that this run has no
    row for (as `not run`).
    """
    scores = files.read_table(result_dir, f"{files.EVALUATE}/scores.csv")
    domains = files.read_table(result_dir, f"{files.DOMAINS}/domain_scores.csv")
    rows = (
        _set_claims(files.headline_rows(scores)) if scores is not None and not scores.empty else []
    )
    rows += (
        _domain_claims(first_readings(domain_rows(domains)))
        if domains is not None and not domains.empty
        else []
    )
    done = {row.set for row in rows}
    reasons = _reasons(result_dir)
    missing = [
        cell for cell in paper.PUBLISHED if cell.judge == paper.SELENE_MINI and cell.set not in done
    ]
    return rows + [
        _absent(cell, reasons.get(cell.set.split(":")[0], "not part of this run"))
        for cell in missing
    ]


def _set_claims(rows: pd.DataFrame) -> list[Claim]:
    main = main_judge(rows["judge"])
    found = []
    for (name, task, metric), mine in rows.groupby(["set", "task", "metric"], sort=False):
        cells = {
            "trained": _cell(mine[mine["judge"] == main]),
            "base": _cell(mine[mine["judge"].map(is_base)]),
        }
        one = next(
            (mine[mine["judge"] == j].iloc[0] for j in (main,) if (mine["judge"] == j).any()),
            mine.iloc[0],
        )
        cell = paper.published(paper.SELENE_MINI, str(name))
        why = (
            str(files.meta_of(one.get("meta")).get("why", "")) if one["status"] == "not run" else ""
        )
        found.append(
            Claim(
                str(name),
                str(task),
                str(metric),
                _number(one.get("published")),
                cell.known if cell else "",
                cell.source if cell else "",
                **cells,
                majority=_number(one.get("baseline_majority")),
                random=_number(one.get("baseline_random")),
                status=str(one["status"]),
                why=why,
            )
        )
    return found


def _domain_claims(rows: pd.DataFrame) -> list[Claim]:
    main = main_judge(rows["judge"])
    found = []
    for (name, part), mine in rows.fillna({"part": ""}).groupby(["set", "part"], sort=False):
        one = next(
            (mine[mine["judge"] == j].iloc[0] for j in (main,) if (mine["judge"] == j).any()),
            mine.iloc[0],
        )
        shown = part_name(str(name), str(part))
        cell = paper.published(paper.SELENE_MINI, shown)
        trained, base = _cell(mine[mine["judge"] == main]), _cell(mine[mine["judge"].map(is_base)])
        published = _number(one.get("published"))
        known, source = (cell.known, cell.source) if cell and published is not None else ("", "")
        status, why = (
            str(one.get("status") or ""),
            str(one.get("why") or "") or f"reading: {one.get('reading')}",
        )
        found.append(
            Claim(
                shown,
                "domain",
                "accuracy",
                published,
                known,
                source,
                trained,
                base,
                _number(one.get("majority")),
                None,
                status,
                why,
            )
        )
    return found


def _absent(cell: paper.Published, why: str) -> Claim:
    task = paper.TASK_OF.get(cell.set, "domain")
    metric = "pearson" if task == "absolute" else "accuracy"
    return Claim(
        cell.set, task, metric, cell.value, cell.known, cell.source, Cell(), Cell(), why=why
    )


def _reasons(result_dir: Path) -> dict[str, str]:
    table = files.read_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    return (
        {}
        if table is None or "status" not in table
        else dict(zip(table["name"], table["status"].astype(str)))
    )


def _cell(rows: pd.DataFrame) -> Cell:
    if rows.empty or not rows.iloc[0]["n"] > 0:
        return Cell()
    one = rows.iloc[0]
    return Cell(
        _number(one["value"]),
        _number(one.get("ci95_low")),
        _number(one.get("ci95_high")),
        int(one["n"]),
        int(one["n_unparsed"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def count_statuses(rows: Sequence[Claim]) -> dict[str, int]:
    """Count claims by status, in the order in which they occur."""
    return pd.Series([row.status for row in rows], dtype=object).value_counts(sort=False).to_dict()
