"""Records of a run that are JSON and yet of another shape, files that are no files, and places that
cannot be written: told in one line, never believed, never waited for.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import subprocess
import sys

import pytest
from chain_world import FIRST, make_project

from selene_lib.errors import UserError
from selene_lib.files import read_json, sha256_file, write_json
from selene_lib.files.disk import refusal, remedy_of
from selene_lib.files.proven import DamagedError, read_proven
from selene_lib.pipeline import chain
from selene_lib.pipeline.executed import is_copy_of, publish_executed
from selene_lib.pipeline.file_hashes import FileHashes
from selene_lib.pipeline.fingerprint import file_hashes, outside_hashes
from selene_lib.pipeline.state import step_state
from selene_lib.pipeline.step_records import (
    damaged_outputs,
    heal_record,
    kept_records,
    read_record,
)
from selene_lib.pipeline.verify import read_results
from selene_lib.steps.quickstart import choose

RECORD = {
    "step": FIRST.name,
    "fingerprint": "f",
    "parameters": {},
    "inputs": {},
    "outputs": {"a.csv": {"sha256": "0"}},
}
ODD = (None, 3, "x", [1], {"x": None}, {"x": 3})


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", [*RECORD, "accepted", "files", "wall_seconds"])
def test_a_record_of_another_shape_is_no_record(tmp_path, name, odd):
    kinds = {"step": str, "fingerprint": str}
    is_right = isinstance(odd, kinds.get(name, dict))
    if name in ("outputs", "inputs"):
        is_right = False
    write_json(tmp_path / "step.json", {**RECORD, name: odd})
    if name == "wall_seconds":
        is_right = odd == 3
    assert (read_record(tmp_path) is not None) == is_right


@pytest.mark.parametrize("odd", [*ODD, {"steps": None}, {"steps": []}, {"steps": {FIRST.name: 3}}])
def test_a_broken_record_beside_an_odd_manifest_is_moved_aside(tmp_path, odd):
    write_json(tmp_path / "manifest.json", odd)
    (tmp_path / FIRST.name).mkdir()
    (tmp_path / FIRST.name / "step.json").write_text("{")
    assert kept_records(tmp_path) == {}
    assert "the step is done again" in heal_record(tmp_path, FIRST.name)


def test_what_would_run_is_said_as_the_mended_record_tells(tmp_path, monkeypatch):
    make_project(tmp_path, monkeypatch)
    chain.reproduce("nano", say=lambda _: None)
    record = tmp_path / "artefacts" / "nano" / FIRST.name / "step.json"
    record.write_bytes(record.read_bytes()[:40])
    _, _, resolved = chain.resolve_run("nano", None, None, {})
    state = step_state(FIRST, resolved[FIRST.name], record.parents[1], file_hashes())
    assert state.unchanged, state.reasons
    assert record.stat().st_size == 40, "nothing was written"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EISDIR, "move away what lies there"),
        (errno.EEXIST, "move away what lies there"),
        (errno.ENOSPC, "free some space"),
    ],
)
def test_the_remedy_fits_what_the_disk_refused(number, words):
    error = OSError(number, "refused", "here")
    assert refusal(error) == "refused: here" and words in remedy_of(error)


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": None},
        {"metadata": []},
        {"metadata": {"papermill": None, "selene": None}},
        {"metadata": {"papermill": {"end_time": "t"}, "selene": [1]}},
        [],
    ],
)
def test_an_odd_copy_is_that_of_no_execution(tmp_path, odd):
    write_json(tmp_path / "copy.ipynb", odd)
    assert not is_copy_of(tmp_path / "copy.ipynb", "e")


def test_only_what_is_a_notebook_is_published(tmp_path, capsys):
    cell = {"cell_type": "code", "metadata": {}, "source": ["1"], "outputs": []}
    whole = {"metadata": {}, "cells": [cell], "nbformat": 4, "nbformat_minor": 5}
    odd = (
        {},
        {**whole, "metadata": []},
        {**whole, "cells": None},
        {**whole, "cells": [{"cell_type": "code"}]},
        {**whole, "cells": [{**cell, "outputs": None}]},
        {**whole, "cells": [{**cell, "outputs": [3]}]},
    )
    for number, found in enumerate(odd):
        write_json(tmp_path / "notebooks" / f"odd{number}.ipynb", found)
    (tmp_path / "notebooks" / "cut.ipynb").write_text('{"cells": [')
    write_json(tmp_path / "notebooks" / "whole.ipynb", whole)
    written = publish_executed(tmp_path, tmp_path / "out")
    assert [path.name for path in written] == ["whole.ipynb"]
    assert capsys.readouterr().err.count("is no notebook that can be read") == len(odd) + 1


RESULTS = {
    "scores": [
        {
            "judge": "base",
            "set": "s",
            "task": "t",
            "metric": "m",
            "convention": "c",
            "value": 0.5,
            "meta": {},
        }
    ],
    "task_means": [{"judge": "base", "task": "t", "value": 0.5}],
    "steps": {"04_train": {"n": 1}},
    "environment": {"versions": {"torch": "1"}},
}


@pytest.mark.parametrize(
    ("place", "odd"),
    [
        (("scores",), None),
        (("scores",), {"a": 1}),
        (("scores", 0), None),
        (("scores", 0, "meta"), [1]),
        (("scores", 0, "judge"), None),
        (("scores", 0, "value"), "x"),
        (("scores", 0, "ci95_low"), [1]),
        (("task_means", 0), 3),
        (("task_means", 0, "value"), True),
        (("steps",), [1]),
        (("steps", "04_train"), None),
        (("environment",), [1]),
        (("environment", "versions"), ["a"]),
    ],
)
def test_results_of_another_shape_are_named(tmp_path, place, odd):
    results = copy.deepcopy(RESULTS)
    holder = results
    for part in place[:-1]:
        holder = holder[part]
    holder[place[-1]] = odd
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match=f"{place[0]} is not what a run writes"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    assert read_results(tmp_path) == RESULTS


def test_nothing_waits_for_a_pipe(tmp_path):
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    for read in (read_json, sha256_file, read_results):
        with pytest.raises(UserError, match=r"a\.csv"):
            read(pipe)
    with pytest.raises(DamagedError, match="not a regular file"):
        read_proven(pipe)
    assert damaged_outputs(tmp_path, RECORD) == ["output a.csv is missing"]
    os.mkfifo(tmp_path / "step.json")
    assert read_record(tmp_path) is None


def test_what_a_linked_folder_holds_counts_and_a_link_back_ends(tmp_path):
    real, data = tmp_path / "real", tmp_path / "data"
    real.mkdir()
    data.mkdir()
    (real / "rows.jsonl").write_text("1")
    (data / "set").symlink_to(real)
    (real / "back").symlink_to(data)
    hashes = FileHashes(tmp_path / "artefacts" / ".file_hashes.json")
    before = hashes.of(data)
    (real / "rows.jsonl").write_text("2")
    assert hashes.of(data) != before


def test_an_adapter_among_our_own_results_counts_and_the_results_around_it_do_not(tmp_path):
    adapter = tmp_path / "artefacts" / "nano" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "weights").write_text("1")
    hashes = FileHashes(tmp_path / "artefacts" / ".file_hashes.json")
    before, around = hashes.of(adapter), hashes.of(tmp_path)
    (adapter / "weights").write_text("2")
    assert hashes.of(adapter) != before and hashes.of(tmp_path) == around


def test_a_file_put_in_the_place_of_another_of_its_size_and_time_is_read(tmp_path):
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    path.write_text("one")
    hashes = FileHashes(tmp_path / ".file_hashes.json")
    before, state = hashes.of(path), path.stat()
    other.write_text("two")
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(other, path)
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert hashes.of(path) != before


def test_any_parameter_that_names_a_file_counts_and_a_word_does_not(tmp_path, monkeypatch):
    make_project(tmp_path, monkeypatch)
    (tmp_path / "mine.csv").write_text("1")
    (tmp_path / "nano").write_text("1")
    hashes = FileHashes(tmp_path / "artefacts" / ".file_hashes.json")
    given = {"input": "mine.csv", "sources": "nano", "note": "no/such.csv", "long": "x/" * 5000}
    before = outside_hashes(given, hashes)
    assert list(before) == ["input"]
    (tmp_path / "mine.csv").write_text("2")
    assert outside_hashes(given, hashes) != before


@pytest.mark.parametrize(
    ("task", "rubric", "words"),
    [
        ("bogus", "", "task is for rows"),
        ("absolute", "r.txt", "task and rubric is"),
        ("classification", "Good?", "rubric is"),
    ],
)
def test_what_only_own_rows_take_is_refused_without_them(task, rubric, words):
    with pytest.raises(UserError, match=words):
        choose("", task, rubric, "embedded")
    assert choose("", "classification", "", "embedded").samples


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_is_no_failure(closed):
    number = {"stdin": "0<&-", "stdout": ">&-", "stderr": "2>&-"}[closed]
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -m selene_lib.cli rubrics {number}'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert bool(done.stdout) == (closed != "stdout")


def test_a_home_that_the_locale_cannot_name_is_told(tmp_path):
    home = tmp_path / "höme"
    home.mkdir()
    given = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "selene_lib.cli", "reproduce", "--to", "00", "--dry-run"],
        capture_output=True,
        text=True,
        env={**os.environ, **given, "SELENE_HOME": str(home)},
    )
    assert done.returncode == 2
    assert "cannot be named in this locale; set LC_ALL=C.UTF-8" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
