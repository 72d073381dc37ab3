"""What to label next, the widget that asks, and the picture of what more labels bring."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from selene_lib.data.own_rows import OwnRows
from selene_lib.errors import UserError
from selene_lib.figures.learning import draw_learning_curve
from selene_lib.labels.choosing import DISPUTED, RANDOM, UNCERTAIN, Choice, order_items
from selene_lib.labels.widget import LabelFile, Labeller, keys_of
from selene_lib.records import Sample
from selene_lib.steps.own_labels import mapping_of


def item(i, task="classification", text="answer"):
    second = "other" if task == "pairwise" else None
    return Sample(f"s{i}", "t", task, f"q{i}", text, second, rubric="Is it right?", group=f"g{i}")


ITEMS = [item(i) for i in range(200)]
CONFIDENCE = {s.id: 0.5 + 0.5 * i / 200 for i, s in enumerate(ITEMS)}


def test_disputed_items_come_first_then_the_least_certain():
    said = dict.fromkeys(CONFIDENCE, "Yes")
    second = said | {"s150": "No", "s70": "No"}
    chosen = order_items(ITEMS, CONFIDENCE, said, second, random_share=0)
    assert [(c.sample.id, c.why) for c in chosen[:4]] == [
        ("s70", DISPUTED),
        ("s150", DISPUTED),
        ("s0", UNCERTAIN),
        ("s1", UNCERTAIN),
    ]
    assert {c.sample.id for c in chosen} == set(CONFIDENCE)


def test_a_random_share_is_drawn_whatever_the_judge_thinks():
    chosen = order_items(ITEMS, CONFIDENCE, random_share=0.3, seed=1)
    assert [c.sample.id for c in chosen] == [
        c.sample.id for c in order_items(ITEMS[::-1], CONFIDENCE, random_share=0.3, seed=1)
    ]
    first = chosen[:100]
    drawn = [CONFIDENCE[c.sample.id] for c in first if c.why == RANDOM]
    assert 20 <= len(drawn) <= 40
    uncertain = np.mean([CONFIDENCE[c.sample.id] for c in first if c.why == UNCERTAIN])
    assert np.mean(drawn) > uncertain + 0.1
    with pytest.raises(ValueError, match="random_share"):
        order_items(ITEMS, CONFIDENCE, random_share=2)


def test_an_item_without_a_verdict_is_the_least_certain():
    chosen = order_items(ITEMS, {**CONFIDENCE, "s199": None}, random_share=0)
    assert chosen[0].sample.id == "s199"


def choices(n=3, task="classification"):
    return [Choice(item(i, task, f"<b>{i}</b>"), UNCERTAIN) for i in range(n)]


def saved(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return {row["id"]: row["label"] for row in csv.DictReader(stream)}


def test_every_label_is_saved_at_once_and_a_new_widget_goes_on(tmp_path):
    path = tmp_path / "new.csv"
    labeller = Labeller(choices(), path)
    assert "&lt;b&gt;0&lt;/b&gt;" in labeller.item.value
    labeller.press("y")
    assert saved(path) == {"s0": "Yes"}
    labeller.press("s")
    assert labeller.current.sample.id == "s2"
    labeller.box.value = "N"  # the keyboard
    assert labeller.box.value == ""
    assert saved(path) == {"s0": "Yes", "s2": "No"}
    labeller.press("x")
    again = Labeller(choices(), path)
    assert again.current.sample.id == "s1"
    again.widget.children[1].children[1].click()  # the button of No
    assert saved(path) == {"s0": "Yes", "s1": "No", "s2": "No"}
    assert "Done: 3 labels" in again.item.value
    again.press("y")
    rows = list(OwnRows(path, "classification"))
    assert [one.sample.label for one in rows] == ["Yes", "No", "No"]
    assert rows[0].sample.group == "g0"


def test_a_file_of_something_else_is_not_written_over(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="other columns"):
        LabelFile(path)
    assert path.read_text() == "a,b\n1,2\n"
    with pytest.raises(UserError, match="no item to label"):
        Labeller([], tmp_path / "x.csv")


def test_keys_and_both_answers_of_a_pair(tmp_path):
    assert keys_of("absolute") == {key: key for key in "12345"}
    labeller = Labeller(choices(1, "pairwise"), tmp_path / "p.csv")
    assert "Answer B" in labeller.item.value
    labeller.press("t")
    assert saved(tmp_path / "p.csv") == {"s0": "tie"}


def test_the_learning_curve_says_what_it_shows():
    points = pd.DataFrame(
        {
            "n_labels": [100, 25],
            "accuracy": [0.8, 0.6],
            "accuracy_low": [0.7, 0.5],
            "accuracy_high": [0.9, 0.7],
        }
    )
    drawing = draw_learning_curve(points, 0.5)
    assert drawing.alt == "25 labels 0.600, 100 labels 0.800; commonest label 0.500."
    assert drawing.to_bytes("png").startswith(b"\x89PNG")
    assert draw_learning_curve(points.iloc[:0], 0.5).not_run


def test_mappings_in_a_notebook():
    assert mapping_of("good=Yes, not so good = No,") == {"good": "Yes", "not so good": "No"}
    with pytest.raises(UserError, match="write it as name=name"):
        mapping_of("good")
