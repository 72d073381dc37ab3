"""Table 1 as the paper prints it: judges down, benchmarks across, the means over task types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.figures.judges import TASK_NAMES, judge_label, order_judges
from selene_lib.judges.names import main_judge
from selene_lib.paper import values as paper
from selene_lib.records import TASKS

OVERALL = "overall"
RULE = "commonest label"
Key = tuple[str, str]  # of a column: task and set, the set empty for the mean of the task


@dataclass(frozen=True)
class Column:
    """One column: the mean of a task (`set` empty) or a set; `is_run` where it was judged."""

    task: str
    set: str
    metric: str
    n: int | None
    is_run: bool

    @property
    def key(self) -> Key:
        return self.task, self.set

    @property
    def title(self) -> str:
        if self.task == OVERALL:
            return "Mean of the task types"
        return self.set or f"{TASK_NAMES.get(self.task, self.task)}, mean"


@dataclass(frozen=True)
class Cell:
    """One score with its interval; `value` is None where the metric is undefined, as a correlation
    is for constant verdicts, and `known` marks a published value.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n_unparsed: int = 0
    known: str = ""


@dataclass(frozen=True)
class Row:
    """One judge; `kind` is `ours`, `rule` or `published`, `is_main` the judge the run is about."""

    label: str
    kind: str
    cells: tuple[Cell | None, ...]
    is_main: bool = False


@dataclass(frozen=True)
class WideTable:
    """Judges down, sets across; without rows where no score was written."""

    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()

    @property
    def n_absent(self) -> int:
        """How many rows and columns hold no value of this run."""
        rows = sum(row.kind == "published" for row in self.rows)
        return rows + sum(not column.is_run for column in self.columns)


@dataclass(frozen=True)
class _Cells:
    """Every cell of a table by judge and column, and what is known of each column."""

    found: dict[tuple[str, Key], Cell]
    columns: dict[Key, Column]
    majority: dict[Key, float]


def roles(result_dir: Path) -> dict[str, str]:
    """Return the role of each evaluation set: only `benchmark` sets are part of the means."""
    table = files.run_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    if table is None or table.empty or "role" not in table:
        return {}
    return dict(zip(table["name"].astype(str), table["role"].astype(str)))


def table_one(result_dir: Path) -> WideTable:
    """Return the benchmarks that the means are taken over, ours and as published."""
    role = roles(result_dir)
    cells = _read(result_dir, lambda name: role.get(name, "benchmark") == "benchmark", means=True)
    if not cells.columns:
        return WideTable()
    for name in paper.BENCHMARK_NAMES:
        key = (str(paper.TASK_OF[name]), name)
        cells.columns.setdefault(key, Column(*key, paper.metric_of(name), None, False))
    return _table(cells, _published_cells())


def further_sets(result_dir: Path) -> WideTable:
    """Return the judged sets that are no part of the means, such as shifted ones."""
    role = roles(result_dir)
    cells = _read(result_dir, lambda name: role.get(name, "benchmark") != "benchmark", means=False)
    return _table(cells, {}) if cells.columns else WideTable()


def _read(result_dir: Path, wanted: Callable[[str], bool], *, means: bool) -> _Cells:
    cells = _Cells({}, {}, {})
    table = files.run_table(result_dir, f"{files.EVALUATE}/task_means.csv") if means else None
    absolute = "pearson"
    if table is not None and not table.empty:
        absolute = _metric_of_absolute(table)
        for row in table.to_dict("records"):
            _add(cells, row, (str(row["task"]), ""), row.get("majority"))
    scores = files.run_table(result_dir, f"{files.EVALUATE}/scores.csv")
    if scores is not None and not scores.empty:
        for row in _rows_of_sets(scores, absolute).to_dict("records"):
            if wanted(str(row["set"])) and row["n"] > 0:
                key = (str(row["task"]), str(row["set"]))
                _add(cells, row, key, row.get("baseline_majority"))
    return cells


def _metric_of_absolute(means: pd.DataFrame) -> str:
    """The metric that stands for absolute sets in the means: a set has one number in a table."""
    if "metric" not in means:
        return "pearson"
    found = means.loc[means["task"] == "absolute", "metric"].dropna()
    return str(found.iloc[0]) if len(found) else "pearson"


def _rows_of_sets(scores: pd.DataFrame, absolute: str) -> pd.DataFrame:
    """The row of each judge and set that its mean is taken of."""
    is_absolute = scores["task"] == "absolute"
    strict = scores["metric"].eq(absolute) & scores["convention"].eq("strict")
    others = files.headline_rows(scores[~is_absolute])
    chosen = pd.concat([scores[is_absolute & strict], others])
    return chosen.drop_duplicates(["judge", "set", "task"])


def _add(cells: _Cells, row: Mapping[str, Any], key: Key, majority: Any) -> None:
    judge, value = str(row["judge"]), _number(row.get("value"))
    metric = "" if pd.isna(row.get("metric")) else str(row.get("metric"))
    cells.columns.setdefault(key, Column(*key, metric, int(row["n"]), True))
    if _number(majority) is not None:
        cells.majority[key] = float(majority)
    cells.found[judge, key] = Cell(
        value,
        _number(row.get("ci95_low")),
        _number(row.get("ci95_high")),
        int(row["n_unparsed"]),
    )


def _published_cells() -> dict[tuple[str, Key], Cell]:
    found = {}
    for cell in paper.PUBLISHED:
        if cell.set in paper.BENCHMARK_NAMES:
            key = (str(paper.TASK_OF[cell.set]), cell.set)
            found[cell.judge, key] = Cell(cell.value, known=cell.known)
    average = paper.AVERAGES["task average"]
    found[average.judge, (OVERALL, "")] = Cell(average.value, known=average.known)
    return found


def _table(cells: _Cells, published: Mapping[tuple[str, Key], Cell]) -> WideTable:
    order = [OVERALL, *TASKS]
    columns = sorted(
        cells.columns.values(), key=lambda c: (order.index(c.task), c.set != "", not c.is_run)
    )
    keys = [column.key for column in columns]
    judges = order_judges(judge for judge, _ in cells.found)
    main = main_judge(judges)
    rows = [Row(judge_label(j), "ours", _cells_of(cells.found, j, keys), j == main) for j in judges]
    if cells.majority:
        rule = {(RULE, key): Cell(value) for key, value in cells.majority.items()}
        rows.append(Row(RULE, "rule", _cells_of(rule, RULE, keys)))
    for judge in dict.fromkeys(judge for judge, _ in published):
        rows.append(Row(f"{judge}, published", "published", _cells_of(published, judge, keys)))
    return WideTable(tuple(columns), tuple(rows))


def _cells_of(
    found: Mapping[tuple[str, Key], Cell], judge: str, keys: Sequence[Key]
) -> tuple[Cell | None, ...]:
    return tuple(found.get((judge, key)) for key in keys)


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def in_means(table: WideTable) -> Iterable[str]:
    """Return the sets of this run that the means are taken over."""
    return [column.set for column in table.columns if column.set and column.is_run]
