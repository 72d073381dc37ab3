"""A user's tables: the right value, or one line with the row and the remedy."""

from __future__ import annotations

import csv
import datetime
import json
from pathlib import Path

import pytest

from selene_lib.data.conversations import text_of
from selene_lib.data.own_rows import OwnRows, read_label
from selene_lib.data.table_proof import check_output
from selene_lib.data.table_writing import TableShape, columns_beside, write_table
from selene_lib.data.tables import read_table
from selene_lib.errors import UserError
from selene_lib.prompts.rubrics import read_rubric

ROWS = [{"instruction": "go", "response": "x"}, {"instruction": "run", "response": "y"}]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.CSV", "instruction,response\ngo,x\n,,\nrun,y\n".replace(",,\n", ",\n")),
        ("a.csv", "\ufeffinstruction;response\ngo;x\nrun;y\n"),
        ("a.tsv", "instruction\tresponse\ngo\tx\nrun\ty\n"),
        ("a.jsonl", "\ufeff" + "\n".join(map(json.dumps, ROWS))),
        ("a.json", json.dumps(ROWS, indent=1)),
    ],
)
def test_the_same_rows_in_every_format(tmp_path, name, content):
    assert read_table(written(tmp_path / name, content)) == ROWS


def test_a_workbook_is_read(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (list(ROWS[0]), *([*row.values()] for row in ROWS)):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert read_table(tmp_path / "a.xlsx") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", 'i,r\na,b\nc,"d\ne,f\n', "row 2 .line 3.: a quote is opened and not closed"),
        ("a.csv", 'i,r\n"6" pipe,b\n', "row 1 .line 2.: a quote"),
        ("a.csv", "i,r,r\na,b,c\n", "the column 'r' stands twice"),
        ("a.csv", "i,r\na,b\nc\n", "row 2 .line 3. has fewer fields"),
        ("a.csv", "i,r\na,caf\xe9\n".encode("latin-1"), "line 2 is not UTF-8 text .byte 0xe9"),
        ("a.csv", "i,r\na,b\n".encode("utf-16"), "is UTF-16"),
        ("a.jsonl", '{"i": 1, "i": 2}\n', "the key 'i' stands twice"),
        ("a.jsonl", '{"i": Infinity}\n', "Infinity is not JSON"),
        ("a.jsonl", '{"i": "\\ud800"}\n', "half of a surrogate pair"),
        ("a.csv", "i,r\n,\n , \n", "holds no rows"),
    ],
)
def test_what_could_be_misread_is_one_line(tmp_path, name, content, words):
    with pytest.raises(UserError, match=words) as caught:
        read_table(written(tmp_path / name, content))
    assert "\n" not in str(caught.value)


def test_nan_is_no_value(tmp_path):
    assert read_table(written(tmp_path / "a.jsonl", '{"i": NaN, "r": 1}\n')) == [
        {"i": None, "r": 1}
    ]


@pytest.mark.parametrize(
    ("task", "cell", "label"),
    [
        *[("classification", cell, "Yes") for cell in ("yes", "YES", "Yes ", 1, "1", True, "true")],
        *[("classification", cell, "No") for cell in ("no", 0, "0.0", False)],
        *[("absolute", cell, "4") for cell in (" 4 ", 4, 4.0, "4.00")],
        *[("pairwise", cell, "A") for cell in ("a", "A ", "A.", "Response A")],
        *[("pairwise", cell, "tie") for cell in ("Tie", "TIE", "tie")],
        ("absolute", "", None),
    ],
)
def test_labels_as_people_write_them(task, cell, label):
    assert read_label("t, row 1", cell, task) == (label, None)


@pytest.mark.parametrize(
    ("task", "cell"),
    [("absolute", "6"), ("absolute", True), ("classification", "2"), ("pairwise", "1")],
)
def test_labels_that_could_be_two_things_are_refused(task, cell):
    with pytest.raises(UserError, match="t, row 1: label"):
        read_label("t, row 1", cell, task)


def test_a_mean_of_annotators_is_a_score():
    assert read_label("t", "3.67", "absolute") == (None, 3.67)


def test_conversations_are_turns_and_never_a_python_repr():
    turn = {"role": "user", "content": "hi"}
    assert text_of([turn]) == "hi"
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    assert text_of([turn, call]) == "User: hi\n\nAssistant: [calls f()]"
    parts = {"role": "user", "content": [{"type": "text", "text": "look"}]}
    assert text_of([parts]) == "look"
    for odd in ({"a": 1}, b"x", [1], [{"role": "user", "content": [{"type": "image_url"}]}]):
        with pytest.raises(ValueError, match="no text"):
            text_of(odd)


def own(tmp_path: Path, content: str, name: str = "in.csv", **options) -> list[str]:
    rows = OwnRows(written(tmp_path / name, content), "absolute", **{"rubric": "r", **options})
    return [one.sample.id for one in rows]


def test_ids_come_from_the_texts_and_count_equal_rows(tmp_path):
    body = "go,x\nrun,y\ngo,x\n"
    first = own(tmp_path, "instruction,response\n" + body)
    assert len(set(first)) == 3 and first[2] == f"{first[0]}-2"
    more = own(tmp_path, "instruction,response\nnew,z\n" + body, name="other.csv")
    assert more[1:] == first


def test_double_ids_and_empty_rubrics_name_their_row(tmp_path):
    with pytest.raises(UserError, match="row 2: the id 'a' stands in row 1"):
        own(tmp_path, "id,instruction,response\na,go,x\na,run,y\n")
    with pytest.raises(UserError, match="row 2: the rubric is empty"):
        own(tmp_path, "instruction,response,rubric\ngo,x,r\nrun,y, \n", rubric="")


def test_outputs_are_checked_before_anything_is_asked(tmp_path):
    source, store = written(tmp_path / "in.csv", "a\n1\n"), tmp_path / "s.jsonl"
    (tmp_path / "link.csv").symlink_to(source)
    for output, words in [
        (source, "is read by the same command"),
        (tmp_path / "link.csv", "is read by the same command"),
        (tmp_path, "is a folder"),
        (tmp_path / ("x" * 240 + ".csv"), "too long"),
        (written(tmp_path / "mine.csv", "a\n"), "is there already"),
        (source / "below.csv", "cannot write into"),
    ]:
        with pytest.raises(UserError, match=words):
            check_output(output, store, [source])
    with pytest.raises(UserError, match=r"\.xlsx is not one of"):
        TableShape(tmp_path / "a.xlsx")
    with pytest.raises(UserError, match="holds bytes values"):
        TableShape(tmp_path / "a.csv").see([{"a": b"x"}])
    with pytest.raises(UserError, match="mixes kinds of values"):
        TableShape(tmp_path / "a.parquet").see([{"a": 1}, {"a": "x"}])


def test_times_and_formulas_are_written_as_text(tmp_path):
    day = datetime.date(2026, 1, 2)
    write_table(tmp_path / "a.jsonl", [{"day": day, "n": float("nan")}])
    assert json.loads((tmp_path / "a.jsonl").read_text()) == {"day": "2026-01-02", "n": None}
    write_table(tmp_path / "a.csv", [{"a": "=1+1", "b": "@x", "c": "-5", "d": {"k": [1]}}])
    (row,) = csv.DictReader((tmp_path / "a.csv").read_text().splitlines())
    assert row == {"a": "'=1+1", "b": "'@x", "c": "-5", "d": '{"k": [1]}'}


def test_a_users_columns_are_never_written_over():
    assert columns_beside(["verdict"], ["text"], "") == {"verdict": "verdict"}
    assert columns_beside(["verdict", "status"], ["status"], "") == {
        "verdict": "selene_verdict",
        "status": "selene_status",
    }
    with pytest.raises(UserError, match="--prefix"):
        columns_beside(["verdict"], ["verdict", "selene_verdict"], "")


def test_a_rubric_in_another_encoding_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"r\.txt, line 2 is not UTF-8"):
        read_rubric(written(tmp_path / "r.txt", b"Good?\n1: b\xe9\n"), "absolute")
    bom = written(tmp_path / "b.txt", "\ufeffGood?\n" + "".join(f"{n}: x\n" for n in range(1, 6)))
    assert read_rubric(bom, "absolute").startswith("Good?\nScore 1: x")


def test_a_rubric_column_of_ten_levels_is_refused_before_anything_is_asked(tmp_path):
    ten = "Right?\n" + "\n".join(f"{i}: level {i}" for i in range(1, 11))
    rows = [{**ROWS[0], "rubric": "Right?"}, {**ROWS[1], "rubric": ten}]
    path = written(tmp_path / "a.json", json.dumps(rows))
    with pytest.raises(UserError, match="row 2: the rubric describes a level 6; scores here go"):
        list(OwnRows(path, "absolute"))
    assert len(list(OwnRows(path, "classification"))) == 2  # no scale of that task
