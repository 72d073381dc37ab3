"""Readers of the publishers' files.

Every format, broken records, and the same records whatever the block size.
"""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.data import BrokenRow, readers
from selene_lib.data.readers import read_records
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
