"""Two runs compared: scores with intervals, and every item that flipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_run import write_run
from synthetic_scores import write_evaluation
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.errors import UserError
from selene_lib.report import build_comparison
from selene_lib.report.compare import compare_runs, read_side

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and one whose judges replied otherwise to the same items."""
    home = tmp_path_factory.mktemp("two")
    one, other = write_run(home / "one"), write_run(home / "other")
    write_evaluation(other / "05_evaluate_benchmarks", np.random.default_rng(11), True)
    return one, other


def test_flips_are_the_items_that_one_run_alone_got_right(runs: tuple[Path, Path]) -> None:
    a, b = map(read_side, runs)
    found = compare_runs(a, b, show_texts=False)
    right = [
        {
            (name, s.id)
            for name, s, replies in side.judged.items()
            if all(j.verdict_of_sample == s.label for j in replies if j.judge == side.judge)
        }
        for side in (a, b)
    ]
    gained = {(f.set, f.id) for f in found.flips if f.kind == "B right, A wrong"}
    lost = {(f.set, f.id) for f in found.flips if f.kind == "A right, B wrong"}
    assert gained == right[1] - right[0] and lost == right[0] - right[1]
    assert sum(row.n_won for row in found.rows) == len(gained) > 0
    assert sum(row.n_lost for row in found.rows) == len(lost) > 0
    assert {reply.judge for reply in found.flips[0].replies} == {"A", "B"}


def test_a_difference_stands_beside_both_scores_with_its_interval(
    runs: tuple[Path, Path],
) -> None:
    found = compare_runs(*map(read_side, runs), show_texts=False)
    assert [row.set for row in found.rows] == [
        "nano-grades",
        "nano-ood-pairs",
        "nano-pairs",
        "nano-support",
    ]
    for row in found.rows:
        assert row.n == 40 and row.a is not None and row.b is not None
        assert row.low <= row.difference <= row.high and 0 < row.p <= 1
    same = compare_runs(read_side(runs[0]), read_side(runs[0]), show_texts=False)
    assert same.n_flips == 0 and {row.difference for row in same.rows} == {0.0}


def test_the_page_shows_texts_only_where_they_may_be_shown(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    page = build_comparison(*runs, tmp_path / "with.html", show_texts=True).read_text("utf-8")
    assert "Instruction 3" in page and "</script><script>window.broken" not in page
    bare = build_comparison(*runs, tmp_path / "without.html").read_text("utf-8")
    assert "Instruction 3" not in bare and "Texts are left out" in bare
    assert "right in B alone" in bare and "must not be redistributed" in bare


def test_runs_without_a_common_item_are_the_users_mistake(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no judgements of a trained judge"):
        build_comparison(runs[0], tmp_path / "empty", tmp_path / "out.html")


def test_the_command_compares_two_folders(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "both.html"
    asked = ["report", "--compare", *map(str, runs), "--out", str(out)]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert answer.output.strip() == str(out) and "Flips, item by item" in out.read_text("utf-8")


def test_the_command_builds_the_report_of_a_run_again(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELENE_HOME", str(tmp_path))
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts" / "nano").symlink_to(runs[0])
    monkeypatch.setattr("selene_lib.figures.draw_all", lambda *args, **options: None)
    answer = CliRunner().invoke(app, ["report", "--out", str(tmp_path / "r.html"), "--no-texts"])
    assert answer.exit_code == 0, answer.output
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "DPO+NLL lifts" in page and "Instruction 3" not in page
