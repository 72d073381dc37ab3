"""The whole chain in a temporary folder, small; then killed with -9 in the middle of training and
resumed to the same data.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from conftest import REPOSITORY

from selene_lib.pipeline.notebooks import STEPS

HERE = Path(__file__).resolve().parent
SMALL = {
    "01.sources": "nano-coverage,nano-tone,nano-poisoned",
    "01.n_per_source": 16,
    "01.n_per_set": 8,
    "01.n_dev": 8,
    "01.n_topics": 4,
    "03.n_steps": 2,
    "03.n_rounds": 1,
    "03.only": "false",
    "03.n_dev": 6,
    "03.drop_shares": "0.1",
    "04.n_steps": 8,
    "04.batch_size": 4,
    "04.save_every_steps": 2,
    "04.seeds": "0,1",
    "04.losses": "dpo_nll",
    "04.n_validation": 6,
    "05.n_resamples": 200,
    "06.n_resamples": 200,
    "06.n_format_items": 4,
    "06.n_audit_items": 4,
}


def command(*arguments: str) -> list[str]:
    settings = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "selene_lib.cli", "reproduce", *settings, *arguments]


def reproduce(home, *arguments: str) -> subprocess.CompletedProcess:
    return run_in(home, command(*arguments))


def selene(home, *arguments: str) -> subprocess.CompletedProcess:
    return run_in(home, [sys.executable, "-m", "selene_lib.cli", *arguments])


def run_in(home, words: list[str]) -> subprocess.CompletedProcess:
    hooked = os.pathsep.join([str(HERE / "opened"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "SELENE_HOME": str(home), "PYTHONPATH": hooked}
    environment["SELENE_OPENED"] = str(home.with_name(f"{home.name}-opened"))
    environment["LOKY_MAX_CPU_COUNT"] = "1"  # no worker has to start; the killed run has them
    return subprocess.run(
        words,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1500,
    )


def data_hashes(home, *steps: str) -> dict[str, str]:
    manifest = json.loads((home / "artefacts/nano/manifest.json").read_text())["steps"]
    return {
        f"{step}/{name}": entry["sha256"]
        for step in steps
        for name, entry in manifest[step]["outputs"].items()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small run of all eight notebooks."""
    home = tmp_path_factory.mktemp("home")
    done = reproduce(home)
    assert done.returncode == 0, done.stdout + done.stderr
    return home, done


@pytest.mark.slow
def test_every_notebook_ran_and_its_outputs_are_in_the_manifest(finished):
    home, done = finished
    manifest = json.loads((home / "artefacts/nano/manifest.json").read_text())["steps"]
    assert list(manifest) == [step.name for step in STEPS]
    for step in STEPS:
        assert set(manifest[step.name]["outputs"]) == set(step.outputs)
        assert (home / f"artefacts/nano/notebooks/{step.name}.ipynb").is_file()
    assert "overall" in done.stdout
    assert (home / "artefacts/nano/07_report/report.html").stat().st_size < 10_000_000


@pytest.mark.slow
def test_a_notebook_opens_no_file_of_another_that_it_does_not_declare(finished):
    """What decides a result must decide whether it is made again."""
    home, _ = finished
    run_dir = home / "artefacts/nano"
    steps, n_read = {step.name: step for step in STEPS}, 0
    for log in home.with_name(f"{home.name}-opened").iterdir():
        paths = [Path(line) for line in log.read_text().splitlines()]
        inside = [p.relative_to(run_dir) for p in paths if run_dir in p.parents]
        begun = [p.parts[0] for p in inside if p.name.startswith(".begun.json")]
        if not begun:  # the command itself, which hashes all of them
            continue
        step = steps[begun[0]]
        others = [p.as_posix() for p in inside if p.parts[0] in steps.keys() - {step.name}]
        n_read += len(others)
        records = {f"{name}/step.json" for name in steps}  # provenance, shown and not used
        undeclared = [
            name
            for name in others
            if name not in records
            and not any(name == one or name.startswith(f"{one}/") for one in step.inputs)
        ]
        assert undeclared == [], step.name
    assert n_read > 50


@pytest.mark.slow
def test_a_run_writes_below_artefacts_only_and_publish_copies_it(finished, tmp_path):
    home, _ = finished
    assert [path.name for path in home.iterdir()] == ["artefacts"]
    copy = tmp_path / "home"
    shutil.copytree(home, copy)
    done = selene(copy, "publish")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in copy.iterdir()} == {"artefacts", "figures", "reports"}
    assert len(list((copy / "reports/nano/notebooks").glob("*.ipynb"))) == len(STEPS)
    same = selene(copy, "verify")
    assert same.returncode == 0, same.stdout + same.stderr
    assert "0 outside" in same.stdout
    published = copy / "reports/nano/results.json"
    results = json.loads(published.read_text())
    results["task_means"][0]["value"] += 0.0001
    published.write_text(json.dumps(results))
    changed = selene(copy, "verify")
    assert changed.returncode == 3
    assert "was changed after its run wrote it" in changed.stdout


@pytest.mark.slow
def test_the_ledger_adds_up(finished):
    from selene_lib.ledger import Ledger

    home, _ = finished
    for step in ("02_curate_preferences", "04_train_judge"):
        ledger = Ledger.read_csv(home / f"artefacts/nano/{step}/ledger.csv")
        ledger.check_chain()
        table = ledger.totals()
        assert (table["n_in"] == table["n_out"] + table["n_dropped"]).all()


@pytest.mark.slow
def test_results_have_a_row_a_set_with_counts_interval_and_baselines(finished):
    home, _ = finished
    results = json.loads((home / "artefacts/nano/07_report/results.json").read_text())
    rows = {(row["judge"], row["set"]): row for row in results["scores"]}
    scores = pd.read_csv(home / "artefacts/nano/05_evaluate_benchmarks/scores.csv")
    assert {"base", "dpo_nll-seed0", "dpo_nll-seed1"} == set(scores["judge"])
    row = rows["base", "nano-classification"]
    assert row["n"] == 8
    assert row["ci95_low"] <= row["value"] <= row["ci95_high"]
    assert row["baseline_majority"] is not None
    assert rows["base", "reward_bench"]["status"] == "not run"
    assert rows["base", "reward_bench"]["published"] == 0.695


@pytest.mark.slow
def test_again_does_no_work_and_says_so(finished):
    home, _ = finished
    done = reproduce(home)
    assert done.returncode == 0
    assert "nothing to do" in done.stdout


@pytest.mark.faults
def test_killed_in_training_and_resumed_gives_the_same_data(finished, tmp_path):
    home, _ = finished
    for name in (
        "00_quickstart",
        "01_explore_sources",
        "02_curate_preferences",
        "03_ablate_sources",
    ):
        shutil.copytree(home / "artefacts/nano" / name, tmp_path / "artefacts/nano" / name)
    process = subprocess.Popen(
        command("--to", "04"),
        cwd=REPOSITORY,
        env={**os.environ, "SELENE_HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    arms = tmp_path / "artefacts/nano/04_train_judge/arms"
    deadline = time.monotonic() + 120
    while not list(arms.glob("dpo_nll-seed0/checkpoint-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "artefacts/nano/04_train_judge/step.json").exists()
    done = reproduce(tmp_path, "--to", "04")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "02_curate_preferences    unchanged" in done.stdout
    assert data_hashes(tmp_path, "04_train_judge") == data_hashes(home, "04_train_judge")
