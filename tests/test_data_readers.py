"""Readers of the publishers' files.

Every format, broken records, and the same records whatever the block size.
"""

from __future__ import annotations

import gzip
import json
import lzma
import zipfile

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.data import BrokenRow, readers
from selene_lib.data.readers import read_records
from selene_lib.data.workbooks import read_sheets
from selene_lib.errors import UserError

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)
RECORDS = st.lists(
    st.dictionaries(st.text(max_size=4), JSON_VALUES, min_size=1, max_size=3), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(
    records=RECORDS,
    block=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
    lines=st.booleans(),
)
def test_json_is_read_whole_at_every_block_size(tmp_path_factory, records, block, indent, lines):
    path = tmp_path_factory.mktemp("json") / "x.json"
    text = (
        "\n".join(json.dumps(r) for r in records) if lines else json.dumps(records, indent=indent)
    )
    path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK_CHARACTERS", block)
        read = list(read_records(path))
    assert [record for _, record in read] == records
    assert [place for place, _ in read] == [f"x.json, row {n}" for n in range(1, len(records) + 1)]


def test_one_object_over_several_lines_is_one_record(tmp_path):
    (tmp_path / "x.json").write_text(json.dumps({"a": [1, 2]}, indent=2))
    assert list(read_records(tmp_path / "x.json")) == [("x.json, row 1", {"a": [1, 2]})]


def test_nan_gzip_byte_order_mark_and_blank_lines(tmp_path):
    data = '\ufeff\n{"a": NaN}\n\n{"a": 1}\n'.encode()
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(data))
    records = [record for _, record in read_records(tmp_path / "x.jsonl.gz")]
    assert len(records) == 2 and records[0]["a"] != records[0]["a"] and records[1] == {"a": 1}


@pytest.mark.parametrize("first", [True, False])
def test_a_broken_json_line_costs_one_row(tmp_path, first):
    good, bad = '{"a": 1}', '{"a": '
    (tmp_path / "x.jsonl").write_text("\n".join([bad, good, good] if first else [good, bad, good]))
    records = [record for _, record in read_records(tmp_path / "x.jsonl")]
    assert [isinstance(record, BrokenRow) for record in records] == [first, not first, False]


def test_a_cut_array_names_its_row(tmp_path):
    (tmp_path / "x.json").write_text('[{"a": 1}, {"a": 2')
    *good, (place, broken) = read_records(tmp_path / "x.json")
    assert (
        [record for _, record in good] == [{"a": 1}]
        and isinstance(broken, BrokenRow)
        and place == "x.json, row 2"
    )


def test_cells_over_lines_and_rows_of_wrong_width(tmp_path):
    (tmp_path / "x.csv").write_text('a,b\n"one\ntwo, three",2\nshort\n3,4\n')
    records = [record for _, record in read_records(tmp_path / "x.csv")]
    assert (
        records[0] == {"a": "one\ntwo, three", "b": "2"}
        and isinstance(records[1], BrokenRow)
        and records[2] == {"a": "3", "b": "4"}
    )


@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    (tmp_path / name).write_text("")
    assert list(read_records(tmp_path / name)) == []


def test_an_unknown_suffix_is_a_user_error(tmp_path):
    (tmp_path / "x.pickle").write_bytes(b"")
    with pytest.raises(UserError, match=r"no reader for .pickle; known are .jsonl"):
        list(read_records(tmp_path / "x.pickle"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('l,q,r\nYes,Q,"R\nNo,Q2,R2\n', r"x.csv, row 1 \(line 2\): a quote is opened"),
        ('l,q,r\nYes,Q,R\nNo,"6" pipe,R2\n', r"row 2 \(line 3\)"),
        ("l,q,r,r\n1,2,3,4\n", "the column 'r' stands twice"),
        ('"l,q\n1,2\n', "the header"),
    ],
)
def test_csv_that_could_be_read_in_two_ways_is_refused(tmp_path, text, why):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=why):
        list(read_records(tmp_path / "x.csv"))
    if "twice" not in why:
        with pytest.raises(UserError, match=r"x\.csv, "):
            readers.read_grid(tmp_path / "x.csv")


PACKED = {"gz": gzip.compress, "xz": lzma.compress}


@pytest.mark.parametrize("ending", ["gz", "xz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "of the other kind"])
def test_a_damaged_packed_file_is_named(tmp_path, ending, damage):
    whole = PACKED[ending](json.dumps({"a": list(range(2000))}).encode())
    other = PACKED["gz" if ending == "xz" else "xz"](b"{}")
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes(255 - byte for byte in whole[middle:])
    data = {"cut": whole[:middle], "flipped": flipped, "foreign": b"{}\n"}.get(damage, other)
    path = tmp_path / f"x.jsonl.{ending}"
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"x.jsonl.{ending} .*again"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("x.csv", "a,b\nä,ö\n".encode("utf-16"), "x.csv is UTF-16, not UTF-8 text; save it"),
        ("x.csv", "a,b\n".encode("utf-16-le"), "x.csv holds NULs, as UTF-16 does"),
        ("x.csv", "a,b\nä,ö\n".encode("latin-1"), "x.csv, line 2 is not UTF-8 text .*Latin-1"),
        ("x.csv.gz", gzip.compress(b"a\n\xe4\n", mtime=0), "x.csv.gz, line 2 is not UTF-8 text"),
        ("x.csv.gz", gzip.compress(b"a\n" * 9 + b"\xe4\n" * 9, mtime=0)[:-4], "x.csv.gz"),
        ("x.parquet", b"PAR1 no table PAR1", "x.parquet as Parquet .*again"),
        ("x.parquet", b"", "x.parquet as Parquet .*again"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path, name, data, why):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=why):
        list(read_records(tmp_path / name))


def replace_in_workbook(path, old, new):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(old, new))


@pytest.mark.parametrize("damage", ["foreign", "cut", "a cell that is no XML"])
def test_a_damaged_workbook_is_named(tmp_path, damage):
    path = tmp_path / "x.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["HERE"])
    book.save(path)
    whole = path.read_bytes()
    path.write_bytes(b"a,b\n" if damage == "foreign" else whole[: len(whole) // 2])
    if damage == "a cell that is no XML":
        path.write_bytes(whole)
        replace_in_workbook(path, b"HERE", b"&#xD800;")
    with pytest.raises(UserError, match=r"x\.xlsx .*not a workbook, or a damaged one"):
        list(read_sheets(path))


def test_a_row_without_a_key_is_beside_the_others(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"k": 1}\n{"k": [1]}\n{"k": null}\n3\n{"k"\n')
    found = readers.index_by(tmp_path / "x.jsonl", "k")
    assert dict(found) == {1: {"k": 1}} and len(found.broken) == 4
    assert all(broken.is_beside for _, broken in found.broken)
    assert found.find(1) == {"k": 1} and found.find([1]) is None and found.find(2) is None


def test_a_list_before_lines_of_records_is_one_damaged_row(tmp_path):
    (tmp_path / "x.jsonl").write_text('[1]\n{"a": 1}\n{"a": 2}\n')
    records = [record for _, record in read_records(tmp_path / "x.jsonl")]
    assert records == [[1], {"a": 1}, {"a": 2}]


@pytest.mark.parametrize("reference", [b"&#xD800;", b"&#55357;", b"&#0;", b"&#xFFFF;"])
def test_a_reference_to_no_character_costs_its_cell(tmp_path, reference):
    path = tmp_path / "x.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["HERE", "\u00e4 & \U0001f600"])
    book.save(path)
    replace_in_workbook(path, b"HERE", reference)
    ((_, rows),) = read_sheets(path, broken_cells=True)
    assert [type(cell) for cell in rows[0]] == [bytes, str]
    assert rows[0][1] == "\u00e4 & \U0001f600"


def test_a_line_that_is_not_utf8_is_one_damaged_row(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xe4"}\n{"a": "\xc3\xa4"}\n')
    records = [record for _, record in read_records(tmp_path / "x.jsonl")]
    assert records[0] == {"a": 1} and records[2] == {"a": "\u00e4"}
    assert "row 2" in str(records[1]) and "save it as UTF-8" in str(records[1])
    for text in (b'[{"a": "\xe4"}]', b'{\n"a":\n"\xe4"}', '{"a": 1}\n'.encode("utf-16")):
        (tmp_path / "y.json").write_bytes(text)
        with pytest.raises(UserError, match=r"y\.json.* not UTF-8 text"):
            list(read_records(tmp_path / "y.json"))
