"""Notebook 07: what a finished run shows the world, in one file: `results.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.evaluation.scoring import headline, read_scores
from selene_lib.figures import results as files
from selene_lib.figures.drawing import shown_width
from selene_lib.files import read_json, to_dict
from selene_lib.judges.names import BASE, loss_of, main_arm
from selene_lib.pipeline.places import without_places
from selene_lib.pipeline.presets import load_run
from selene_lib.pipeline.verify import sealed

YES_NO_TABLES = ("yes_no", "yes_no_against", "calibration")


def collect_results(run_dir: Path) -> dict[str, Any]:
    """Return everything a reader of the run needs as plain values: headline, a row a benchmark and
    domain set, task means, seeds, gains, and the machine and versions that scored them.

    A hash of it all goes with it, so that `selene verify` sees a value that was changed by hand.
    """
    evaluated, domains = run_dir / files.EVALUATE, run_dir / files.DOMAINS
    benchmark_scores = headline(read_scores(evaluated / "scores.csv"))
    domain_scores = read_scores(domains / "domain_scores.csv")
    rows = [{**to_dict(s), "role": "benchmark"} for s in benchmark_scores]
    rows += [{**to_dict(s), "role": "domain"} for s in domain_scores if s.metric == "accuracy"]
    means = _records(evaluated / "task_means.csv")
    seeds = _records(evaluated / "seeds.csv")
    steps = _steps(run_dir)
    results = {
        "run": run_dir.name,
        "about": load_run(run_dir.name).about,
        "headline": _headline(means, seeds),
        "scores": rows,
        "task_means": means,
        "seeds": seeds,
        "gains": _records(evaluated / "gains.csv"),
        **_yes_no(evaluated),
        "steps": {name: without_places(step["parameters"]) for name, step in steps.items()},
        "environment": _environment(steps),
    }
    return sealed(results)


def _yes_no(evaluated: Path) -> dict[str, Any]:
    """The tables of the Yes/No sets; nothing for a run that has none."""
    tables = {name: files.run_table(evaluated, f"{name}.csv") for name in YES_NO_TABLES}
    if any(table is None or table.empty for table in tables.values()):
        return {}
    return {name: _records(evaluated / f"{name}.csv") for name in tables}


def _environment(steps: Mapping[str, Any]) -> dict[str, Any]:
    """CPU, GPU and versions of the step that judged."""
    judged = steps.get("05_evaluate_benchmarks", {})
    hardware = judged.get("hardware", {})
    machine = {name: hardware.get(name) for name in ("cpu", "n_cpus", "gpu")}
    return {**machine, "versions": judged.get("versions", {})}


def _headline(means: list[dict[str, Any]], seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Base and the main arm on the mean over task types, and every seed's gain of the main loss."""
    overall = {row["judge"]: row for row in means if row["task"] == "overall"}
    arm = main_arm(overall)
    same_loss = [row for row in seeds if loss_of(row["judge"]) == loss_of(arm)]
    gains = {row["judge"]: row["gain_points"] for row in same_loss}
    return {"base": overall[BASE], "trained": overall[arm], "gain_points_by_seed": gains}


def _records(path: Path) -> list[dict[str, Any]]:
    table = pd.read_csv(path)
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _steps(run_dir: Path) -> Mapping[str, Any]:
    return {path.parent.name: read_json(path) for path in sorted(run_dir.glob("*/step.json"))}


def show_figures(folder: Path, *names: str) -> None:
    """Show pictures of a folder in a notebook; one that is not there is left out."""
    from IPython.display import Image, display

    for path in (folder / f"{name}.png" for name in names):
        if path.is_file():
            display(Image(path.read_bytes(), format="png", width=shown_width()))
