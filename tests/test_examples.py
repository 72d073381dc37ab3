"""The examples run as they stand."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long


EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_data_to_adapter_on_one_screen(tmp_path):
    script = EXAMPLES / "train_minimal.py"
    assert len(script.read_text().splitlines()) <= 60
    command = [sys.executable, str(script), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "out" / "log.csv").read_text().count("\n") == 31  # the head and 30 steps
    right = dict(re.findall(r"(base|trained): (\d+) of 40 right", done.stdout))
    assert int(right["trained"]) >= int(right["base"]) + 5  # 19 and 32 when this was written
    judged = judge_first_answer(tmp_path / "out" / "adapter", tmp_path / "judged.csv")
    shown = answer_in_the_readme()
    assert [shown[name] for name in ("request", "answer", "rubric")] == [
        judged[name] for name in ("instruction", "response", "rubric")
    ]
    # another processor may word it another way; what decides must be there
    assert shown["verdict"] == judged["verdict"] == judged["label"] == "No"
    assert "tulip plant no" in shown["critique"] and "tulip plant no" in judged["reasoning"]


def judge_first_answer(adapter: Path, output: Path) -> dict[str, str]:
    """Judge the answers of the README's example; return the first row with its verdict."""
    arguments = ["--task", "classification", "--input", str(EXAMPLES / "first_answers.csv")]
    arguments += ["--adapter", str(adapter), "--output", str(output)]
    command = [sys.executable, "-m", "selene_lib.cli", "judge", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with output.open(encoding="utf-8", newline="") as stream:
        return next(csv.DictReader(stream))


def answer_in_the_readme() -> dict[str, str]:
    """The judged answer that the README opens with."""
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    lines = text.partition("One judged answer:")[2].strip().splitlines()
    names, values = (line.strip("|").split("|") for line in (lines[0], lines[2]))
    return {name.strip(): value.strip(" *") for name, value in zip(names, values)}
