"""What a finished run shows the world: `results.json`, and copies of figures and report under
`figures/<run>` and `reports/<run>`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.evaluation.scoring import headline, read_scores
from selene_lib.files import copy_folder, read_json, to_dict
from selene_lib.judges.names import BASE, loss_of, main_arm
from selene_lib.pipeline.places import home
from selene_lib.pipeline.presets import load_run
from selene_lib.pipeline.runs import Step


def collect_results(run_dir: Path) -> dict[str, Any]:
    """Return everything a reader of the run needs as plain values: headline, a row a benchmark and
    domain set, task means, seeds, gains.
    """
    evaluated, domains = run_dir / "05_evaluate_benchmarks", run_dir / "06_evaluate_domains"
    scores = read_scores(evaluated / "scores.csv")
    rows = [{**to_dict(s), "role": "benchmark"} for s in headline(scores)]
    rows += [
        {**to_dict(s), "role": "domain"}
        for s in read_scores(domains / "domain_scores.csv")
        if s.metric == "accuracy"
    ]
    means = _records(evaluated / "task_means.csv")
    seeds = _records(evaluated / "seeds.csv")
    return {
        "run": run_dir.name,
        "about": load_run(run_dir.name).about,
        "headline": _headline(means, seeds),
        "scores": rows,
        "task_means": means,
        "seeds": seeds,
        "gains": _records(evaluated / "gains.csv"),
        "steps": {name: step["parameters"] for name, step in _steps(run_dir).items()},
    }


def _headline(means: list[dict[str, Any]], seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Base and the main arm on the mean over task types, and the gain of every seed of the main
    loss.
    """
    overall = {row["judge"]: row for row in means if row["task"] == "overall"}
    arm = main_arm(overall)
    gains = {
        row["judge"]: row["gain_points"] for row in seeds if loss_of(row["judge"]) == loss_of(arm)
    }
    return {"base": overall[BASE], "trained": overall[arm], "gain_points_by_seed": gains}


def _records(path: Path) -> list[dict[str, Any]]:
    import pandas as pd

    table = pd.read_csv(path)
    return table.astype(object).where(table.notna(), None).to_dict("records")


def _steps(run_dir: Path) -> Mapping[str, Any]:
    return {path.parent.name: read_json(path) for path in sorted(run_dir.glob("*/step.json"))}


def publish(step: Step, run: str) -> list[str]:
    """Copy figures and report to `figures/<run>` and `reports/<run>`; return what was written,
    relative to the project.
    """
    reports = home() / "reports" / run
    reports.mkdir(parents=True, exist_ok=True)
    for name in ("results.json", "report.html"):
        shutil.copyfile(step.folder / name, reports / f".{name}.tmp")
        (reports / f".{name}.tmp").replace(reports / name)
    written = [
        (reports / name).relative_to(home()).as_posix() for name in ("results.json", "report.html")
    ]
    return [publish_figures(step, run), *written]


def publish_figures(step: Step, name: str) -> str:
    """Copy a step's figures to `figures/<name>`; return that folder, relative to the project."""
    figures = home() / "figures" / name
    figures.parent.mkdir(parents=True, exist_ok=True)
    copy_folder(step.folder / "figures", figures)
    return figures.relative_to(home()).as_posix()
