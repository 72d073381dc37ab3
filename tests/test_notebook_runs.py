"""Notebooks as a reader runs them: from their own folder, under plain papermill, with own files;
and the one for Colab where google.colab seems to be.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import REPOSITORY

from selene_lib import nano
from selene_lib.curation.decisions import write_decisions
from selene_lib.curation.pairs import build_pairs
from selene_lib.files import sha256_file, write_json, write_parquet
from selene_lib.ledger import Ledger
from selene_lib.pipeline import colab
from selene_lib.records import PreferencePair

pytestmark = pytest.mark.slow
HERE = REPOSITORY / "notebooks"


def papermill(
    notebook: Path, home: Path, *, environment: dict[str, str] | None = None, **parameters: object
) -> subprocess.CompletedProcess:
    """Execute a notebook from its own folder; the copy is `home/out.ipynb`."""
    given = []
    for key, value in parameters.items():  # -r: papermill takes the text 08 for the number 8
        is_text = isinstance(value, str | Path)
        given += ["-r" if is_text else "-p", key, str(value)]
    words = [sys.executable, "-m", "papermill", "--no-progress-bar", "-k", "python3"]
    return subprocess.run(
        [*words, notebook.name, str(home / "out.ipynb"), *given],
        cwd=notebook.parent,
        env={**os.environ, "SELENE_HOME": str(home), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )


def shown(home: Path) -> str:
    """Everything that the executed copy shows."""
    cells = nbformat.read(home / "out.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    texts = [output.get("text", "") for output in outputs]
    for output in outputs:
        texts += [str(value) for kind, value in output.get("data", {}).items() if "text" in kind]
    return "\n".join(texts)


def written(path: Path, header: str, rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header.split(","), *rows])
    return path


@pytest.mark.long
def test_notebook_00_judges_the_file_of_a_reader(tmp_path):
    mine = written(
        tmp_path / "mine.csv",
        "instruction,response",
        [("Name only food.", "tea, bread."), ("Name only plant.", "tea, <b>saw</b>.")],
    )
    given = {"input": mine, "model": "embedded", "rubric": "each word fits", "run": "mine"}
    done = papermill(HERE / "00_quickstart.ipynb", tmp_path, **given)
    assert done.returncode == 0, done.stderr[-2000:]
    said = shown(tmp_path)
    assert "2 rows of" in said and "tea, bread." in said
    assert "&lt;b&gt;saw&lt;/b&gt;" in said, "a text is no markup"
    assert (tmp_path / "artefacts/mine/00_quickstart/judgements.csv").is_file()


def test_a_parameter_that_is_unknown_stops_the_first_cell(tmp_path):
    done = papermill(HERE / "08_published_values.ipynb", tmp_path, runn="mine")
    assert done.returncode != 0
    assert "has no parameter 'runn', did you mean run?" in done.stderr


@pytest.mark.long
def test_notebook_04_trains_on_pairs_and_shows_one_with_its_tokens(tmp_path):
    run = tmp_path / "artefacts" / "mine"
    samples = nano.make_source("nano-facts", 24, seed=0)
    pairs = build_pairs(samples, critique_share=0.0, family="nano", seed=0)
    for name, part in (("pairs", pairs[:18]), ("validation", pairs[18:])):
        write_parquet(run / "02_curate_preferences" / f"{name}.parquet", part, PreferencePair)
    ledger = Ledger()
    ledger.add_records("pairs", pairs, pairs, {})
    (run / "02_curate_preferences" / "ledger.csv").write_text(
        ledger.to_frame().to_csv(index=False), encoding="utf-8"
    )
    write_decisions(
        run / "03_ablate_sources" / "decisions.yaml", {"sources": {}, "reward_threshold": None}
    )
    for folder in run.iterdir():
        made = {path.name: {"sha256": sha256_file(path)} for path in folder.iterdir()}
        record = {"step": folder.name, "fingerprint": "f", "inputs": {}, "outputs": made}
        write_json(folder / "step.json", {**record, "parameters": {}})
    small = {"n_steps": 2, "batch_size": 4, "losses": "dpo_nll", "seeds": "0", "n_validation": 4}
    done = papermill(HERE / "04_train_judge.ipynb", tmp_path, run="mine", **small)
    assert done.returncode == 0, done.stderr[-2000:]
    said = shown(tmp_path)
    assert "the preference term alone" in said and "Name·" in said
    adapter = run / "04_train_judge" / "adapters" / "dpo_nll-seed0"
    assert (adapter / "adapter_model.safetensors").is_file()


@pytest.mark.long
def test_notebook_09_trains_on_the_labels_of_a_reader(tmp_path):
    rows = [(f"q{i // 2}", f"answer {i}", ("Yes", "No")[i % 2]) for i in range(24)]
    mine = written(tmp_path / "mine.csv", "instruction,response,label", rows)
    rubric = tmp_path / "rubric.txt"
    rubric.write_text("Is it right?\nYes: it is.\nNo: it is not.\n", encoding="utf-8")
    given = {"input_file": mine, "pool_file": mine, "rubric_file": rubric, "base": "embedded"}
    done = papermill(
        HERE / "09_train_on_your_labels.ipynb", tmp_path, run="mine", n_epochs=0.2, **given
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "artefacts/mine/09_train_on_your_labels/comparison.csv").is_file()


FAKE = """
import os, sys, types
module = types.ModuleType("google.colab")
module.drive = types.SimpleNamespace(mount=lambda where: print("mounted", where))
sys.modules["google.colab"] = module
"""


@pytest.mark.long
def test_the_notebook_for_colab_runs_a_preset_and_keeps_it_on_drive(tmp_path):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to fetch")
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    drive = tmp_path / "drive" / "selene"
    patched = f"import selene_lib.pipeline.colab as c; c.DRIVE_HOME = {str(drive)!r}"
    source = (HERE / "colab.ipynb").read_text(encoding="utf-8")
    source = source.replace("/content/selene", str(tmp_path / "selene")).replace('(\\"gpu', '(\\"')
    notebook = json.loads(source)
    for cell in notebook["cells"]:
        if "colab" in cell["metadata"].get("tags", []):
            address = rf'\g<1>"file://{REPOSITORY}", "v0.0.0-never"'
            text = colab.ADDRESS.sub(address, "".join(cell["source"]))
            cell["source"] = text.replace("    print(prepare", f"    {patched}\n    print(prepare")
    (startup / "00-colab.py").write_text(FAKE, encoding="utf-8")
    (tmp_path / "colab.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    done = papermill(
        tmp_path / "colab.ipynb",
        tmp_path,
        environment={"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": ""},
        run="nano",
        first="08",
        last="08",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = shown(tmp_path)
    assert "mounted /content/drive" in said and f"results go to {drive}" in said
    assert "[1/1] 08_published_values" in said and "1 notebooks executed" in said
    assert (drive / "artefacts/nano/08_published_values/figures/fig1a_published.png").is_file()
