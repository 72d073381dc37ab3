"""Papermill made safe: parameters are checked, unchanged work is skipped, failures say where and
how to go on.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from selene_lib.cli.running import print_dry_run
from selene_lib.errors import UserError
from selene_lib.pipeline import (
    chain,
    environment,
    execution,
    notebooks,
    places,
    presets,
    runs,
)
from selene_lib.pipeline.file_hashes import FileHashes
from selene_lib.pipeline.fingerprint import outside_hashes

pytestmark = pytest.mark.slow


BEGIN = (
    "from selene_lib.pipeline.runs import begin_step\nstep = begin_step('00_quickstart', globals())"
)
WRITE = "step.path('judgements.csv').write_text(f'n\\n{n}\\n')"
PARAMETERS = "run = 'nano'  # str\nn = 3  # int\nrate = 0.5  # float\ndata_dir = ''  # str"


def write_notebook(path, *cells, parameters=PARAMETERS):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}),
        *map(nbformat.v4.new_code_cell, cells),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    notebooks.parameter_defaults.cache_clear()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one tiny notebook in a temporary folder."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    write_notebook(tmp_path / "notebooks" / "00_quickstart.ipynb", BEGIN, WRITE, "step.finish()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SELENE_HOME", raising=False)
    monkeypatch.setattr(notebooks, "STEPS", notebooks.STEPS[:1])
    return tmp_path


def test_runs_once_then_nothing_until_something_changes(project, monkeypatch):
    said: list[str] = []
    assert chain.reproduce("nano", say=said.append) == 1
    output = project / "artefacts/nano/00_quickstart/judgements.csv"
    assert output.read_text() == "n\n3\n"
    manifest = json.loads((project / "artefacts/nano/manifest.json").read_text())["steps"][
        "00_quickstart"
    ]
    assert manifest["outputs"]["judgements.csv"]["sha256"] == runs.sha256_file(output)
    assert manifest["parameters"]["n"] == 3
    assert {"versions", "hardware", "git", "wall_seconds", "peak_memory_bytes"} <= set(manifest)

    monkeypatch.delenv("SELENE_HOME", raising=False)
    assert chain.reproduce("nano", say=said.append) == 0
    assert "nothing to do" in said[-1]
    assert chain.reproduce("nano", settings={"n": 4}, say=said.append) == 1
    assert output.read_text() == "n\n4\n"
    output.write_text("tampered")
    assert chain.reproduce("nano", settings={"n": 4}, say=said.append) == 1
    assert output.read_text() == "n\n4\n"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"colour": 1}, "colour"),
        ({"n": "many"}, "'n'"),
        ({"n": True}, "'n'"),
        ({"rate": "x"}, "'rate'"),
        ({"09.n": 1}, "09"),
    ],
)
def test_unknown_and_wrongly_typed_parameters_raise_before_anything_runs(project, settings, named):
    with pytest.raises(UserError, match=named):
        chain.reproduce("nano", settings=settings)
    assert not (project / "artefacts").exists()


def test_a_number_that_yaml_reads_as_text_serves_as_float(project):
    settings = presets.parse_settings(["00.rate=1e-5"])
    assert settings == {"00.rate": "1e-5"}
    assert (
        presets.resolve_parameters(presets.load_run("nano"), notebooks.STEPS, settings)[
            "00_quickstart"
        ]["rate"]
        == 1e-5
    )


def test_an_int_serves_as_float_and_a_step_prefix_reaches_one_notebook(project):
    resolved = presets.resolve_parameters(presets.load_run("nano"), notebooks.STEPS, {"00.rate": 1})
    assert resolved["00_quickstart"]["rate"] == 1.0


def test_a_failing_cell_names_notebook_cell_cause_copy_and_remedy(project):
    write_notebook(project / "notebooks" / "00_quickstart.ipynb", BEGIN, "1 / 0")
    with pytest.raises(execution.StepFailed) as caught:
        chain.reproduce(
            "nano", last="00", settings={"n": 7, "data_dir": "my data"}, say=lambda line: None
        )
    text = str(caught.value)
    assert "00_quickstart, cell" in text
    assert "ZeroDivisionError: division by zero" in text
    assert "selene reproduce --run nano --from 00 --to 00 --data-dir 'my data' --set n=7" in text
    assert not caught.value.user_error
    assert (project / "artefacts/nano/notebooks/00_quickstart.failed.ipynb").is_file()


def test_a_user_error_inside_a_notebook_is_a_user_error_outside(project):
    cell = "from selene_lib.errors import UserError\nraise UserError('no such thing; make one')"
    write_notebook(project / "notebooks" / "00_quickstart.ipynb", BEGIN, cell)
    with pytest.raises(execution.StepFailed, match="no such thing; make one") as caught:
        chain.reproduce("nano", say=lambda line: None)
    assert caught.value.user_error


def test_an_undeclared_end_is_a_failure(project):
    write_notebook(project / "notebooks" / "00_quickstart.ipynb", BEGIN, "step.finish()")
    with pytest.raises(execution.StepFailed, match=r"judgements\.csv"):
        chain.reproduce("nano", say=lambda line: None)
    write_notebook(project / "notebooks" / "00_quickstart.ipynb", BEGIN, WRITE)
    with pytest.raises(execution.StepFailed, match="without finishing"):
        chain.reproduce("nano", say=lambda line: None)


def test_work_begun_under_the_same_fingerprint_is_kept_and_other_work_is_removed(
    project, monkeypatch
):
    values = {"run": "nano", "n": 3, "rate": 0.5, "data_dir": ""}
    step = runs.begin_step("00_quickstart", values)
    step.path("partial.jsonl").write_text("kept")
    step._lock.close()
    again = runs.begin_step("00_quickstart", values)
    assert again.path("partial.jsonl").is_file()
    again._lock.close()
    other = runs.begin_step("00_quickstart", {**values, "n": 4})
    assert not other.path("partial.jsonl").exists()
    other._lock.close()


def test_a_missing_input_names_the_notebook_to_run_first(project):
    with pytest.raises(UserError, match="run notebook 01_explore_sources of run 'nano' first"):
        runs.input_paths(places.run_folder("nano"), ("01_explore_sources/samples.parquet",))


def test_run_files_are_strict(project):
    folder = project / "runs"
    folder.mkdir()
    (folder / "mine.yaml").write_text(
        "about: mine\nparameters: {n: 7}\nnotebooks: {'00': {rate: 0.25}}\n"
    )
    spec = presets.load_run("mine")
    resolved = presets.resolve_parameters(spec, notebooks.STEPS, {})["00_quickstart"]
    assert (resolved["n"], resolved["rate"], resolved["run"]) == (7, 0.25, "mine")
    (folder / "bad.yaml").write_text("colour: red\n")
    with pytest.raises(UserError, match=r"bad\.yaml"):
        presets.load_run("bad")
    (folder / "worse.yaml").write_text("a: [\n")
    with pytest.raises(UserError, match="not YAML"):
        presets.load_run("worse")
    with pytest.raises(UserError, match="known runs: nano, bad, mine, worse"):
        presets.load_run("absent")


def test_what_a_run_needs_is_asked_for_only_where_a_chosen_notebook_takes_it(project):
    (project / "runs").mkdir()
    (project / "runs" / "real.yaml").write_text("needs: [data_dir]\n")
    with pytest.raises(UserError, match="give it with --data-dir"):
        chain.reproduce("real")
    assert chain.reproduce("real", settings={"data_dir": str(project)}, say=lambda line: None) == 1
    write_notebook(
        project / "notebooks" / "00_quickstart.ipynb",
        BEGIN,
        WRITE,
        "step.finish()",
        parameters="run = 'nano'  # str\nn = 3  # int",
    )
    assert chain.reproduce("real", say=lambda line: None) == 1


@pytest.fixture
def pair(project, monkeypatch):
    """The same project with a second notebook that reads what the first one writes."""
    second = notebooks.StepSpec("01_second", ("00_quickstart/judgements.csv",), ("copy.csv",))
    begin = (
        "from selene_lib.pipeline.runs import begin_step\nstep = begin_step('01_second', globals())"
    )
    copy = (
        "step.path('copy.csv').write_text(step.inputs['00_quickstart/judgements.csv'].read_text())"
    )
    write_notebook(
        project / "notebooks" / "01_second.ipynb",
        begin,
        copy,
        "step.finish()",
        parameters="run = 'nano'  # str\nm = 1  # int",
    )
    monkeypatch.setattr(notebooks, "STEPS", (*notebooks.STEPS, second))
    times = project / "reports" / "nano" / "times.json"  # of the published run
    times.parent.mkdir(parents=True)
    times.write_text('{"00_quickstart": 15, "01_second": 75}')
    return project


def files_of(folder) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_dry_run_says_what_would_run_and_writes_nothing(pair, capsys):
    before = files_of(pair)
    assert print_dry_run("nano", None, None, {"n": 4}) == 2
    assert files_of(pair) == before
    first, second, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(
        r"\[1/2\] 00_quickstart +would run, expected 0:15; not the default: n=4", first
    )
    assert re.fullmatch(r"\[2/2\] 01_second +would run, expected 1:15", second)
    assert last == "2 of 2 notebooks would run; nothing was executed or written"


def test_a_dry_run_tells_unchanged_from_what_reads_a_changed_notebook(pair, capsys):
    for step in notebooks.STEPS:  # done by hand: starting a kernel for each takes seconds
        parameters = {
            **notebooks.parameter_defaults(notebooks.notebook_path(step.name)),
            "run": "nano",
        }
        opened = runs.begin_step(step.name, parameters)
        for name in step.outputs:
            opened.path(name).write_text("n\n3\n")
        opened.finish()
    before = files_of(pair)
    assert print_dry_run("nano", None, None, {}) == 0
    assert capsys.readouterr().out.count(" unchanged, took ") == 2
    assert print_dry_run("nano", None, None, {"m": 2}) == 1
    assert " unchanged" in capsys.readouterr().out.splitlines()[0]
    assert print_dry_run("nano", None, None, {"n": 4}) == 2
    assert files_of(pair) == before


def test_a_dry_run_names_an_input_that_no_chosen_notebook_writes(pair, capsys):
    assert print_dry_run("nano", "01", None, {}) == 1
    assert (
        "would run, expected 1:15; stops at once, 00_quickstart/judgements.csv is not there"
        in capsys.readouterr().out
    )
    (pair / "runs").mkdir()
    (pair / "runs" / "real.yaml").write_text("needs: [data_dir]\n")
    with pytest.raises(UserError, match="give it with --data-dir"):
        print_dry_run("real", None, None, {})
    print_dry_run("real", None, None, {"data_dir": str(pair)})
    assert f"time not known; not the default: data_dir={str(pair)!r}" in capsys.readouterr().out


@pytest.mark.parametrize("settings", [{"colour": 1}, {"n": "many"}, {"00.m": 1}])
def test_a_dry_run_checks_parameters_as_a_run_does(pair, settings):
    with pytest.raises(UserError):
        print_dry_run("nano", None, None, settings)


def test_the_command_reproduce_with_dry_run_exits_0_and_makes_no_files(tmp_path):
    command = [
        sys.executable,
        "-m",
        "selene_lib.cli",
        "reproduce",
        "--dry-run",
        "--from",
        "04",
        "--set",
        "04.n_steps=50",
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "SELENE_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    assert "n_steps=50" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_unreadable_notebooks_are_named(project):
    path = project / "notebooks" / "00_quickstart.ipynb"
    path.write_text("{")
    notebooks.parameter_defaults.cache_clear()
    with pytest.raises(UserError, match=r"00_quickstart\.ipynb is not a readable notebook"):
        chain.reproduce("nano")


def test_settings_are_yaml_scalars():
    assert presets.parse_settings(["a=1", "b=x y", "c=", "d=0.5", "e=true"]) == {
        "a": 1,
        "b": "x y",
        "c": "",
        "d": 0.5,
        "e": True,
    }
    with pytest.raises(UserError, match="key=value"):
        presets.parse_settings(["nonsense"])


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["reproduce", "--run", "absent"], 2, "absent"),
        (["reproduce", "--data-dir", "nowhere"], 2, "nowhere"),
        (["reproduce", "--set", "x"], 2, "key=value"),
        (["reproduce", "--from", "07", "--to", "02"], 2, "07"),
        (["reproduce", "--run", "../escape"], 2, "escape"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(arguments, code, named):
    done = subprocess.run(
        [sys.executable, "-m", "selene_lib.cli", *arguments], capture_output=True, text=True
    )
    assert done.returncode == code
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_loads_nothing_heavy():
    heavy = ("torch", "pandas", "transformers", "numpy", "matplotlib")
    code = f"import sys, selene_lib.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_a_step_is_new_for_other_files_behind_a_parameter_and_not_for_other_places(project):
    def outside(path) -> dict[str, str]:
        return outside_hashes({"domain_file": str(path)}, FileHashes(project / "hashes.json"))

    folder = project / "mine"
    folder.mkdir()
    (folder / "domain.yaml").write_text("name: mine\nfile: answers.csv\n")
    (folder / "answers.csv").write_text("one")
    (folder / "beside.csv").write_text("not its data")
    before = outside("mine/domain.yaml")
    shutil.copytree(folder, project / "moved")
    os.utime(project / "moved/answers.csv", (1, 1))
    (project / "moved/beside.csv").write_text("other")
    assert outside(project / "moved/domain.yaml") == before
    (folder / "answers.csv").write_text("two")
    assert outside("mine/domain.yaml") != before


def test_what_a_run_publishes_does_not_make_its_commit_dirty(tmp_path, monkeypatch):
    def git(*words: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True
        )

    for name in ("figures/a.csv", "reports/b.html", "package/code.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("one")
    git("init")
    git("add", "--all")
    git("commit", "--message", "first")
    monkeypatch.setattr(environment, "PACKAGE", tmp_path / "package")
    for name in ("figures/a.csv", "reports/b.html"):
        (tmp_path / name).write_text("two")
    assert environment._git_state()["dirty"] is False
    (tmp_path / "package/code.py").write_text("two")
    assert environment._git_state()["dirty"] is True


def test_the_command_alone_names_the_run(project):
    for settings in ({"run": "other"}, {"00.run": "other"}):
        with pytest.raises(UserError, match="--run NAME"):
            presets.resolve_parameters(presets.RunSpec("x"), notebooks.STEPS, settings)
    with pytest.raises(UserError, match="--run NAME"):
        presets.resolve_parameters(
            presets.RunSpec("x", parameters={"run": "y"}), notebooks.STEPS, {}
        )


@pytest.mark.parametrize(
    ("value", "default", "read"),
    [(8, "", "8"), ("010", "", "010"), (3, 0.5, 3.0), (True, False, True)],
)
def test_a_value_in_the_type_of_its_parameter(value, default, read):
    assert presets.checked_value("00", "key", value, default) == read


@pytest.mark.parametrize(
    ("value", "default"),
    [
        ("010", 0),
        ("1_000", 0),
        (True, ""),
        ("no", True),
        ("inf", 0.5),
        (float("nan"), 0.5),
        (10**400, 0.5),
    ],
)
def test_a_value_that_is_not_of_its_parameters_type(value, default):
    with pytest.raises(UserError, match="parameter 'key' of 00 is") as error:
        presets.checked_value("00", "key", value, default)
    assert len(str(error.value)) < 200


def test_a_setting_is_given_once_and_shown_in_short():
    with pytest.raises(UserError, match="twice"):
        presets.parse_settings(["seed=1", "seed=2"])
    deep = "[" * 5000
    with pytest.raises(UserError, match="nested") as error:
        presets.parse_settings([f"seed={deep}"])
    assert len(str(error.value)) < 400


def test_a_run_file_names_a_notebook_once(project):
    first = notebooks.STEPS[0]
    spec = presets.RunSpec("x", notebooks={first.number: {}, first.name: {}})
    with pytest.raises(UserError, match="twice"):
        presets.resolve_parameters(spec, notebooks.STEPS, {})


def test_yes_and_no_are_booleans_where_one_is_meant(project):
    for word, truth in (("yes", True), ("off", False)):
        settings = presets.parse_settings([f"01.scan={word}", f"01.title={word}"])
        values = {}
        for key, value in settings.items():
            presets._assign(values, {"scan": False, "title": ""}, "01", key[3:], value)
        assert values == {"scan": truth, "title": word}
