"""What was published, as notebook 08 shows it; what a run publishes, as readers get it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.errors import UserError
from selene_lib.files import PathLock, sha256_file, write_json
from selene_lib.paper import values as paper
from selene_lib.paper.tables import cells_table, known_table, reward_bench_table
from selene_lib.pipeline import executed
from selene_lib.pipeline.executed import MARK, WIDGET, publish_executed
from selene_lib.pipeline.places import without_places
from selene_lib.pipeline.publication import PAGES, publish
from selene_lib.steps.published import selene_mini_cells

REPOSITORY = Path(__file__).resolve().parent.parent


def test_the_tables_hold_every_cell_once_with_how_it_is_known():
    cells = cells_table()
    assert len(cells) == len(paper.PUBLISHED) + len(paper.AVERAGES)
    assert Counter(cells["known"]) == {name: int(n) for name, n in known_table().sum().items()}
    assert not cells.duplicated(["judge", "set"]).any()


def test_reward_bench_adds_up_to_its_published_sections():
    table = reward_bench_table()
    assert table["n_subsets"].tolist() == [5, 6, 5, 7, 23]
    assert (table["added_up"].round(4) == table["published"]).all()


def test_selene_mini_s_cells_are_all_of_its_published_ones():
    shown = selene_mini_cells()
    of_selene = [c for c in paper.PUBLISHED if c.judge == paper.SELENE_MINI]
    assert set(shown["set"]) >= {cell.set for cell in of_selene}
    assert list(shown) == ["set", "metric", "value", "known", "convention", "source"]
    value = shown.set_index("set")["value"]
    assert (value["lfqa_eval"], value["financebench"]) == ("0.688 (unverified)", "0.717")
    doubtful = shown["known"].eq("unverified")
    assert doubtful.any() and shown["value"].str.contains("unverified").eq(doubtful).all()


def finished(tmp_path: Path, name: str, *outputs: str, **parameters: object) -> Path:
    """A finished step of run `x` whose declared outputs are there."""
    folder = tmp_path / "artefacts" / "x" / name
    entries = {output: {"sha256": sha256_file(folder / output)} for output in outputs}
    record = {"step": name, "fingerprint": "f", "inputs": {}, "outputs": entries}
    write_json(folder / "step.json", record | {"parameters": parameters})
    return folder


@pytest.fixture
def published(tmp_path: Path, monkeypatch) -> Path:
    """The home of a run whose notebooks 07 and 08 have finished."""
    monkeypatch.setenv("SELENE_HOME", str(tmp_path))
    report = tmp_path / "artefacts" / "x" / "07_report"
    (report / "figures").mkdir(parents=True)
    kinds = ("png", "dark.png", "svg", "pdf", "csv")
    for name in (*(f"fig1a.{kind}" for kind in kinds), "fig1a_published.png", "figures.csv"):
        (report / "figures" / name).write_text("new")
    for name in PAGES:
        (report / name).write_text("new")
    values = tmp_path / "artefacts" / "x" / "08_published_values"
    (values / "figures").mkdir(parents=True)
    for kind in ("png", "svg", "csv"):
        (values / "figures" / f"fig1a_published.{kind}").write_text("new")
    finished(tmp_path, "07_report", *PAGES, "figures")
    finished(tmp_path, "08_published_values", "figures")
    return tmp_path


def test_a_run_publishes_what_a_reader_opens_and_no_more(published):
    old = published / "figures" / "x" / "fig9.png"
    old.parent.mkdir(parents=True)
    old.write_text("old")
    left = published / "reports" / "x" / "notebooks" / ".04_train_judge.ipynb.ab12.tmp"
    left.parent.mkdir(parents=True)
    left.write_text("half, of a publication that was killed")
    files = [f"reports/x/{name}" for name in (*PAGES, "times.json")]
    assert publish("x") == ["figures/x", "figures/published", *files]
    found = [p for part in ("figures", "reports") for p in (published / part).rglob("*.*")]
    assert {path.relative_to(published).as_posix() for path in found} == {
        "figures/x/fig1a.png",
        "figures/published/fig1a_published.png",
        *files,
    }


def test_a_run_that_shows_no_texts_publishes_no_notebook(published):
    copies = published / "reports" / "x" / "notebooks"
    executed_copy = nbformat.v4.new_notebook(metadata={"papermill": {"end_time": "1"}})
    path = published / "artefacts" / "x" / "notebooks" / "07_report.ipynb"
    path.parent.mkdir()
    nbformat.write(executed_copy, path)
    publish("x")
    assert [copy.name for copy in copies.iterdir()] == ["07_report.ipynb"]
    finished(published, "07_report", *PAGES, "figures", show_texts=False)
    publish("x")
    assert not copies.exists() and (published / "reports/x/report.html").is_file()


def test_of_a_path_on_this_machine_only_its_name_is_shown():
    given = {"data_dir": "/elsewhere/of/mine/data", "family": "lean", "n": 3, "votes": ""}
    assert without_places(given) == {**given, "data_dir": "data"}


def test_a_report_that_is_not_what_its_notebook_wrote_is_not_published(published):
    (published / "artefacts/x/07_report/report.html").write_text("half")
    with pytest.raises(UserError, match=r"report\.html is damaged"):
        publish("x")
    with pytest.raises(UserError, match="no finished report"):
        publish("y")
    assert not (published / "reports").exists()


def test_git_holds_of_figures_and_reports_what_a_reader_opens_under_8_mb():
    listed = subprocess.run(
        ["git", "-C", str(REPOSITORY), "ls-files", "figures", "reports"],
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [REPOSITORY / name for name in listed.stdout.splitlines()]
    paths = [path for path in paths if path.is_file()]
    # .jsonl: the rows that a card measured, in reports/gpu; .zip: what the figures are drawn from
    kinds = {".png", ".html", ".json", ".md", ".ipynb", ".jsonl", ".zip"}
    assert {path.suffix for path in paths} <= kinds
    assert sum(path.stat().st_size for path in paths) < 12_000_000, (
        "about 7 MB of the embedded run, 2 of the one on real text"
    )


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch) -> Path:
    """A run with one executed notebook: a stream, a path, a progress widget, and what papermill
    wrote.
    """
    cell = nbformat.v4.new_code_cell(
        "step.finish()",
        execution_count=3,
        metadata={"papermill": {"duration": 1.0}, "tags": ["end"]},
    )
    cell.outputs = [
        nbformat.v4.new_output(
            "stream",
            name="stdout",
            text=f"wrote {tmp_path}/artefacts/x/01/a.csv of /elsewhere/of/mine/data/b",
        ),
        nbformat.v4.new_output("stream", name="stderr", text="50%|#####     |"),
        nbformat.v4.new_output(
            "display_data", data={WIDGET: {"model_id": "1"}, "text/plain": "0%"}
        ),
    ]
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("install()", metadata={"tags": ["colab"]}), cell]
    )
    notebook.metadata["papermill"] = {
        "duration": 2.0,
        "input_path": f"{tmp_path}/notebooks/01.ipynb",
        "parameters": {"run": "x"},
    }
    folder = tmp_path / "artefacts" / "x"
    (folder / "notebooks").mkdir(parents=True)
    nbformat.write(notebook, folder / "notebooks" / "01_made.ipynb")
    (folder / "notebooks" / "02_broken.failed.ipynb").write_text("{}")
    record = {
        "step": "01_made",
        "fingerprint": "f",
        "inputs": {},
        "outputs": {},
        "run": "x",
        "parameters": {"data_dir": "/elsewhere/of/mine/data"},
        "finished_at": "2026-01-01T00:00:00Z",
        "git": {"commit": "a" * 40, "dirty": True},
    }
    (folder / "01_made").mkdir()
    (folder / "01_made" / "step.json").write_text(json.dumps(record))
    monkeypatch.setenv("SELENE_HOME", str(tmp_path))
    return folder


def test_a_copy_says_that_it_is_generated_and_names_no_machine(run_dir: Path, tmp_path: Path):
    out = tmp_path / "reports"
    out.mkdir()
    (out / "09_gone.ipynb").write_text("{}")
    (out / "04_train_judge.ipynb").write_text("{}")
    assert publish_executed(run_dir, out) == [out / "01_made.ipynb"]
    assert {path.name for path in out.iterdir()} == {"01_made.ipynb", "04_train_judge.ipynb"}, (
        "copies of other runs of the chain stay"
    )
    notebook = nbformat.read(out / "01_made.ipynb", as_version=4)
    nbformat.validate(notebook)
    note, code = notebook.cells
    assert (
        note.source.startswith(MARK)
        and "commit aaaaaaaaaaaa with uncommitted changes" in note.source
    )
    assert [output.get("name") for output in code.outputs] == ["stdout"]
    assert code.outputs[0].text == "wrote artefacts/x/01/a.csv of data/b"
    assert str(tmp_path) not in (out / "01_made.ipynb").read_text()
    assert notebook.metadata.papermill == {
        "duration": 2.0,
        "parameters": {"run": "x"},
    } and code.metadata == {"tags": ["end"]}


def test_a_copy_without_a_record_says_so(run_dir: Path):
    (note, *_) = executed.readable({"metadata": {}, "cells": []}, {})["cells"]
    assert "no git checkout" in note["source"][0]


def test_a_report_of_earlier_results_is_neither_published_nor_compared(published, tmp_path):
    scores = published / "artefacts" / "x" / "05_evaluate_benchmarks" / "scores.csv"
    scores.parent.mkdir()
    scores.write_text("now")
    finished(published, "05_evaluate_benchmarks", "scores.csv")
    record = published / "artefacts" / "x" / "07_report" / "step.json"
    read = json.loads(record.read_text())
    made_of = {"05_evaluate_benchmarks/scores.csv": {"sha256": "of earlier"}}
    write_json(record, {**read, "inputs": made_of})
    with pytest.raises(UserError, match="07_report of run 'x' is of earlier results"):
        publish("x")
    now = {"05_evaluate_benchmarks/scores.csv": sha256_file(scores)}
    write_json(record, {**read, "inputs": made_of, "accepted": {"input_sha256": now}})
    assert publish("x"), "accepted with --keep"
    made_of["05_evaluate_benchmarks/scores.csv"]["sha256"] = sha256_file(scores)
    write_json(record, {**read, "inputs": made_of})
    assert publish("x")


@pytest.mark.parametrize("command", ["figures", "report"])
def test_damaged_results_are_not_drawn(published, command):
    scores = published / "artefacts" / "nano" / "05_evaluate_benchmarks" / "scores.csv"
    scores.parent.mkdir(parents=True)
    scores.write_text("0.5")
    entry = {"scores.csv": {"sha256": sha256_file(scores)}}
    record = {"step": "05", "fingerprint": "f", "inputs": {}, "parameters": {}, "outputs": entry}
    write_json(scores.parent / "step.json", record)
    scores.write_text("0.9")
    done = CliRunner().invoke(app, [command])
    assert isinstance(done.exception, UserError)
    assert "output scores.csv is damaged" in str(done.exception)


@pytest.mark.parametrize("place", ["figures", "reports", "reports/x"])
def test_a_file_in_the_place_of_a_folder_is_named(published, place):
    (published / place).parent.mkdir(exist_ok=True)
    shutil.rmtree(published / place, ignore_errors=True)
    (published / place).write_text("mine")
    with pytest.raises(UserError, match="is no folder"):
        publish("x")
    assert (published / place).read_text() == "mine"


def test_a_run_at_work_is_not_published(published):
    lock = PathLock(published / "artefacts" / "x" / "08_published_values", busy="")
    with lock, pytest.raises(UserError, match="a notebook of run 'x' is at work"):
        publish("x")
    assert publish("x")
