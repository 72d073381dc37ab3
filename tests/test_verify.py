"""A run beside the published one: the same, a second run elsewhere, a changed score."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from selene_lib.errors import UserError
from selene_lib.pipeline.verify import sealed, verify

ENVIRONMENT = {"cpu": "CPU one", "n_cpus": 2, "gpu": None, "versions": {"torch": "1", "numpy": "2"}}


def score(judge: str, value: float, half: float = 0.02) -> dict:
    return {
        "judge": judge,
        "set": "set-a",
        "task": "classification",
        "metric": "accuracy",
        "convention": "strict",
        "value": value,
        "ci95_low": value - half,
        "ci95_high": value + half,
        "n": 240,
        "meta": {},
    }


def mean(judge: str, value: float) -> dict:
    interval = {"ci95_low": value - 0.01, "ci95_high": value + 0.01}
    return {"judge": judge, "task": "overall", "value": value, "n": 720, **interval}


@pytest.fixture
def published() -> dict:
    judges = {"base": 0.4, "dpo-seed0": 0.30, "dpo-seed1": 0.34, "dpo-seed2": 0.42}
    return sealed(
        {
            "scores": [score(judge, value) for judge, value in judges.items()],
            "task_means": [mean(judge, value) for judge, value in judges.items()],
            "steps": {"04_train": {"n": 1, "run": "a"}},
            "environment": ENVIRONMENT,
        }
    )


def compared(tmp_path: Path, here: dict, there: dict):
    for name, results in (("here", here), ("there", there)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "results.json").write_text(json.dumps(results))
    return verify(tmp_path / "here", tmp_path / "there")


def changed(results: dict, row: int, value: float, **rest) -> dict:
    other = copy.deepcopy(results) | rest
    other["task_means"][row]["value"] = value
    return sealed(other)


def test_an_untouched_copy_is_equal_to_the_digit(tmp_path, published):
    found = compared(tmp_path, published, published)
    assert found.holds
    assert found.line().startswith("8 of 8 scores equal to the digit, 0 outside; CPU here CPU one")
    assert "the same versions" in found.line()


def test_a_second_run_is_within_the_spread_of_the_seeds(tmp_path, published):
    environment = ENVIRONMENT | {"cpu": "CPU two", "versions": {"torch": "1", "numpy": "3"}}
    found = compared(tmp_path, changed(published, 1, 0.41, environment=environment), published)
    assert found.holds
    line = found.line()
    assert "7 of 8 scores equal to the digit, 1 within seed spread, 0 outside" in line
    assert "+0.1100 (dpo-seed0, mean overall: 0.3000 [0.2900, 0.3100] -> 0.4100)" in line
    assert "CPU here CPU two (2 cores), there CPU one (2 cores)" in line
    assert "numpy 3 (there 2)" in line


def test_a_base_without_seeds_stays_within_its_interval_or_is_outside(tmp_path, published):
    found = compared(tmp_path, changed(published, 0, 0.409), published)
    assert found.holds
    assert "1 within their 95 % interval" in found.line()
    found = compared(tmp_path, changed(published, 0, 0.42), published)
    assert not found.holds
    assert found.count("outside") == 1


def test_a_score_outside_both_fails(tmp_path, published):
    found = compared(tmp_path, changed(published, 1, 0.43), published)
    assert not found.holds
    assert "1 outside" in found.line()


def test_a_score_that_was_edited_fails_however_small(tmp_path, published):
    edited = copy.deepcopy(published)
    edited["task_means"][1]["value"] += 1e-6
    for here, there in ((edited, published), (published, edited)):
        found = compared(tmp_path, here, there)
        assert not found.holds
        assert "was changed after its run wrote it" in found.line()


def test_a_missing_score_and_other_parameters_are_named(tmp_path, published):
    other = copy.deepcopy(published)
    del other["scores"][0]
    other["steps"]["04_train"] = {"n": 2, "run": "b"}
    found = compared(tmp_path, sealed(other), published)
    assert not found.holds
    assert "1 only there (first: base set-a classification accuracy strict" in found.line()
    assert found.other_parameters == ("04.n=2, published 1",)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"{}"])
def test_what_is_no_results_file_is_one_line(tmp_path, published, content):
    compared(tmp_path, published, published)
    (tmp_path / "here" / "results.json").write_bytes(content)
    with pytest.raises(UserError):
        verify(tmp_path / "here", tmp_path / "there")
    with pytest.raises(UserError, match="is not there"):
        verify(tmp_path / "absent", tmp_path / "there")
