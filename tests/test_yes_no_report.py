"""The table a run on real text opens with."""

from __future__ import annotations

import pandas as pd
import pytest

from selene_lib.figures import draw_yes_no
from selene_lib.figures.results import run_judgements
from selene_lib.files import write_jsonl, write_parquet
from selene_lib.judges.calibration import Calibration, Scaling
from selene_lib.pipeline.readme import laptop_blocks
from selene_lib.records import Judgement, Sample
from selene_lib.report.build import build_report
from selene_lib.report.yes_no import RULES, yes_no_rows


def row(set_name: str, who: str, kind: str, accuracy: float, **more) -> dict:
    low, high = accuracy - 0.05, accuracy + 0.05
    return {
        "set": set_name,
        "who": who,
        "kind": kind,
        "n": 160,
        "n_groups": 40,
        "majority": 0.55,
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "auc": accuracy,
        **more,
    }


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "laptop" / "05_evaluate_benchmarks"
    folder.mkdir(parents=True)
    rows = []
    for name, trained in (("refusal_test", 0.9), ("relevance_new", 0.6)):
        rows += [
            row(name, "base", "judge", 0.5),
            row(name, "dpo_nll-seed0", "judge", trained),
            row(name, "dpo_nll-seed0, before calibration", "judge", 0.7),
            *(row(name, rule, "yardstick", 0.58, auc=None) for rule in RULES),
        ]
    pd.DataFrame(rows).to_csv(folder / "yes_no.csv", index=False)
    explored = tmp_path / "laptop" / "01_explore_sources"
    explored.mkdir()
    roles = [("refusal_test", "benchmark"), ("relevance_new", "shifted")]
    pd.DataFrame(roles, columns=["name", "role"]).assign(
        task="classification", n=160, labels="", licence="MIT", status="read"
    ).to_csv(explored / "benchmarks.csv", index=False)
    return tmp_path / "laptop"


def test_every_set_stands_in_the_table_with_all_yardsticks(run):
    refusal, relevance = yes_no_rows(run)
    assert (refusal.set, refusal.above, refusal.shifted) == ("refusal_test", True, False)
    assert (relevance.set, relevance.above, relevance.shifted) == ("relevance_new", False, True)
    assert refusal.trained.accuracy == 0.9 and refusal.base.accuracy == 0.5
    assert len(refusal.rules) == len(RULES) and refusal.rules[0].auc is None


def test_a_run_without_yes_no_sets_has_no_such_table(tmp_path):
    assert yes_no_rows(tmp_path) == []


def test_the_report_opens_with_it(run, tmp_path):
    page = build_report(run, tmp_path / "figures", tmp_path / "report.html").read_text()
    assert page.index('id="yes-no"') < page.index('id="claims"')
    assert "TF-IDF + regression" in page and "0.900" in page and "transfer" in page


def test_the_picture_has_every_set_with_its_numbers(run):
    table = pd.read_csv(run / "05_evaluate_benchmarks" / "yes_no.csv")
    drawing = draw_yes_no(table)
    assert drawing.to_bytes("png").startswith(b"\x89PNG")
    assert set(drawing.table["who"]) == {"base", "dpo_nll-seed0", "TF-IDF + regression"}
    assert "refusal_test (n=160): trained, DPO+NLL, seed 0 0.900, base (untrained) 0.500" in (
        drawing.alt
    )
    assert draw_yes_no(table[table["kind"] == "yardstick"]).not_run


def test_the_readme_s_numbers_of_the_run_are_made_from_its_tables(run):
    rows = pd.read_csv(run / "05_evaluate_benchmarks" / "yes_no.csv")
    rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
    for measured in rows:
        measured["auc"] = 0.77
    blocks = laptop_blocks({"yes_no": rows})
    assert blocks["said:laptop"] == "refusal 0.50 to 0.90"
    lines = blocks["results:laptop"].strip().splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| `refusal_test` | 160 | 0.500 | **0.900** | 0.850 to 0.950 |")


def test_what_is_shown_of_a_judgement_is_what_was_scored(run):
    """The stored reply is the judge's own; report and figures show its scaled verdict."""
    sample = Sample("1", "made", "classification", "a", "b", rubric="Right?", label="No")
    folder = run / "01_explore_sources" / "benchmarks"
    write_parquet(folder / "refusal_test.parquet", [sample], Sample)
    said = Judgement(
        "base",
        "refusal_test",
        "1",
        "classification",
        "AB",
        "lean/classification",
        "0",
        "**Result:** Yes",
        "stop",
        "value",
        "Yes",
        {"Yes": 0.7, "No": 0.3},
    )
    judged = run / "05_evaluate_benchmarks"
    write_jsonl(judged / "judgements" / "base" / "refusal_test.jsonl", [said])
    assert [j.verdict for j in run_judgements(run)] == ["Yes"]
    Calibration(Scaling(1.0, -2.0, 40)).write(judged / "calibrations" / "base.json")
    (shown,) = run_judgements(run)
    assert shown.verdict == "No" and shown.meta["uncalibrated"] == {"Yes": 0.7, "No": 0.3}
