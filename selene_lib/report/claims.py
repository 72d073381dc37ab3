"""What is claimed and what was found: every published cell beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.figures.domains import domain_rows, first_readings, part_name
from selene_lib.judges.names import is_base, main_judge
from selene_lib.paper import values as paper
from selene_lib.paper.parity import BEHAVIOURS, PARITY_TARGETS, Behaviour, target


@dataclass(frozen=True)
class Cell:
    """One judge's number on one set.

    `n` is None where it was not run, `value` alone where the metric is undefined, as a correlation
    is for constant verdicts.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_unparsed: int | None = None


@dataclass(frozen=True)
class Claim:
    """One row of the claims table: a set with the published value, ours, and baselines."""

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

    @property
    def is_judged(self) -> bool:
        """Whether the run has a number for it."""
        return self.trained.value is not None or self.base.value is not None

    @property
    def is_run(self) -> bool:
        """Whether the run asked a judge, even where the metric is undefined."""
        return self.trained.n is not None or self.base.n is not None

    @property
    def is_worse(self) -> bool:
        """Whether the trained judge scores below the base."""
        trained, base = self.trained.value, self.base.value
        return trained is not None and base is not None and trained < base


def claims(result_dir: Path) -> list[Claim]:
    """Return the sets of a run, its domains, then every published cell that it has no row for.

    The latter as `not run`. Last what others measured on the real model (`paper.parity`).
    """
    rows: list[Claim] = []
    scores = files.run_table(result_dir, f"{files.EVALUATE}/scores.csv")
    if scores is not None and not scores.empty:
        rows += _set_claims(files.headline_rows(scores))
    domains = files.run_table(result_dir, f"{files.DOMAINS}/domain_scores.csv")
    if domains is not None and not domains.empty:
        rows += _domain_claims(first_readings(domain_rows(domains)))
    done, reasons = {row.set for row in rows}, _reasons(result_dir)
    for cell in paper.PUBLISHED:
        if cell.judge == paper.SELENE_MINI and cell.set not in done:
            why = reasons.get(cell.set.split(":")[0], "not part of this run")
            rows.append(_absent(cell, why))
    return [*rows, *_targets(result_dir, done)]


def _targets(result_dir: Path, done: set[str]) -> list[Claim]:
    """What others measured on the real model: parity targets, no claims of the paper.

    Ours stands beside a behaviour where the audit has a probe that is like it.
    """
    rows = []
    for cell in PARITY_TARGETS:
        if cell.judge == paper.SELENE_MINI and cell.set not in done:
            rows.append(_absent(cell, "measured by others; not part of this run"))
    audit = files.run_table(result_dir, f"{files.DOMAINS}/audit.csv")
    return [*rows, *(_behaviour(found, audit) for found in BEHAVIOURS)]


def _behaviour(found: Behaviour, audit: pd.DataFrame | None) -> Claim:
    trained, base = Cell(), Cell()
    if audit is not None and not audit.empty and found.probe:
        mine = audit[audit["probe"].eq(found.probe) & audit["kind"].eq(found.kind)]
        mine = mine.rename(columns={"effect": "value"})
        trained = _cell(mine[mine["judge"] == main_judge(audit["judge"])])
        base = _cell(mine[mine["judge"].map(is_base)])
    on = f", on {found.n} verdicts" if found.n else ""
    return Claim(
        found.what,
        "behaviour",
        "share",
        found.value,
        "read",
        found.source,
        trained,
        base,
        status="not run" if trained.n is None and base.n is None else "other items",
        why=f"measured by others on the real model{on}",
    )


def _set_claims(rows: pd.DataFrame) -> list[Claim]:
    main = main_judge(rows["judge"])
    found = []
    for (name, task, metric), mine in rows.groupby(["set", "task", "metric"], sort=False):
        one = _first_of(mine, main)
        judge = paper.SELENE_MINI
        cell = paper.published(judge, str(name)) or target(judge, str(name))
        not_run = one["status"] == "not run"
        found.append(
            Claim(
                str(name),
                str(task),
                str(metric),
                _number(one.get("published")),
                cell.known if cell else "",
                cell.source if cell else "",
                trained=_cell(mine[mine["judge"] == main]),
                base=_cell(mine[mine["judge"].map(is_base)]),
                majority=_number(one.get("baseline_majority")),
                random=_number(one.get("baseline_random")),
                status=str(one["status"]),
                why=str(files.meta_of(one.get("meta")).get("why", "")) if not_run else "",
            )
        )
    return found


def _domain_claims(rows: pd.DataFrame) -> list[Claim]:
    main = main_judge(rows["judge"])
    found = []
    for (name, part), mine in rows.fillna({"part": ""}).groupby(["set", "part"], sort=False):
        one, shown = _first_of(mine, main), part_name(str(name), str(part))
        published = _number(one.get("published"))
        cell = paper.published(paper.SELENE_MINI, shown) if published is not None else None
        found.append(
            Claim(
                shown,
                "domain",
                "accuracy",
                published,
                cell.known if cell else "",
                cell.source if cell else "",
                trained=_cell(mine[mine["judge"] == main]),
                base=_cell(mine[mine["judge"].map(is_base)]),
                majority=_number(one.get("majority")),
                status=str(one.get("status") or ""),
                why=str(one.get("why") or "") or f"reading: {one.get('reading')}",
            )
        )
    return found


def _first_of(rows: pd.DataFrame, judge: str | None) -> pd.Series:
    """The judge's first row, any first row where it has none."""
    mine = rows[rows["judge"] == judge]
    return rows.iloc[0] if mine.empty else mine.iloc[0]


def _absent(cell: paper.Published, why: str) -> Claim:
    task, metric = str(paper.TASK_OF.get(cell.set, "domain")), cell.metric
    if cell in PARITY_TARGETS:
        task, metric = "pairwise", f"accuracy, {cell.convention}"
    return Claim(
        cell.set, task, metric, cell.value, cell.known, cell.source, Cell(), Cell(), why=why
    )


def _reasons(result_dir: Path) -> dict[str, str]:
    table = files.run_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    if table is None or "status" not in table:
        return {}
    return dict(zip(table["name"], table["status"].astype(str)))


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
    return dict(Counter(row.status for row in rows))
