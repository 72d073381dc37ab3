"""Read the sheets of a workbook (.xlsx)."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from selene_lib.errors import UserError

# what zipfile and openpyxl raise for a file that is none of theirs, or a damaged one: RuntimeError
# for a password or an unknown way of packing, SyntaxError for a part that is no XML
_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_REFERENCE = re.compile(rb"&#(x[0-9a-fA-F]{1,8}|[0-9]{1,8});")
_MARK = "\ufdd0reference to no character: "  # U+FDD0 is never in a text


def read_sheets(
    path: Path, *, broken_cells: bool = False
) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield `(sheet name, rows of cell values)` of a workbook; empty rows are left out.

    A file that is no workbook, or a damaged one, is a UserError. With `broken_cells`, a cell with a
    reference to a character that XML does not have is bytes, which no row takes for text.
    """
    import openpyxl

    try:
        source = _with_marked_references(path) if broken_cells else path
        book = openpyxl.load_workbook(source, read_only=True, data_only=True)
        try:
            for sheet in book.worksheets:
                yield sheet.title, _rows_with_cells(sheet)
        finally:
            book.close()
    except _FAULTS as error:
        raise UserError(
            f"cannot read {path} ({error}): not a workbook, or a damaged one; fetch it again, or "
            "save it as .xlsx or .csv"
        ) from error


def _rows_with_cells(sheet: Any) -> list[tuple[Any, ...]]:
    rows = []
    for row in sheet.iter_rows(values_only=True):
        if any(cell is not None for cell in row):
            rows.append(tuple(_unless_marked(cell) for cell in row))
    return rows


def _with_marked_references(path: Path) -> BinaryIO:
    """The workbook with its references to no character as text that `_unless_marked` knows."""
    marked = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(marked, "w") as new:
        for part in old.infolist():
            new.writestr(part, _REFERENCE.sub(_marked, old.read(part)))
    marked.seek(0)
    return marked


def _marked(reference: re.Match[bytes]) -> bytes:
    digits = reference[1].decode().lower()
    code = int(digits[1:], 16) if digits.startswith("x") else int(digits)
    is_character = code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE
    is_character = is_character or 0x10000 <= code < 0x110000
    return reference[0] if is_character else _MARK.encode() + reference[1]


def _unless_marked(cell: Any) -> Any:
    is_marked = isinstance(cell, str) and _MARK in cell
    return cell.encode() if is_marked else cell
