"""Rubrics and data of other tools: what becomes of them, and what is said to be lost."""

from __future__ import annotations

import json

import pytest
import yaml
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.data.own_rows import OwnRows
from selene_lib.errors import UserError
from selene_lib.labels.importing import import_file, write_import
from selene_lib.prompts.rubrics import read_rubric

PROMETHEUS = {"criteria": "Is it kind?"} | {
    f"score{i}_description": f"level {i}" for i in range(1, 6)
}
FACT = {
    "fact": {
        "prompt": "Compare the answers.\n[BEGIN DATA]\n{input}\n{completion}\n[END DATA]\n"
        "Which is true?\n(A) The answer is wrong.\n(B) The answer is right.\n",
        "choice_strings": "AB",
        "choice_scores": {"A": 0.0, "B": 1.0},
        "input_outputs": {"input": "completion"},
    }
}
RANGES = [
    {"score_range": [2 * i, 2 * i + 1], "expected_outcome": f"level {i + 1}"} for i in range(5)
]
G_EVAL = {
    "name": "Kind",
    "criteria": "Is it kind?",
    "evaluation_steps": ["Read it."],
    "threshold": 0.5,
}


def saved(tmp_path, name, content):
    path = tmp_path / name
    dump = yaml.safe_dump if path.suffix in (".yaml", ".yml") else json.dumps
    lines = content if isinstance(content, str) else dump(content)
    path.write_text(lines, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content", "task", "lost"),
    [
        ("p.json", PROMETHEUS, "absolute", []),
        ("p.yaml", PROMETHEUS | {"author": "x"}, "absolute", ["key 'author'"]),
        ("f.yaml", FACT, "classification", ["key 'input_outputs'", "the values of choice_scores"]),
        ("g.json", G_EVAL, "classification", ["key 'threshold'", "the 0 to 10 scale"]),
        (
            "g.yaml",
            G_EVAL | {"rubric": RANGES},
            "absolute",
            ["key 'threshold'", "the score ranges"],
        ),
    ],
)
def test_a_rubric_becomes_ours_and_says_what_is_lost(tmp_path, name, content, task, lost):
    found = import_file(saved(tmp_path, name, content))
    (path,) = write_import(found, tmp_path / "out")
    text = read_rubric(path, found.task)  # ours reads it
    assert found.task == task
    assert len(found.lost) == len(lost)
    assert all(said.startswith(start) for said, start in zip(found.lost, lost))
    assert "kind" in text or "Compare the answers." in text


def test_choices_keep_their_meaning(tmp_path):
    found = import_file(saved(tmp_path, "f.yaml", FACT))
    assert found.labels == {"B": "Yes", "A": "No"}
    assert "Yes: The answer is right." in found.rubric
    assert "{input}" not in found.rubric


EVALS = [
    {
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}],
        "ideal": ["4", "four"],
    },
    {"input": "Capital of France?", "ideal": "Paris", "completion": "Paris", "choice": "B"},
]
ORIG = {
    "orig_instruction": "Say hi",
    "orig_response": "hi",
    "orig_reference_answer": "Hi!",
    "orig_criteria": "Is it kind?",
    **{f"orig_{key}": value for key, value in PROMETHEUS.items() if key != "criteria"},
    "orig_score": "4",
    "output": "feedback",
}


def test_evals_samples_are_rows_and_missing_answers_are_named(tmp_path):
    path = saved(tmp_path, "s.jsonl", "\n".join(map(json.dumps, EVALS)))
    found = import_file(path)
    assert found.rows[0]["instruction"] == "System: Be brief.\n\nUser: 2+2?"
    assert found.rows[0]["reference"] == "4"
    assert found.lost == [
        "further ideals of 1 samples: a judge is shown one reference",
        "responses: the samples hold none; let your model answer and fill them in",
    ]
    answered = import_file(saved(tmp_path, "t.jsonl", json.dumps(EVALS[1])))
    assert answered.rows[0]["response"] == "Paris"
    assert answered.rows[0]["label"] == "B"
    assert answered.lost == []


def test_prometheus_data_is_read_back_as_labelled_rows(tmp_path):
    found = import_file(saved(tmp_path, "d.json", [ORIG, ORIG | {"orig_response": "no"}]))
    (path,) = write_import(found, tmp_path / "out")
    samples = [one.sample for one in OwnRows(path, "absolute")]
    assert [s.label for s in samples] == ["4", "4"]
    assert "Score 5: level 5" in samples[0].rubric
    assert found.lost == ["column 'output'"]


def test_deepeval_cases_are_rows(tmp_path):
    case = {"input": "q", "actual_output": "a", "expected_output": "b", "context": ["c"]}
    found = import_file(saved(tmp_path, "c.json", [case]))
    assert found.rows == [{"instruction": "q", "response": "a", "reference": "b", "label": ""}]
    assert found.lost == ["column 'context'", "labels: there are none yet"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.json", {"score1_description": "x", "criteria": "y"}, "levels .1."),
        ("b.yaml", {"f": FACT["fact"] | {"choice_strings": "ABC"}}, "3 choices"),
        ("c.json", G_EVAL | {"rubric": RANGES[:2]}, "2 score ranges"),
        ("d.json", {"hello": 1}, "its keys: hello"),
        ("e.csv", "who,what\n1,2\n", "its columns: who, what"),
    ],
)
def test_what_cannot_be_carried_over_is_one_line(tmp_path, name, content, words):
    with pytest.raises(UserError, match=words) as caught:
        import_file(saved(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_the_command_names_files_and_losses_and_overwrites_nothing(tmp_path):
    path = saved(tmp_path, "f.yaml", FACT)
    run = ["import", str(path), "--out", str(tmp_path / "mine")]
    done = CliRunner().invoke(app, run)
    assert done.exit_code == 0, done.output
    assert "not carried over: key 'input_outputs'" in done.output
    assert "--label B=Yes --label A=No" in done.output
    again = CliRunner().invoke(app, run)
    assert isinstance(again.exception, UserError)
