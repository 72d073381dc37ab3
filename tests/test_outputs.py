"""What a command writes destroys nothing: no file that is read, no device or pipe, nothing that
somebody else made or edited; and what a form cannot hold is told before anything is asked.
"""

from __future__ import annotations

import json
import math
import os

import pytest
from judge_stub import stub_server
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.data.table_writing import TableShape, write_table
from selene_lib.data.tables import read_table
from selene_lib.errors import UserError
from selene_lib.files import (
    LineAppender,
    PathLock,
    check_folder,
    check_outputs,
    write_json,
    write_text,
)
from selene_lib.judge import JudgeOptions, judge_file
from selene_lib.labels.page import check_agreement, write_agreement
from selene_lib.labels.recipe import JudgeRecipe

ROWS = [{"instruction": f"do {i}", "response": f"done {i}"} for i in range(3)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table("in.csv", ROWS)
    (tmp_path / "folder").mkdir()
    os.mkfifo("pipe.csv")
    os.symlink("pipe.csv", "to_pipe.csv")
    os.symlink("loop.csv", "loop.csv")
    os.symlink("in.csv", "to_in.csv")
    os.link("in.csv", "hard.csv")
    return tmp_path


def judged(server, source="in.csv", output="o.csv", **more):
    given = {"model": f"{server.address}#m", "rubric": "Good?", "progress": False, **more}
    return judge_file(source, output, **given)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("pipe.csv", "no regular file"),
        ("to_pipe.csv", "no regular file"),
        ("loop.csv", "cannot be written"),
        ("folder", "is a folder"),
        ("to_in.csv", "is read by the same command"),
        ("hard.csv", "is read by the same command"),
        ("folder/../in.csv", "is read by the same command"),
        ("in.csv/below.csv", "cannot write into"),
    ],
)
def test_a_path_that_must_not_be_written_to_is_named(here, name, words):
    with pytest.raises(UserError, match=words):
        check_outputs([(here / name, None)], ["in.csv"])
    if "no regular" in words or name == "folder":
        for write in (write_text, lambda path, _: LineAppender(path)):
            with pytest.raises(UserError, match=words):
                write(here / name, "x")


def test_two_outputs_of_one_name_and_files_of_others_are_refused(here):
    with pytest.raises(UserError, match="would be written twice"):
        check_outputs([(here / "a", None), (here / "folder" / ".." / "a", None)])
    with pytest.raises(UserError, match="was not written by this command"):
        check_outputs([(here / "in.csv", lambda path: False)])
    check_outputs([(here / "in.csv", lambda path: True), (here / "new" / "b", None)], ["no file"])


def test_judging_destroys_nothing_and_asks_nothing_before(here):
    write_text("s.csv.samples.parquet", "precious")
    (here / "d.csv.samples.parquet").mkdir()
    os.mkfifo("p.csv.replies.jsonl")
    write_text("r.csv", "Good?\n")
    write_text("r.csv.replies.jsonl", "")
    write_text("e.csv", "mine\n")
    write_text("e.csv.replies.jsonl", "")
    with stub_server() as server:
        for words, given in [
            ("was not written by this command", {"output": "s.csv"}),
            ("is a folder", {"output": "d.csv"}),
            ("no regular file", {"output": "p.csv"}),
            ("is a folder", {"store": "folder"}),
            ("is a folder", {"options": JudgeOptions(store="folder")}),
            ("written twice", {"options": JudgeOptions(store="o.csv")}),
            ("written twice", {"store": "o.csv"}),
            ("written twice", {"store": "o.csv.samples.parquet"}),
            ("is read by", {"output": "r.csv", "rubric": "r.csv"}),
            ("was not written by this command", {"output": "e.csv"}),
            ("is read by", {"output": "q.csv", "examples": "in.csv", "store": "in.csv"}),
        ]:
            with pytest.raises(UserError, match=words):
                judged(server, **given)
        assert server.asked == []
    assert (here / "s.csv.samples.parquet").read_text() == "precious"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_an_edited_output_is_kept_and_an_untouched_one_written_again(here, ending):
    output = here / f"o.{ending}"
    with stub_server() as server:
        judged(server, output=output)
        judged(server, output=output)
        with pytest.raises(UserError, match="is read by the same command"):
            judged(server, source=f"{output}.samples.parquet", output=output, task="absolute")
        rows = [{**row, "verdict": "5"} for row in read_table(output)]
        edited = write_table(output, rows).read_bytes()
        with pytest.raises(UserError, match="edited since; move it away"):
            judged(server, output=output)
        assert output.read_bytes() == edited and len(server.asked) == 3
        output.unlink()
        judged(server, output=output)
        assert len(server.asked) == 3


def test_a_kill_between_proof_and_table_leaves_an_output_that_goes_on(here, monkeypatch):
    from selene_lib.files import whole

    with stub_server() as server:
        judged(server)
        before, really = (here / "o.csv").read_bytes(), os.replace

        def killed(one, other):
            if str(other).endswith("o.csv"):
                raise KeyboardInterrupt
            really(one, other)

        write_table("in.csv", [*ROWS, {"instruction": "more", "response": "more"}])
        monkeypatch.setattr(whole.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            judged(server)
        monkeypatch.setattr(whole.os, "replace", really)
        assert (here / "o.csv").read_bytes() == before
        assert judged(server).n == 4


def test_a_run_without_any_answer_goes_on_with_the_same_command(here):
    with stub_server(lambda _: (502, {"error": "later"})) as server:
        assert judged(server, max_retries=0).n_failed == 3
        assert judged(server, max_retries=0).n_failed == 3


def test_two_names_of_one_store_are_one_lock(here):
    write_text("a.jsonl", "")
    os.symlink("a.jsonl", "link.jsonl")
    os.link("a.jsonl", "folder/hard.jsonl")
    with PathLock("a.jsonl", busy="taken"):
        for name in ("link.jsonl", "folder/hard.jsonl"):
            with pytest.raises(UserError, match="taken"):
                PathLock(name, busy="taken")
    forgotten = PathLock("folder/hard.jsonl", busy="free again")
    del forgotten
    with PathLock("folder/hard.jsonl", busy="nobody holds it"):
        pass


@pytest.mark.parametrize(
    ("ending", "value", "words"),
    [
        ("jsonl", math.inf, "infinite number"),
        ("jsonl", {"a": [-math.inf]}, "infinite number"),
        ("jsonl", b"x", "bytes values"),
        ("csv", math.inf, ""),
        ("csv", {"a": [math.inf]}, ""),
        ("parquet", math.inf, ""),
        ("parquet", {}, r"\.parquet cannot hold"),
        ("parquet", [{"a": {}}], r"\.parquet cannot hold"),
        ("parquet", 10**30, r"\.parquet cannot hold"),
    ],
)
def test_what_a_form_cannot_hold_is_told_first_and_the_rest_is_written(here, ending, value, words):
    path, rows = here / f"x.{ending}", [{"a": value}, {"a": None}]
    shape = TableShape(path)
    if not words:
        assert write_table(path, rows).stat().st_size
        return
    with pytest.raises(UserError, match=words):
        shape.see(rows)
        shape.settle([rows])


def test_types_that_change_on_the_way_are_tried_on_all_rows(here):
    shape, blocks = TableShape(here / "x.parquet"), [[{"a": 2**60 + 1}], [{"a": 0.5}]]
    for block in blocks:
        shape.see(block)
    with pytest.raises(UserError, match=r"\.parquet cannot hold"):
        shape.settle(blocks)


def test_categories_stay_and_dates_that_cannot_be_read_name_their_column(here):
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    pq.write_table(
        pa.table({**texts, "kind": pa.array(["u", "v", "u"]).dictionary_encode()}), "c.parquet"
    )
    with stub_server() as server:
        judged(server, "c.parquet", "o.parquet")
        assert [row["kind"] for row in read_table("o.parquet")] == ["u", "v", "u"]
        far = pa.array([3_000_000, 1, 1], pa.int32()).cast(pa.date32())
        pq.write_table(pa.table({**texts, "day": far}), "d.parquet")
        with pytest.raises(UserError, match="the column 'day' holds date32"):
            judged(server, "d.parquet", "p.csv")
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"a": 1}]\n[{"a": 2}]', "nothing behind the array"),
        ('[{"a": 1}] x', "nothing behind the array"),
        ('[{"a": 1, "a": 2}]', "the key 'a' stands twice"),
        ('{"b": {"a": 1, "a": 2}}', "the key 'a' stands twice"),
        ('[{"a": Infinity}]', "Infinity is not JSON"),
        ('[{"a": %s}]' % ("[" * 900 + "]" * 900), "nested too deeply"),
    ],
)
def test_json_that_would_lose_something_is_refused(here, text, words):
    path = write_text("a.json", text)
    with pytest.raises(UserError, match=words):
        read_table(path)
    assert read_table(write_text("b.json", '[{"a": 1}]\n\n')) == [{"a": 1}]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"columns": {"respnse": "response"}}, "'respnse' here: did you mean response"),
        ({"columns": {"reference": "respons"}}, "no column 'respons'.*did you mean response"),
        ({"columns": {"label": "gold"}}, "no column 'gold', which is to be label"),
        ({"columns": {"group": "gold"}}, "no column 'gold', which is to be group"),
        ({"labels": {"yes": "Yes", "Yes": "No"}, "task": "classification"}, "mapped twice"),
    ],
)
def test_a_mapping_that_would_be_passed_over_is_refused(here, given, words):
    with stub_server() as server, pytest.raises(UserError, match=words):
        judged(server, **given)
    assert server.asked == []


def test_a_column_of_later_rows_only_may_be_mapped(here):
    rows = [ROWS[0], {**ROWS[1], "ref": "so"}]
    write_text("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with stub_server() as server:
        assert judged(server, "a.jsonl", columns={"reference": "ref"}).n == 2


def test_agreement_replaces_its_own_report_only(here):
    from selene_lib.evaluation.agreement.summary import agreement
    from selene_lib.evaluation.agreement.verdicts import read_verdicts

    rows = [{"label": "Yes" if i % 2 else "No", "verdict": "Yes"} for i in range(8)]
    labels = write_text("labels.json", json.dumps(rows))
    with pytest.raises(UserError, match="is read by the same command"):
        check_agreement("labels", [labels])
    found = agreement(read_verdicts(labels, task="classification"), n_resamples=10)
    check_agreement("report", [labels])
    write_agreement(found, "report", "labels")
    check_agreement("report", [labels])
    write_json("report.json", {"mine": 1})
    with pytest.raises(UserError, match="was not written by this command"):
        check_agreement("report", [labels])
    with pytest.raises(UserError, match="no name for a report"):
        check_agreement("", [labels])


def test_an_export_never_lies_in_what_it_is_made_of(here):
    from selene_lib.training.export import check_export

    adapter, base = here / "adapter", here / "out" / "merged" / "base"
    adapter.mkdir()
    base.mkdir(parents=True)
    write_text("file", "x")
    for out, words in [
        (adapter, "is or lies in"),
        (adapter / "sub", "is or lies in"),
        (here / "file", "is no folder"),
        (here / "out", "would be replaced"),
        (base, "is or lies in"),
    ]:
        with pytest.raises(UserError, match=words):
            check_export(out, str(base), adapter)
    write_text("new/comparison.json", "{}")
    with pytest.raises(UserError, match=r"comparison\.json is there already"):
        check_export(here / "new", str(base), adapter)
    check_export(here / "fresh", "embedded", adapter)
    with pytest.raises(UserError, match="is no folder"):
        check_folder(here / "pipe.csv")


@pytest.mark.parametrize(
    "given",
    [
        {"learning_rate": 0},
        {"learning_rate": -1e-3},
        {"learning_rate": math.nan},
        {"learning_rate": math.inf},
        {"n_epochs": math.nan},
        {"n_epochs": math.inf},
        {"n_epochs": 0},
        {"holdout": math.nan},
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"n_epochs": "4"},
        {"max_length_tokens": 0},
        {"seed": -1},
    ],
)
def test_a_recipe_takes_no_number_that_means_nothing(given):
    (name,) = given
    with pytest.raises(UserError, match=f"{name} is"):
        JudgeRecipe(**given)


@pytest.mark.parametrize(
    "line",
    [
        "agree in.csv --seed -1",
        "agree in.csv --n-resamples 0",
        "agree in.csv --n-resamples -5",
        "arena --votes in.csv --seed -1",
        "arena --votes in.csv --n-resamples 0",
        "score --replies a --samples b --n-resamples 0",
        "audit --samples b -n 0",
        "export --adapter a --out b --golden c --allowed-flips nan",
        "export --adapter a --out b --golden c --min-readable 0",
        "train --input a --task absolute --out b --learning-rate 0",
        "train --input a --task absolute --out b --epochs inf",
        "train --input a --task absolute --out b --holdout nan",
        "plan --n-pairs 0",
        "serve --port 70000",
        "judge --input a --output b --samples 0",
        "judge --input a --output b --timeout nan",
        "judge --input a --output b --temperature -1",
        "judge --input a --output b --gpus-per-worker inf",
        "serve --max-items 0",
    ],
)
def test_a_number_that_no_option_can_mean_is_told_with_its_option(here, line):
    done = CliRunner().invoke(app, line.split())
    option = next(
        word for word in reversed(line.split()) if word.startswith("-") and not word[1:].isdigit()
    )
    assert done.exit_code == 2 and option in done.output


def test_commands_that_write_elsewhere_destroy_nothing_either(here):
    write_text("page.html", "<!doctype html>mine")
    for line, words in [
        ("report --out page.html", "page.html is there already"),
        ("report --out pipe.csv", "no regular file"),
        ("data get laptop --out in.csv", "is no folder"),
        ("serve --model http://127.0.0.1:9/v1#m --store folder", "is a folder"),
    ]:
        done = CliRunner().invoke(app, line.split())
        assert isinstance(done.exception, UserError) and words in str(done.exception)


def test_an_option_given_twice_for_one_name_is_refused(here):
    for option, pairs in (
        ("--column", ("response=a", "response=b")),
        ("--label", ("Yes=No", "Yes=Yes")),
    ):
        twice = [part for pair in pairs for part in (option, pair)]
        done = CliRunner().invoke(app, ["agree", "in.csv", *twice])
        assert isinstance(done.exception, UserError) and "is given twice" in str(done.exception)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("v.csv", "left,right,winner,winner\na,b,left,right\n", "'winner' stands twice"),
        ("v.csv", "left,right,winner\na,b,left,right\n", "has more fields"),
        ("v.csv", "left,right,winner,voter\na,b,left\n", "has fewer fields"),
        ("v.csv", "left,right,model_a,model_b,winner\na,b,c,d,left\n", "name the judges twice"),
        ("v.jsonl", '{"left":"a","right":"b","winner":"left","winner":"right"}\n', "stands twice"),
    ],
)
def test_votes_that_could_be_read_two_ways_are_refused(here, name, text, words):
    from selene_lib.evaluation.arena.votes import read_votes

    with pytest.raises(UserError, match=words):
        read_votes(write_text(name, text))


def test_a_calibration_of_somebody_else_is_not_to_be_deleted(here):
    from selene_lib.judges.calibration import read_calibration

    with pytest.raises(UserError, match="is no calibration file") as told:
        read_calibration("in.csv")
    assert "delete" not in str(told.value)
