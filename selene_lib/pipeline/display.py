"""Tables in a notebook: texts whole and to the left, numbers to the right."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 60
LEFT = ' style="text-align:left;white-space:pre-wrap"'
RIGHT = ' style="text-align:right"'


def show_tables_whole() -> None:
    """In a notebook, let every data frame show itself by `table_html`; elsewhere do nothing."""
    import pandas as pd

    try:
        from IPython import get_ipython
    except ImportError:  # a plain interpreter
        return
    shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, table_html)


def table_html(table: pd.DataFrame) -> str:
    """Return a table as HTML: no text is cut, and a table that is too wide can be scrolled.

    An index that only counts is left out. Of more than sixty rows the first are shown, and how many
    there are.
    """
    import pandas as pd

    if not isinstance(table.index, pd.RangeIndex) or table.index.name:
        table = table.reset_index()
    shown = table.head(MOST_ROWS)
    looks = [_look(shown.iloc[:, i]) for i in range(shown.shape[1])]
    head = "".join(f"<th{look}>{_text(_name(c))}</th>" for c, look in zip(shown.columns, looks))
    rows = []
    for row in shown.itertuples(index=False, name=None):
        cells = "".join(f"<td{look}>{_text(value)}</td>" for value, look in zip(row, looks))
        rows.append(f'<tr valign="top">{cells}</tr>')
    left_out = len(table) - len(shown)
    more = f"<p>The first {len(shown)} of {len(table):,} rows.</p>" if left_out else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div style="overflow-x:auto"><table>{body}</table></div>{more}'


def _look(column: pd.Series) -> str:
    import pandas as pd

    is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return RIGHT if is_number else LEFT


def _name(column: Any) -> str:
    parts = column if isinstance(column, tuple) else (column,)
    return " ".join(str(part) for part in parts if str(part) and part != "index")


def _text(value: Any) -> str:
    """Escape a cell; a number that is not known is an empty cell."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return html.escape(str(value))
