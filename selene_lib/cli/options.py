"""What the commands share: options, and rows shown as a table or as JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from selene_lib.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

N = TypeVar("N", int, float, int | None, float | None)
RunOption = Annotated[str, typer.Option("--run", help="a run of runs/*.yaml, a YAML file, or nano")]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="folder with the publishers' files, one folder a set"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, or notebook.key=value")
]


def count(value: int | None) -> int | None:
    """Take a whole number from 1, or none; the callback of an option."""
    return _checked(value, value is None or value >= 1, "a whole number from 1")


def from_zero(value: int | None) -> int | None:
    """Take a whole number from 0, or none; the callback of an option."""
    return _checked(value, value is None or value >= 0, "a whole number from 0")


def share(value: float | None) -> float | None:
    """Take a share from 0 to 1, or none; the callback of an option."""
    return _checked(value, value is None or 0 <= value <= 1, "a share from 0 to 1")


def positive(value: float | None) -> float | None:
    """Take a finite number over 0, or none; the callback of an option."""
    return _checked(value, value is None or 0 < value < math.inf, "a number over 0")


def not_negative(value: float | None) -> float | None:
    """Take a finite number from 0, or none; the callback of an option."""
    return _checked(value, value is None or 0 <= value < math.inf, "a number from 0")


def port_number(value: int) -> int:
    """Take the number of a port; the callback of an option."""
    return _checked(value, 0 <= value <= 65535, "the number of a port, 0 to 65535")


def _checked(value: N, is_good: bool, wanted: str) -> N:
    if not is_good:
        raise typer.BadParameter(f"{value} is not {wanted}")
    return value


ResamplesOption = Annotated[int, typer.Option(help="bootstrap resamples", callback=count)]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", help="ours=theirs, as in response=answer; may be given again"),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option("--label", help="theirs=ours, as in good=Yes; may be given again"),
]


def folder(path: Path | None) -> Path | None:
    """Return the resolved folder (None stays None); one that is not there is a UserError."""
    if path is None:
        return None
    if not path.is_dir():
        raise UserError(
            f"data folder {path} is not there; give the folder that holds one folder for each set"
        )
    return path.resolve()


def print_rows(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...] = ()) -> None:
    """Print all of the rows as JSON, or `columns` of them (all if empty) as an aligned table."""
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        print("nothing to show")
        return
    names = list(columns or rows[0])
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    for line in [names, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts, None where it holds no value."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def pairs_of(given: list[str] | None, option: str) -> dict[str, str]:
    """Read `a=b` options as a mapping; another form is a UserError."""
    found = {}
    for text in given or []:
        left, mark, right = text.partition("=")
        if not mark or not left.strip() or not right.strip():
            raise UserError(f"{option} {text!r}: write it as name=name")
        if left.strip() in found:
            raise UserError(f"{option} {left.strip()}=... is given twice: keep the one that holds")
        found[left.strip()] = right.strip()
    return found
