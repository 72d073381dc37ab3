"""Nothing that was finished is lost, nothing damaged is taken for good, and what a kill left is
mended at the next start.
"""

from __future__ import annotations

import json
import os
import shutil

import pytest
from chain_world import CELLS, FIRST, SECOND, make_project, write_notebook

from selene_lib.cli.running import print_dry_run
from selene_lib.errors import UserError
from selene_lib.pipeline import chain, runs
from selene_lib.pipeline.notebooks import notebook_path
from selene_lib.pipeline.step_records import is_of_now


@pytest.fixture
def project(tmp_path, monkeypatch):
    make_project(tmp_path, monkeypatch)
    return tmp_path


class Run:
    """Runs the chain of a project and keeps what it said."""

    def __init__(self, project) -> None:
        self.folder = project / "artefacts" / "nano"
        self.first, self.second = self.folder / FIRST.name, self.folder / SECOND.name
        self.said: list[str] = []

    def __call__(self, **options) -> int:
        self.said = []
        return chain.reproduce("nano", say=self.said.append, **options)

    def record(self) -> dict:
        return json.loads((self.first / "step.json").read_text())


@pytest.fixture
def run(project) -> Run:
    run = Run(project)
    assert run() == 2
    return run


def change(step: str, old: str, new: str) -> None:
    """Change the code of a notebook."""
    path = notebook_path(step)
    write_notebook(path, *(cell.replace(old, new) for cell in CELLS[step]))


def test_a_finished_result_moves_aside_and_comes_back_when_it_fits_again(run):
    assert run(settings={"n": 4}) == 2
    (moved,) = run.folder.glob("earlier/00_quickstart-*")
    assert (moved / "judgements.csv").read_text() == "n\n3\n"
    assert (moved / "arms/dpo-seed0/adapter/weights.bin").read_text() == "trained"
    why = json.loads((moved / "why.json").read_text())
    assert why["changed"] == ["parameter n changed (3 -> 4)"]
    assert (moved / "executed.ipynb").is_file()
    text = "\n".join(run.said)
    assert "parameter n changed (3 -> 4)" in text
    assert str(moved) in text
    assert "selene reproduce --run nano --set n=4 --keep 00" in text
    assert (run.first / "judgements.csv").read_text() == "n\n4\n"

    assert run() == 0
    assert any("brought back" in line for line in run.said)
    assert (run.first / "judgements.csv").read_text() == "n\n3\n"
    assert (run.folder / "notebooks/00_quickstart.ipynb").is_file()
    assert len(list(run.folder.glob("earlier/*"))) == 2
    assert run() == 0


def test_a_step_is_of_now_while_what_it_was_made_of_stands(run):
    assert is_of_now(run.folder, FIRST.name) and is_of_now(run.folder, SECOND.name)
    assert run(settings={"n": 4}, last="00") == 1
    assert is_of_now(run.folder, FIRST.name) and not is_of_now(run.folder, SECOND.name)
    assert not is_of_now(run.folder, "07_report"), "never run"
    assert run(last="00") == 0
    assert is_of_now(run.folder, SECOND.name), "the first result is back"


def test_why_names_what_changed_and_writes_nothing(run, capsys):
    change("00_quickstart", "{n}", "{n + 0}")
    before = {str(p): p.stat().st_mtime_ns for p in run.folder.rglob("*")}
    assert print_dry_run("nano", None, None, {"m": 2}, why=True) == 2
    assert {str(p): p.stat().st_mtime_ns for p in run.folder.rglob("*")} == before
    said = capsys.readouterr().out
    assert "00 would run because 00_quickstart.ipynb, code cell 2 changed" in said
    assert "01 would run because parameter m changed (1 -> 2)" in said
    assert "01 would run because it reads from 00_quickstart, which would run" in said


def test_keep_accepts_an_old_result_under_a_recorded_reason(run):
    change("00_quickstart", "{n}", "{n + 0}")
    assert run(keep=["00"], reason="same sum") == 0
    accepted = run.record()["accepted"]
    assert accepted["reason"] == "same sum"
    assert accepted["changed"] == ["00_quickstart.ipynb, code cell 2 changed"]
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["steps"]["00_quickstart"]["accepted"]["reason"] == "same sum"
    assert run() == 0
    change("00_quickstart", "{n}", "{n + 1 - 1}")
    assert run(keep=["00"]) == 0


def test_keep_brings_a_moved_result_back(run):
    change("00_quickstart", "{n}", "{n + 1}")
    assert run() == 2
    assert (run.first / "judgements.csv").read_text() == "n\n4\n"
    shutil.rmtree(run.first)
    assert run(keep=["00"]) == 0, "what the second notebook made of it came back too"
    assert (run.first / "judgements.csv").read_text() == "n\n3\n"


def test_keep_without_a_result_or_outside_the_command_is_refused(project, run):
    shutil.rmtree(run.first)
    with pytest.raises(UserError, match="no finished result"):
        run(keep=["00"])
    with pytest.raises(UserError, match="does not come to 00_quickstart"):
        run(keep=["00"], first="01")


def test_force_runs_again_and_keeps_the_old_result(run):
    assert run(force=["00"]) == 1, "what the second notebook reads is the same again"
    (moved,) = run.folder.glob("earlier/00_quickstart-*")
    assert json.loads((moved / "why.json").read_text())["changed"] == ["--force"]


def test_half_finished_work_of_another_fingerprint_is_kept_too(run):
    (run.first / "step.json").unlink()
    assert run(settings={"n": 5}) == 2
    (moved,) = run.folder.glob("earlier/00_quickstart-*")
    assert (moved / "arms/dpo-seed0/adapter/weights.bin").is_file()
    assert not json.loads((moved / "why.json").read_text())["finished"]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("judgements/base/set.jsonl", "judgements/base/set.jsonl"),
        ("judgements.csv", "judgements.csv"),
        ("arms/dpo-seed0/adapter/weights.bin", "arms/dpo-seed0"),
    ],
)
@pytest.mark.parametrize("damage", [b"flipped", b"\xff", b""])
def test_damaged_files_are_named_moved_aside_and_made_again(run, name, unit, damage):
    good = (run.first / name).read_bytes()
    (run.first / name).write_bytes(damage)
    # an intermediate file is looked at once something of the step has to be made again
    (run.first / "judgements.csv").unlink(missing_ok=name.startswith("arms"))
    (run.first / "judgements.csv").touch()
    assert run() == 1
    assert (run.first / name).read_bytes() == good
    kept = list(run.folder.glob(f"damaged/00_quickstart*/{unit}"))
    assert len(kept) == 1
    assert any("judgements" in line and "made again" in line for line in run.said)
    assert run() == 0


def test_a_file_that_nobody_wrote_is_no_part_of_an_output(run):
    (run.first / "judgements/base/foreign.jsonl").write_text("{}\n")
    assert run() == 1
    assert not (run.first / "judgements/base/foreign.jsonl").exists()
    assert run() == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"{}"])
def test_a_broken_record_is_written_again_from_the_manifest(run, content):
    whole = run.record()
    (run.first / "step.json").write_bytes(content)
    assert run() == 0
    assert any("step.json is damaged" in line for line in run.said)
    assert run.record()["outputs"] == whole["outputs"]
    assert run() == 0


@pytest.mark.parametrize("name", ["wall_seconds", "finished_at"])
def test_a_record_of_which_one_digit_changed_is_damaged(run, name):
    whole = run.record()
    changed = str(whole[name]).translate(str.maketrans("0123456789", "1234567890"))
    text = (run.first / "step.json").read_text().replace(str(whole[name]), changed)
    (run.first / "step.json").write_text(text)
    assert run.record()[name] != whole[name]
    assert run() == 0
    assert any("step.json is damaged" in line for line in run.said)
    assert run.record()[name] == whole[name]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_broken_records_of_a_step_and_its_run_cost_one_execution(run, content):
    for name in ("00_quickstart/step.json", "manifest.json", "00_quickstart/begun.json"):
        (run.folder / name).write_bytes(content)
    assert run() == 1
    assert json.loads((run.folder / "manifest.json").read_text())["steps"].keys() == {
        "00_quickstart",
        "01_second",
    }
    assert run() == 0


def test_a_deleted_manifest_or_executed_copy_is_made_again(run):
    (run.folder / "manifest.json").unlink()
    assert run() == 0
    assert (run.folder / "manifest.json").is_file()
    copy = run.folder / "notebooks/01_second.ipynb"
    copy.unlink()
    assert run() == 1
    assert copy.is_file()
    copy.write_text(copy.read_text()[:-40])
    assert run() == 1


def test_a_kill_before_the_copy_was_renamed_is_healed_without_running_again(run):
    copy = run.folder / "notebooks/00_quickstart.ipynb"
    os.replace(copy, copy.with_name("00_quickstart.failed.ipynb"))
    (run.folder / "manifest.json").write_text('{"run": "nano", "steps": {}}')
    assert run() == 0
    assert copy.is_file()
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert len(manifest["steps"]) == 2


def test_a_copy_of_another_execution_is_not_published_under_this_record(run, project):
    from selene_lib.pipeline.executed import publish_executed

    copy = run.folder / "notebooks/00_quickstart.ipynb"
    notebook = json.loads(copy.read_text())
    notebook["metadata"]["selene"]["execution"] = "older"
    copy.write_text(json.dumps(notebook))
    assert [path.name for path in publish_executed(run.folder, project / "out")] == [
        "01_second.ipynb"
    ]
    assert run() == 1


def test_an_input_that_changes_while_a_step_runs_is_refused(run):
    step = runs.begin_step("01_second", {"run": "nano", "m": 1})
    step.path("copy.csv").write_text("of the old input")
    (run.first / "judgements.csv").write_text("changed")
    with pytest.raises(UserError, match=r"judgements\.csv changed while it ran"):
        step.finish()
    step.close()
    assert not (run.second / "step.json").exists()


def test_a_damaged_input_is_refused_with_the_command_that_makes_it_again(run):
    (run.first / "judgements.csv").write_text("flipped")
    with pytest.raises(UserError, match="is not what notebook 00_quickstart wrote") as caught:
        run(first="01")
    assert "selene reproduce --run nano --from 00" in str(caught.value)
    assert (run.second / "copy.csv").is_file(), "nothing is moved for a command that is refused"
    assert run() == 1


def test_a_project_that_was_moved_and_touched_has_nothing_to_do(run, project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("moved") / "project"
    shutil.copytree(project, elsewhere)
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))
    os.chdir(elsewhere)
    assert run() == 0


def test_an_unknown_parameter_of_papermill_is_an_error_in_the_first_cell(project):
    values = {"run": "nano", "n": 3, "rate": 0.5, "base_url": "", "rates": 1}
    injected = "# Parameters\nrates = 1\n"
    with pytest.raises(UserError, match="no parameter 'rates', did you mean rate"):
        runs.begin_step("00_quickstart", {**values, "In": ["", "n = 3", injected]})
    with pytest.raises(UserError, match="'n' of 00_quickstart is int"):
        runs.begin_step("00_quickstart", {**values, "n": "many", "In": []})


SECRETS = (
    "http://user:hunter2@host/v1",
    "https://hunter2@host/v1",
    "user:hunter2@host:8000/v1",
    "http://host/v1?api_key=hunter2",
    "http://host/v1?a=b&access_token=hunter2",
)


@pytest.mark.parametrize("address", SECRETS)
def test_a_secret_in_an_address_is_refused_and_written_nowhere(project, address, capsys):
    from selene_lib.pipeline.presets import parse_settings

    with pytest.raises(UserError, match="OPENAI_API_KEY") as caught:
        parse_settings([f"base_url={address}"])
    with pytest.raises(UserError, match="OPENAI_API_KEY") as again:
        chain.reproduce("nano", settings={"base_url": address})
    values = {"run": "nano", "n": 3, "rate": 0.5, "base_url": address}
    with pytest.raises(UserError, match="OPENAI_API_KEY"):
        runs.begin_step("00_quickstart", values)
    said = str(caught.value) + str(again.value) + capsys.readouterr().out
    assert "hunter2" not in said
    files = [path for path in project.rglob("*") if path.is_file()]
    assert not any(b"hunter2" in path.read_bytes() for path in files)


@pytest.mark.parametrize("address", ["http://host:8000/v1", "meta/Llama-3.1", "a@b", "x:y", ""])
def test_an_address_without_a_secret_passes(address):
    from selene_lib.models.addresses import holds_secret

    assert not holds_secret(address)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: 5", "name is a text"),
        ("parameters: [1]", "parameters maps"),
        ("needs: data_dir", "needs is a list"),
        ("notebooks: {'00': [1]}", "notebooks, '00' maps"),
        ("notebooks: {1: {n: 2}}", "in quotes"),
        ("parameters: {1: 2}", "in quotes"),
        ("about: [a]", "about is a text"),
    ],
)
def test_run_files_of_the_wrong_shape_are_one_line(project, text, named):
    from selene_lib.pipeline.presets import load_run

    (project / "runs").mkdir()
    (project / "runs" / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=named) as caught:
        load_run("mine")
    assert "\n" not in str(caught.value)
