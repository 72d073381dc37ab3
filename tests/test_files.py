"""Writes are whole or absent; records survive the round trip; broken lines cost themselves only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib import files
from selene_lib.data.readers import BrokenRow, read_records
from selene_lib.data.tables import read_table
from selene_lib.errors import UserError
from selene_lib.files.disk import refusal
from selene_lib.models.bodies import Unreadable, read_body
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


def test_every_single_flipped_bit_of_a_store_is_found(tmp_path):
    path = tmp_path / "s.jsonl"
    files.append_jsonl(path, [{"id": "a", "verdict": "Yes"}, {"id": "b", "verdict": "No"}])
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            found = [line.row for line in files.scan_jsonl(path) if line.row is not None]
            for row in found:  # what is still read says what was written
                assert (row["id"], row["verdict"]) in {("a", "Yes"), ("b", "No")}, bytes(flipped)


def test_damage_is_named_and_moved_aside_and_half_a_line_is_not_damage(tmp_path):
    path = tmp_path / "s.jsonl"
    files.append_jsonl(path, [{"n": 1, "t": "日本"}, {"n": 2, "t": "x"}, {"n": 3, "t": "y"}])
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"x"', b'"\xff"') + '{"n": 4, "t": "日'.encode()[:-1])
    with pytest.raises(UserError, match=r"line 2 is damaged .its checksum does not fit"):
        files.read_jsonl(path, skip_broken=True)
    assert files.mend_jsonl(path) == [2]
    assert [row["n"] for row in files.read_jsonl(path, skip_broken=True)] == [1, 3]
    assert (tmp_path / "s.jsonl.damaged").read_bytes().startswith(b'{"n": 2, "t": "\xff"')
    files.append_jsonl(path, [{"n": 4, "t": "日"}])
    assert [row["n"] for row in files.read_jsonl(path)] == [1, 3, 4]  # the half line is gone
    assert files.mend_jsonl(path) == []


def test_a_store_whose_only_line_is_damaged_is_a_store_all_the_same(tmp_path):
    path = tmp_path / "s.jsonl"
    files.append_jsonl(path, [{"n": 1, "t": "x"}])
    path.write_bytes(path.read_bytes().replace(b'"x"', b'"\xff"'))
    assert files.mend_jsonl(path) == [1]
    assert path.read_bytes() == b"" and (tmp_path / "s.jsonl.damaged").stat().st_size


def test_a_proven_file_that_changed_is_named(tmp_path):
    path = files.write_proven(tmp_path / "a.json", {"steps": 12, "name": "é"})
    assert files.read_proven(path) == {"steps": 12, "name": "é"}
    whole = path.read_bytes()
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        try:
            found = files.read_proven(path)
        except files.DamagedError as error:
            assert str(path) in str(error)
        else:  # white space between the fields, or the name of the checksum
            assert found["steps"] == 12 and found["name"] == "é"
    (tmp_path / "b.json").write_text('{"n": 1}')
    assert files.read_proven(tmp_path / "b.json") == {"n": 1}  # of an older version
    aside = [files.move_aside(files.write_proven(path, {})) for _ in range(2)]
    assert [p.name for p in aside] == ["a.json", "a.json-2"] and not path.exists()


def test_a_store_of_an_older_version_is_read_and_a_foreign_file_is_left_alone(tmp_path):
    path = tmp_path / "s.jsonl"
    files.write_jsonl(path, [{"n": 1}])
    files.append_jsonl(path, [{"n": 2}])
    assert files.read_jsonl(path, skip_broken=True) == [{"n": 1}, {"n": 2}]
    with open(path, "a") as stream:
        stream.write('{"n": 3}\n')
    assert files.mend_jsonl(path) == [3]  # after a sealed line every line is sealed
    foreign = tmp_path / "notes.txt"
    foreign.write_text("a\nb\n")
    with pytest.raises(UserError, match=r"is not a store of replies .line 1: not JSON"):
        files.mend_jsonl(foreign)
    assert foreign.read_text() == "a\nb\n"


def test_what_does_not_fit_on_the_disk_is_taken_back_whole(tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    with files.LineAppender(path) as lines:
        lines.write([{"n": 1}])

        class Full:
            """A disk with room for ten bytes more."""

            def __init__(self, stream) -> None:
                self.stream, self.closed = stream, False

            def __getattr__(self, name):
                return getattr(self.stream, name)

            def write(self, data) -> int:
                if len(data) < 60:
                    raise OSError(28, "No space left on device")
                return self.stream.write(data[:10])

        lines._stream = Full(lines._stream)
        with pytest.raises(UserError, match="No space left on device"):
            lines.write([{"n": 2, "t": "x" * 30}])
    assert [line.fault for line in files.scan_jsonl(path)] == [""]


def test_half_a_surrogate_pair_is_kept_as_it_is(tmp_path):
    files.append_jsonl(tmp_path / "s.jsonl", [{"t": "a\ud800b"}])
    assert files.read_jsonl(tmp_path / "s.jsonl") == [{"t": "a\ud800b"}]


def test_a_written_symbolic_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real.txt")
    files.write_text(tmp_path / "link", "x")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real.txt").read_text() == "x"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "No space left on device: disk"),
        (OSError(30, "Read-only file system", "/a/b"), "Read-only file system: /a/b"),
        (OSError(36, "File name too long", "x" * 9), "File name too long: xxxxxxxxx"),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a'")]), "No space left"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 9"), "full disk"),
        (Exception("I/O error: No space left on device (os error 28)"), "No space left"),
        (OSError(5, "Input/output error"), ""),
        (RuntimeError("something else"), ""),
    ],
)
def test_what_a_disk_refuses_is_known_in_every_librarys_words(error, words):
    said = refusal(error)
    assert words in said and bool(said) == bool(words)


def test_a_command_on_a_full_disk_ends_in_one_line(monkeypatch, capsys):
    from selene_lib import cli

    for error in (OSError(30, "Read-only file system", "/a"), OSError(28, "No space left")):

        def full(error=error, **given) -> None:
            raise error

        monkeypatch.setattr(cli, "app", full)
        monkeypatch.setattr(cli, "_forget_output", lambda: None)
        with pytest.raises(SystemExit) as caught:
            cli.main()
        said = capsys.readouterr().err
        assert caught.value.code == 2 and said.count("\n") == 1 and "SELENE_HOME" in said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.slow
def test_output_that_goes_to_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "selene_lib.cli", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, '{"a": ' + "[" * 100_000])
def test_json_that_no_reader_takes_is_named(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="line 1: not JSON"):
        list(files.iterate_jsonl(path, Sample))
    with pytest.raises(ValueError, match=r"a.jsonl: not JSON"):
        files.read_json(path)
    with pytest.raises(UserError, match=r"row 1|line 1"):
        read_table(path)
    with pytest.raises(Unreadable, match="not JSON"):
        read_body(text, [], logprobs=False)
    rows = [row for _, row in read_records(path)]
    assert len(rows) == 1 and isinstance(rows[0], BrokenRow)
