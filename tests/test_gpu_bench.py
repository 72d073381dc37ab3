"""The GPU bench without a GPU: its script runs dry, and the published page is what its rows say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parent.parent / "bench"
REPORTS = BENCH.parent / "reports/gpu"


def run_dry(folder: Path, *arguments: str) -> list[dict]:
    command = [sys.executable, str(BENCH / "train_step_gpu.py"), "--dry", "--out", str(folder)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


@pytest.mark.long
def test_the_script_runs_dry_and_keeps_every_row(tmp_path):
    weights, side = run_dry(tmp_path, "--only", "make-8b,selene-varlen")
    assert [row["status"] for row in (weights, side)] == ["run"] * 2
    assert side["decision"]["attention"] == "varlen" and side["pairs_per_s"] > 0
    assert len(side["seconds"]) == 6


def test_a_stage_that_does_not_exist_or_has_no_time_left_is_said(tmp_path):
    script = [sys.executable, str(BENCH / "train_step_gpu.py"), "--dry", "--out", str(tmp_path)]
    wrong = subprocess.run([*script, "--only", "lok"], capture_output=True, text=True)
    assert wrong.returncode and "no stage 'lok'; there are look, attention" in wrong.stderr
    late = subprocess.run([*script, "--seconds", "1"], capture_output=True, text=True)
    assert late.returncode and "not run to their end: look, attention" in late.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["status"] for row in rows} == {"not run"} and len(rows) == 15


def test_the_published_page_is_made_of_its_rows(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    import gpu_table

    assert (REPORTS / "README.md").read_text(encoding="utf-8") == gpu_table.page(REPORTS)
