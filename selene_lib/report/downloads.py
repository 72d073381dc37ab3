"""Result tables inside the page: the first rows to read, the whole file to download."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.figures.judges import order_judges
from selene_lib.judges.names import BASE, main_judge
from selene_lib.paper.values import marked
from selene_lib.report.cells import number

MAX_ROWS = 300
MAX_PACKED_BYTES = 1_000_000  # of one table; a longer file is named, not carried


@dataclass(frozen=True)
class TableSpec:
    """A result file that is shown; `columns` are those to read, all of them where it is empty."""

    anchor: str
    title: str
    path: str
    columns: tuple[str, ...] = ()


_SCORES = (
    "judge",
    "set",
    "metric",
    "convention",
    "value",
    "ci95_low",
    "ci95_high",
    "n",
    "n_unparsed",
    "baseline_majority",
    "published",
    "status",
)
TABLES = (
    TableSpec("table-sources", "Training sources", f"{files.EXPLORE}/sources.csv"),
    TableSpec("table-sets", "Evaluation sets", f"{files.EXPLORE}/benchmarks.csv"),
    TableSpec("table-ablation", "Ablation of the sources", f"{files.ABLATE}/ablation.csv"),
    TableSpec("table-threshold", "Reward threshold", f"{files.ABLATE}/threshold_sweep.csv"),
    TableSpec(
        "table-losses", "Losses on held-out pairs, every seed", f"{files.TRAIN}/held_out.csv"
    ),
    TableSpec(
        "table-domains",
        "Domains, every reading (Table 2)",
        f"{files.DOMAINS}/domain_scores.csv",
        _SCORES,
    ),
    TableSpec("table-formats", "Prompt formats", f"{files.DOMAINS}/formats.csv"),
    TableSpec("table-arena", "Arena", f"{files.DOMAINS}/arena.csv"),
    TableSpec("table-audit", "Audit card", f"{files.DOMAINS}/audit.csv"),
    TableSpec(
        "table-yes-no", "Yes/No sets, every judge and yardstick", f"{files.EVALUATE}/yes_no.csv"
    ),
    TableSpec(
        "table-against",
        "Trained less others, same items",
        f"{files.EVALUATE}/yes_no_against.csv",
    ),
    TableSpec("table-calibration", "What calibration did", f"{files.EVALUATE}/calibration.csv"),
    TableSpec(
        "table-scores",
        "Every score in every convention",
        f"{files.EVALUATE}/scores.csv",
        _SCORES,
    ),
)


@dataclass(frozen=True)
class ShownTable:
    """A result file as a page shows it: text cells of the first rows, numbers marked.

    `rows` is None where there is no file; `packed` holds the whole file (`pack`), empty where it is
    too large to carry.
    """

    spec: TableSpec
    columns: tuple[tuple[str, bool], ...] = ()
    rows: tuple[tuple[str, ...], ...] | None = None
    n_rows: int = 0
    packed: str = ""
    filters: tuple[str, ...] = field(default=())


def shown_table(result_dir: Path, spec: TableSpec) -> ShownTable:
    """Return the table of a run, the judge that the run is about first."""
    table = files.run_table(result_dir, spec.path)
    if table is None:
        return ShownTable(spec)
    packed = pack((result_dir / spec.path).read_bytes())
    table = _main_first(table)
    columns = [c for c in spec.columns if c in table] or [c for c in table if c != "meta"]
    shown = _with_marks(table.head(MAX_ROWS))[columns]
    numeric = [pd.api.types.is_numeric_dtype(table[c]) and table[c].dtype != bool for c in columns]
    return ShownTable(
        spec,
        columns=tuple(zip(map(str, columns), numeric)),
        rows=tuple(tuple(map(number, row)) for row in shown.itertuples(index=False)),
        n_rows=len(table),
        packed=packed,
    )


def _main_first(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the main judge, then of the base, then of the others: what is cut off at the end
    of a long table is never the judge that the run is about.
    """
    if "judge" not in table:
        return table
    order = order_judges(_names(table["judge"]))
    place = {name: i for i, name in enumerate(order)}
    return table.sort_values("judge", key=lambda names: names.map(place), kind="stable")


def _names(judges: pd.Series) -> Sequence[str]:
    names = list(dict.fromkeys(judges.astype(str)))
    main = main_judge(names)
    return sorted(names, key=lambda name: (name != main, name != BASE))


def _with_marks(table: pd.DataFrame) -> pd.DataFrame:
    """A published value that nobody read at its source says so."""
    if not {"published", "published_note"} <= set(table):
        return table
    notes = table["published_note"].fillna("").astype(str)
    return table.assign(published=[marked(v, note) for v, note in zip(table["published"], notes)])


def pack(content: bytes, most: int = MAX_PACKED_BYTES) -> str:
    """Return gzip in base64, as the page's script unpacks it; nothing where it is over `most`."""
    packed = gzip.compress(content, 9, mtime=0)
    return base64.b64encode(packed).decode() if len(packed) <= most else ""
