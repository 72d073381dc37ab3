"""Judge outputs that others published, counted again."""

from __future__ import annotations

import json

import pytest
from adapter_checks import SHAPES
from published_shapes import lines
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import headline, score_set
from selene_lib.judges.imported import import_judgements
from selene_lib.records import Sample

SAMPLES = [
    Sample(
        f"s{i}", "judgebench", "pairwise", f"q {i}", "a", "b", label="A", meta={"pair_id": f"p{i}"}
    )
    for i in range(4)
]


def written(tmp_path, rows):
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_outputs_of_judgebench_give_its_own_number(tmp_path):
    """Right twice, right and tie, right and wrong, nothing read: two of four."""
    decisions = [("A>B", "B>A"), ("A>B", "A=B"), ("A>B", "A>B"), (None, None)]
    rows = []
    for i, pair in enumerate(decisions):
        judgments = [{"decision": d, "judgment": "text"} if d else None for d in pair]
        rows.append({"pair_id": f"p{i}", "judge_name": "x", "judgments": judgments})
    judgements = import_judgements(
        written(tmp_path, rows), SAMPLES, judge="x", set_name="judgebench"
    )
    assert len(judgements) == 8
    scores = score_set(SAMPLES, judgements, judge="x", set_name="judgebench", n_resamples=20)
    (whole,) = headline(scores)
    assert (whole.value, whole.convention) == (0.5, "JudgeBench's rule")


def test_plain_rows_and_their_faults(tmp_path):
    rows = [{"id": i, "verdict": "A", "order": "AB"} for i in range(4)]
    rows += [{"id": f"s{i}", "verdict": "A", "order": "BA"} for i in range(4)]
    found = import_judgements(written(tmp_path, rows), SAMPLES, judge="x", set_name="judgebench")
    assert [j.verdict_of_sample for j in found] == ["A"] * 4 + ["B"] * 4
    for row, message in (
        ({"id": "nobody", "verdict": "A"}, "line 1: 'nobody' is no item of judgebench"),
        ({"id": 0, "verdict": "C"}, "verdict 'C' is not one of A, B, tie"),
        ({"id": 0, "verdict": "A", "order": "XY"}, "order 'XY' is not AB or BA"),
        ({"id": 0}, "neither 'judgments' nor 'verdict'"),
    ):
        with pytest.raises(UserError, match=message):
            import_judgements(written(tmp_path, [row]), SAMPLES, judge="x", set_name="judgebench")


def test_the_command_prints_every_convention(tmp_path):
    name = "dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl"
    lines(name)(tmp_path / "judgebench", [SHAPES["judgebench"].record(i) for i in range(350)])
    judgments = [{"decision": "B>A"}, {"decision": "A>B"}]
    rows = [{"pair_id": f"p{i}", "judgments": judgments} for i in range(350)]
    path = written(tmp_path, rows)
    options = ["--set", "judgebench", "--judge", "x", "--data-dir", str(tmp_path), "--json"]
    done = CliRunner().invoke(app, ["import-outputs", str(path), *options, "--n-resamples", "20"])
    assert done.exit_code == 0, done.output
    shown = {(row["metric"], row["convention"]): row["value"] for row in json.loads(done.output)}
    assert shown["accuracy", "JudgeBench's rule"] == 1.0
