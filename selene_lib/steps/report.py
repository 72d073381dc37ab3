"""Notebook 07: what a finished run shows the world.

`results.json`, and of figures and report what a reader opens, under `figures/<run>` and
`reports/<run>`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.evaluation.scoring import headline, read_scores
from selene_lib.figures import results as files
from selene_lib.files import atomic_path, copy_folder, read_json, to_dict
from selene_lib.judges.names import BASE, loss_of, main_arm
from selene_lib.pipeline.places import home
from selene_lib.pipeline.presets import load_run
from selene_lib.pipeline.runs import Step

PUBLISHED = "published"  # the folder of figures of the published values


def collect_results(run_dir: Path) -> dict[str, Any]:
    """Return everything a reader of the run needs as plain values.

    The headline, a row a benchmark and domain set, task means, seeds and gains.
    """
    evaluated, domains = run_dir / files.EVALUATE, run_dir / files.DOMAINS
    benchmark_scores = headline(read_scores(evaluated / "scores.csv"))
    domain_scores = read_scores(domains / "domain_scores.csv")
    rows = [{**to_dict(s), "role": "benchmark"} for s in benchmark_scores]
    rows += [{**to_dict(s), "role": "domain"} for s in domain_scores if s.metric == "accuracy"]
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


def publish(step: Step, run: str) -> list[str]:
    """Copy figures and report to `figures/<run>` and `reports/<run>`.

    Returns what was written, relative to the project.
    """
    written = [publish_figures(step, run)]
    for name in ("results.json", "report.html"):
        target = home() / "reports" / run / name
        with atomic_path(target) as temporary:
            shutil.copyfile(step.folder / name, temporary)
        written.append(target.relative_to(home()).as_posix())
    return written


def publish_figures(step: Step, name: str) -> str:
    """Copy a step's pictures to `figures/<name>`; return that folder, relative to the project.

    Only PNG, which a reader opens: the SVG and the CSV of each stay in the step's own folder. The
    published values have a folder of their own.
    """
    figures = home() / "figures" / name
    figures.parent.mkdir(parents=True, exist_ok=True)
    leave_out = ["*.svg", "*.csv"]
    if name != PUBLISHED:
        leave_out.append("*_published.png")
    copy_folder(step.folder / "figures", figures, leave_out=leave_out)
    return figures.relative_to(home()).as_posix()
