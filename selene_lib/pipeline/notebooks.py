"""The ordered notebooks of the chain: what each reads, writes and takes as parameters."""

from __future__ import annotations

import ast
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, shown
from selene_lib.pipeline.places import project_root


@dataclass(frozen=True)
class StepSpec:
    """One notebook: what it reads and writes.

    Inputs are paths below `artefacts/<run>/`, outputs and telemetry below the step's own folder.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    telemetry: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """The two digits its name starts with."""
        return self.name.split("_")[0]

    @property
    def needed_steps(self) -> set[str]:
        """Names of the steps that write its inputs."""
        return {name.split("/")[0] for name in self.inputs}


STEPS: tuple[StepSpec, ...] = (
    StepSpec("00_quickstart", (), ("judgements.csv",)),
    StepSpec(
        "01_explore_sources",
        (),
        (
            "samples.parquet",
            "benchmarks",
            "sources.csv",
            "benchmarks.csv",
            "ledger.csv",
            "cards",
            "topic_map.csv",
            "topic_map.html",
            "overlaps.csv",
            "dev.parquet",
        ),
    ),
    StepSpec(
        "02_curate_preferences",
        ("01_explore_sources/samples.parquet",),
        (
            "critiques.jsonl",
            "pairs.parquet",
            "validation.parquet",
            "ledger.csv",
            "rewards.csv",
            "example_pair.json",
        ),
    ),
    StepSpec(
        "03_ablate_sources",
        (
            "01_explore_sources/dev.parquet",
            "02_curate_preferences/pairs.parquet",
            "02_curate_preferences/validation.parquet",
        ),
        ("ablation.csv", "threshold_sweep.csv", "decisions.yaml"),
        ("telemetry.csv",),
    ),
    StepSpec(
        "04_train_judge",
        (
            "02_curate_preferences/pairs.parquet",
            "02_curate_preferences/validation.parquet",
            "02_curate_preferences/ledger.csv",
            "03_ablate_sources/decisions.yaml",
        ),
        ("adapters", "training.csv", "held_out.csv", "mix.csv", "ledger.csv"),
        ("telemetry.csv",),
    ),
    StepSpec(
        "05_evaluate_benchmarks",
        (
            "01_explore_sources/benchmarks",
            "01_explore_sources/benchmarks.csv",
            "01_explore_sources/overlaps.csv",
            "01_explore_sources/samples.parquet",
            "02_curate_preferences/pairs.parquet",
            "02_curate_preferences/validation.parquet",
            "04_train_judge/adapters",
        ),
        (
            "judgements",
            "scores.csv",
            "task_means.csv",
            "seeds.csv",
            "gains.csv",
            "yes_no.csv",
            "yes_no_against.csv",
            "calibration.csv",
            "calibrations",
        ),
    ),
    StepSpec(
        "06_evaluate_domains",
        (
            "01_explore_sources/benchmarks",
            "01_explore_sources/benchmarks.csv",
            "04_train_judge/adapters",
            "05_evaluate_benchmarks/judgements",
        ),
        ("judgements", "domain_scores.csv", "table2.csv", "formats.csv", "arena.csv", "audit.csv"),
    ),
    StepSpec(
        "07_report",
        (
            "01_explore_sources/sources.csv",
            "01_explore_sources/topic_map.csv",
            "01_explore_sources/samples.parquet",
            "01_explore_sources/benchmarks.csv",
            "01_explore_sources/benchmarks",
            "01_explore_sources/ledger.csv",
            "01_explore_sources/overlaps.csv",
            "02_curate_preferences/pairs.parquet",
            "02_curate_preferences/validation.parquet",
            "02_curate_preferences/ledger.csv",
            "02_curate_preferences/rewards.csv",
            "02_curate_preferences/example_pair.json",
            "03_ablate_sources/ablation.csv",
            "03_ablate_sources/threshold_sweep.csv",
            "03_ablate_sources/decisions.yaml",
            "04_train_judge/training.csv",
            "04_train_judge/held_out.csv",
            "04_train_judge/ledger.csv",
            "05_evaluate_benchmarks/judgements",
            "05_evaluate_benchmarks/scores.csv",
            "05_evaluate_benchmarks/task_means.csv",
            "05_evaluate_benchmarks/seeds.csv",
            "05_evaluate_benchmarks/gains.csv",
            "05_evaluate_benchmarks/yes_no.csv",
            "05_evaluate_benchmarks/yes_no_against.csv",
            "05_evaluate_benchmarks/calibration.csv",
            "05_evaluate_benchmarks/calibrations",
            "06_evaluate_domains/domain_scores.csv",
            "06_evaluate_domains/formats.csv",
            "06_evaluate_domains/arena.csv",
            "06_evaluate_domains/audit.csv",
        ),
        ("results.json", "figures", "report.html", "recipe.md", "tables.zip"),
    ),
    StepSpec(
        "08_published_values",
        (),
        ("published.csv", "figures"),
    ),
)


ALONE: tuple[StepSpec, ...] = (
    StepSpec(
        "09_train_on_your_labels",
        (),
        ("judge", "comparison.csv", "curve.csv", "pool.csv"),
    ),
)
"""Notebooks that are no step of the chain: they read your files and need the small real model."""


def step_spec(name: str) -> StepSpec:
    """Return the step of that name, or one that its number (`04`) starts; also one that stands
    alone.
    """
    found = [s for s in (*STEPS, *ALONE) if name in (s.name, s.number)]
    if not found:
        raise UserError(f"no step {shown(name)}; there are {', '.join(s.name for s in STEPS)}")
    return found[0]


def notebook_path(name: str) -> Path:
    """Return the source notebook of a step."""
    path = project_root() / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        raise UserError(f"{path} is not there; check out the project's notebooks folder again")
    return path


@functools.cache
def parameter_defaults(notebook: Path) -> dict[str, Any]:
    """Return names and defaults of the one cell that is tagged `parameters`.

    Literals only. Raises `UserError` where the file is no notebook or has another number of such
    cells.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
        raise UserError(
            f"{notebook} is not a readable notebook ({error}); "
            f"restore it with `git checkout -- {notebook.name}`"
        ) from error
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise UserError(
            f"{notebook}: {len(tagged)} cells are tagged 'parameters', there must be one"
        )
    defaults = {}
    for node in ast.parse("".join(tagged[0]["source"])).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            defaults[node.targets[0].id] = ast.literal_eval(node.value)
    return defaults
