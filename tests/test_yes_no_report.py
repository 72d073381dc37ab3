"""The table a run on real text opens with."""

from __future__ import annotations

import pandas as pd
import pytest

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
