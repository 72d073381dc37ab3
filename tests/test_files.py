"""Writes are whole or absent; records survive the round trip; broken lines cost themselves only."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib import files
from selene_lib.errors import UserError
from selene_lib.records import Critique, Sample, stable_id, unit_hash

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def sample(**changes) -> Sample:
    values = {
        "id": "s-1",
        "source": "s",
        "task": "absolute",
        "instruction": "do",
        "response": "done",
        "label": "4",
        "meta": {"k": [1, None]},
    }
    return Sample(**{**values, **changes})


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    target = files.write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_nan_is_refused_in_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(ANY_TEXT, max_size=5))
def test_parquet_round_trip(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("p") / "s.parquet"
    records = [sample(id=f"s-{i}", instruction=t, score=i / 3) for i, t in enumerate(texts)]
    files.write_parquet(path, records, Sample)
    assert files.read_parquet(path, Sample) == records


def test_parquet_keeps_mappings_and_none(tmp_path):
    path = tmp_path / "s.parquet"
    files.write_parquet(path, [sample(reference=None)], Sample)
    (back,) = files.read_parquet(path, Sample)
    assert back.meta == {"k": [1, None]}
    assert back.reference is None


def test_a_half_written_line_costs_that_line_only(tmp_path):
    path = tmp_path / "store.jsonl"
    files.append_jsonl(path, [{"n": 1}])
    with open(path, "a") as stream:
        stream.write('{"n": 2, "te')
    files.append_jsonl(path, [{"n": 3}])
    assert [row["n"] for row in files.read_jsonl(path, skip_broken=True)] == [1, 3]
    with pytest.raises(ValueError, match="line 2"):
        files.read_jsonl(path)


@given(texts=st.lists(ANY_TEXT, max_size=5))
@settings(max_examples=30, deadline=None)
def test_jsonl_round_trip_of_records(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("j") / "c.jsonl"
    records = [
        Critique(f"c-{i}", "s-1", t, "A", "A", True, "teacher", {"seed": i})
        for i, t in enumerate(texts)
    ]
    files.append_jsonl(path, records)
    assert files.read_jsonl(path, Critique) == records


def test_unknown_and_missing_fields_are_named():
    row = files.to_dict(sample())
    with pytest.raises(ValueError, match="'colour'"):
        files.from_dict(Sample, {**row, "colour": 1})
    row.pop("task")
    with pytest.raises(ValueError, match="'task'"):
        files.from_dict(Sample, row)


def test_schema_kinds():
    @dataclass
    class Row:
        a: int
        b: float | None
        c: bool

    assert [str(t) for t in files.arrow_schema(Row).types] == ["int64", "double", "bool"]


def test_folder_hash_sees_names_and_content(tmp_path):
    (tmp_path / "a").write_text("1")
    first = files.sha256_file(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert files.sha256_file(tmp_path) != first
    assert files.size_bytes(tmp_path) == 1


def test_ids_and_unit_hash_are_the_same_everywhere():
    assert stable_id("x", "a", 1) == stable_id("x", "a", "1")
    assert stable_id("x", "ab") != stable_id("x", "a", "b")
    values = [unit_hash(0, i) for i in range(2000)]
    assert min(values) >= 0 and max(values) < 1
    assert abs(sum(values) / 2000 - 0.5) < 0.02
    assert unit_hash(1, 0) != unit_hash(0, 0)


def test_json_file_errors_name_the_file(tmp_path):
    (tmp_path / "m.json").write_text("{")
    with pytest.raises(ValueError, match=r"m\.json"):
        files.read_json(tmp_path / "m.json")
    files.write_json(tmp_path / "m.json", {"b": 1, "a": "ü"})
    assert json.loads((tmp_path / "m.json").read_text()) == {"a": "ü", "b": 1}


def test_csv_is_whole_and_exact(tmp_path):
    path = files.write_csv(
        tmp_path / "a.csv", [{"x": 0.1 + 0.2, "meta": {"b": 1, "a": [2]}, "s": 'say "hi", ok'}]
    )
    import pandas as pd

    (row,) = pd.read_csv(path).to_dict("records")
    assert row["x"] == 0.1 + 0.2
    assert json.loads(row["meta"]) == {"a": [2], "b": 1}
    assert row["s"] == 'say "hi", ok'


HOLDER = """
import sys
from selene_lib.files import PathLock

lock = PathLock(sys.argv[1], busy="taken")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_held_by_another_process_is_refused_until_that_process_dies(tmp_path):
    path = tmp_path / "store.jsonl"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="busy: wait for it"):
            files.PathLock(path, busy="busy: wait for it")
    finally:
        holder.kill()
        holder.communicate()
    with files.PathLock(path, busy="still held", patience_seconds=5.0):
        pass
    assert not path.exists()


def test_a_lock_is_free_again_once_it_is_closed(tmp_path):
    first = files.PathLock(tmp_path / "store.jsonl", busy="busy")
    first.close()
    with (
        files.PathLock(tmp_path / "store.jsonl", busy="busy"),
        pytest.raises(UserError, match="busy"),
    ):
        files.PathLock(tmp_path / "store.jsonl", busy="busy")
