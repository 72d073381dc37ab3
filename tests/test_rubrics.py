"""Rubric files: the spellings that are read, and what is named instead of being lost."""

from __future__ import annotations

import json

import pytest

from selene_lib.errors import UserError
from selene_lib.prompts.presets import rubric_of
from selene_lib.prompts.rubrics import check_own, misfit_of, read_rubric, split_rubric

WORDS = ("bad", "weak", "fair", "good", "best")
WANTED = "Is it right?\n" + "\n".join(f"Score {i}: {w}" for i, w in enumerate(WORDS, 1))


@pytest.mark.parametrize(
    "form",
    [
        "{}: {}",
        "Score {}: {}",
        "- **{}**: {}",
        "**{}:** {}",
        "{}. {}",
        "{}) {}",
        "{} - {}",
        "{}：{}",
    ],
)
def test_every_spelling_of_a_level_is_read(tmp_path, form):
    path = tmp_path / "r.txt"
    lines = [form.format(i, word) for i, word in enumerate(WORDS, 1)]
    path.write_text("\ufeff" + "\n".join(["Is it right?", *lines]), encoding="utf-8")
    assert read_rubric(path, "absolute") == WANTED
    path.write_text("\n".join(["Is it right?", *lines[::-1]]), encoding="utf-8")
    assert read_rubric(path, "absolute") == WANTED


def test_a_rubric_of_prometheus_is_read(tmp_path):
    path = tmp_path / "r.json"
    levels = {f"score{i}_description": word for i, word in enumerate(WORDS, 1)}
    path.write_text(json.dumps({"criteria": "Is it right?", **levels}))
    assert read_rubric(path, "absolute") == WANTED
    path.write_text(json.dumps({"criteria": "Is it right?", **levels, "score6_description": "x"}))
    with pytest.raises(UserError, match="a level 6"):
        read_rubric(path, "absolute")


LEVELS = "\n".join(f"{i}: {word}" for i, word in enumerate(WORDS, 1))
WRONG = {
    "Is it right?\n" + "\n".join(f"{i}: level" for i in range(1, 11)): "line 7: a level 6",
    f"5: points are given\n{LEVELS}": "line 2: level 1 follows level 5",
    f"Is it right?\n{LEVELS}\n5: again": "line 7: 5 is described twice",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_levels_that_are_not_five_in_order_are_named_with_their_line(tmp_path, text, message):
    path = tmp_path / "r.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_rubric(path, "absolute")


def test_words_of_another_task_stay_in_the_text(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text(f"Is it right?\nNo: spam\n{LEVELS}")
    assert read_rubric(path, "absolute").startswith("Is it right?\nNo: spam\nScore 1: bad")
    path.write_text("Look at\n1. facts\n2. tone\nYes: fine\nNo: not fine")
    assert read_rubric(path, "classification").startswith("Look at\n1. facts\n2. tone\nYes: fine")


def test_a_rubric_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "r.txt"
    path.write_bytes("Is it a café?\n1: x".encode("latin-1"))
    with pytest.raises(UserError, match="is not UTF-8"):
        read_rubric(path, "absolute")


TEN = "Is it right?\n" + "\n".join(f"Score {i}: level {i}" for i in range(1, 11))
ZERO = "Is it right?\n" + "\n".join(f"{i}: level {i}" for i in range(6))
LIST = "Look at:\n" + "\n".join(f"{i}. point {i}" for i in range(1, 8))


@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        (TEN, "absolute", "describes a level 6"),
        (ZERO, "absolute", "describes a level 0"),
        ("Right?\n5: good\n1: bad\n5: very good", "absolute", "describes 5 twice"),
        ("Right?\nYes: it is\nNo: it is not\nyes: or so", "classification", "describes Yes twice"),
        (WANTED, "absolute", ""),
        (LIST, "absolute", ""),
        ("By 12: noon", "absolute", ""),
        (TEN, "pairwise", ""),
    ],
)
def test_a_scale_that_does_not_fit_its_task_is_named(text, task, words):
    assert misfit_of(text, task).startswith(words)
    if words:
        with pytest.raises(UserError, match=words):
            split_rubric(text, task)


@pytest.mark.parametrize(
    ("text", "task", "words"),
    [
        (TEN, "absolute", "describes a level 6"),
        ("Good?\n1: bad\n2: ok\n3: fine", "absolute", "describes no 4, 5"),
        ("Good?\n0: bad\n1: fine", "absolute 0-5", "describes no 2, 3, 4, 5"),
        ("Good?\n" + "\n".join(f"Level {i}: l" for i in range(1, 8)), "absolute", "a level 6"),
        ("Good?\n1-2: bad\n3-6: ok\n7-10: fine", "absolute", "a level 6"),
        ("Good?\n0: bad\n50: ok\n100: fine", "absolute", "a level 0"),
        ("Good?\n1-2: bad\n3-4: ok\n5: fine", "absolute", ""),
        ("Good?\n1: bad\n3: ok\n5: fine", "absolute", ""),
        ("Good?\n5: perfect", "absolute", ""),
        ("Good?\n1: bad\n2: ok\n3: fine", "absolute 1-3", ""),
        ("Good?\n1: bad\n2: ok\n3: fine", "classification", ""),
        ("By 12: noon\nBy 13: lunch", "absolute", ""),
        (LIST, "absolute", ""),
        (WANTED, "absolute", ""),
    ],
)
def test_a_rubric_of_a_users_is_a_scale_of_its_task_or_none(text, task, words):
    if not words:
        check_own(text, task)
        return
    with pytest.raises(UserError, match=words):
        check_own(text, task)
    with pytest.raises(UserError, match=words):
        rubric_of(text, task)


def test_lines_that_are_no_level_of_the_task_stay_where_they_are():
    criterion, levels = split_rubric("No: spam\n" + WANTED, "absolute")
    assert criterion == "No: spam\nIs it right?" and levels["5"] == "best"
    assert split_rubric(LIST, "absolute") == (LIST, {})
    assert split_rubric(WANTED, "pairwise") == (WANTED, {})
    assert split_rubric("1: one\nYes: it is\nNo: not", "classification") == (
        "1: one",
        {"Yes": "it is", "No": "not"},
    )
