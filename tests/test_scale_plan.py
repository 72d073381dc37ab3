"""The plan on paper in `docs/scale.md` is what `bench/scale_plan.py` prints."""

from __future__ import annotations

import re
import subprocess
import sys

from conftest import REPOSITORY

TIMED = "CPU hours, one core"


def cells(text: str) -> list[list[str]]:
    """The cells of all tables, without the hours that were timed on some machine."""
    rows: list[list[str]] = []
    leave_out = None
    for line in text.splitlines():
        if not line.startswith("|"):
            leave_out = None
            continue
        row = [cell.strip() for cell in line.strip("|").split("|")]
        if TIMED in row:
            leave_out = row.index(TIMED)
        rows.append([cell for i, cell in enumerate(row) if i != leave_out])
    return rows


def test_the_page_holds_what_the_command_prints():
    page = (REPOSITORY / "docs" / "scale.md").read_text(encoding="utf-8")
    kept = re.search(r"<!-- scale-plan -->\n(.*?)<!-- /scale-plan -->", page, re.DOTALL)
    command = [sys.executable, str(REPOSITORY / "bench" / "scale_plan.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    printed = cells(done.stdout)
    assert kept is not None and cells(kept[1]) == printed
    assert len(printed) > 20 and printed[0][0] == "stage"
