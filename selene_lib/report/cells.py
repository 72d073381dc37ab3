"""How a page is written: its templates, and one way to write numbers, shares and counts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.figures.judges import judge_label
from selene_lib.figures.words import STAGES, words

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
MISSING = "–"


def environment() -> jinja2.Environment:
    """Return the templates of this folder; everything put into them is escaped."""
    import jinja2

    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, written in (("number", number), ("share", share), ("count", count)):
        found.filters[name] = written
    found.filters |= {"label": judge_label, "stage": stage_words}
    found.globals |= {
        "style": (HERE / "style.css").read_text(encoding="utf-8"),
        "script": (HERE / "script.js").read_text(encoding="utf-8"),
    }
    return found


def stage_words(name: str) -> str:
    """Return a stage of the curation in the words of Fig. 2."""
    return words(STAGES, name)


def number(value: Any) -> str:
    """Write a cell: floats with three decimals, whole numbers as such, nothing as a dash."""
    if _is_missing(value):
        return MISSING
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _decimal(value: float) -> str:
    if abs(value) < 1000:
        return f"{value:.3f}"
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.1f}"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def share(value: float | None) -> str:
    """Write a score with three decimals, a missing one as a dash."""
    return number(None if value is None else float(value))


def count(value: Any) -> str:
    """Write a count with thousands separators, a missing one as a dash."""
    return MISSING if _is_missing(value) else f"{int(value):,}"


def interval(low: float | None, high: float | None) -> str:
    """Write an interval in brackets, one without ends as nothing."""
    return "" if _is_missing(low) or _is_missing(high) else f"[{share(low)}, {share(high)}]"
