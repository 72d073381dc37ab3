"""The agreement report as one HTML file that opens from disk, and as JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, missing_package
from selene_lib.evaluation.agreement.summary import Agreement
from selene_lib.files import check_outputs, read_json, write_json, write_text

TEMPLATE = Path(__file__).parent / "page.html"
# how a page that was written here is known
_HEADING = b"<h1>How far the judge agrees with the labels</h1>"
SHOWN = 50  # disagreements in the page; the JSON file has them all


def write_agreement(
    found: Agreement,
    stem: str | Path,
    name: str,
    compared: Sequence[Mapping[str, Any]] = (),
) -> tuple[Path, Path]:
    """Write `<stem>.html` and `<stem>.json`; return both paths.

    `name` says which table it is about. `compared` are further judges and yardsticks on the same
    items: `who`, `accuracy`, `kappa`, each with `_low` and `_high`.
    """
    html_path, json_path = agreement_paths(stem)
    values = found.to_dict() | {"compared": [dict(row) for row in compared]}
    write_json(json_path, values)
    return write_text(html_path, to_html(found, values, name)), json_path


def agreement_paths(stem: str | Path) -> tuple[Path, Path]:
    """Return where page and numbers are written, `<stem>.html` and `<stem>.json`."""
    stem = Path(stem)
    if stem.name in ("", ".."):
        raise UserError(f"{str(stem)!r} is no name for a report; give one such as labels.agreement")
    return stem.with_name(f"{stem.name}.html"), stem.with_name(f"{stem.name}.json")


def check_agreement(stem: str | Path, read: Sequence[str | Path]) -> None:
    """Raise a UserError where page or numbers would destroy a file, or cannot be written."""
    html, numbers = agreement_paths(stem)
    check_outputs([(html, _is_page), (numbers, _are_numbers)], read)


def _is_page(path: Path) -> bool:
    return _HEADING in path.read_bytes()


def _are_numbers(path: Path) -> bool:
    try:
        found = read_json(path)
    except ValueError:
        return False
    return isinstance(found, dict) and {"measures", "baselines", "compared"} <= set(found)


def to_html(found: Agreement, values: Mapping[str, Any], name: str) -> str:
    """Return the page; every text of the user's is escaped."""
    import jinja2

    picture, alt = _picture(found)
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    page: str = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        r=values,
        name=name,
        sentence=verdict_on(found),
        accuracy=found.value("accuracy"),
        compared=values["compared"],
        picture=picture,
        alt=alt,
        shown=SHOWN,
    )
    return page


def _picture(found: Agreement) -> tuple[str, str]:
    """The confusion matrix as an image inside the page, and its words; both empty where nothing
    draws (the light core): the page then shows the counts as a table.
    """
    try:
        from selene_lib.figures.confusion import draw_confusion
    except ModuleNotFoundError as error:
        if not missing_package(error):
            raise
        return "", ""
    drawn = draw_confusion(found.confusion)
    data = base64.b64encode(drawn.to_bytes("png")).decode()
    return f"data:image/png;base64,{data}", drawn.alt


def verdict_on(found: Agreement) -> str:
    """Say in a sentence whether the judge beats what needs no judge: the commonest label."""
    row = found.measures[found.measures.measure == "accuracy"].iloc[0]
    majority = found.baselines["majority"]
    says = f"Accuracy {row.value:.3f} [{row.ci95_low:.3f}, {row.ci95_high:.3f}]"
    if row.ci95_low > majority:
        return f"{says} lies above {majority:.3f}, what always giving the commonest label scores."
    if row.ci95_high < majority:
        return (
            f"{says} lies below {majority:.3f}, what always giving the commonest label scores: "
            "this judge is worse than none."
        )
    return (
        f"{says} cannot be told from {majority:.3f}, what always giving the commonest label "
        "scores: these labels do not show that the judge is worth asking."
    )
