"""Read the result files of a run: None for one that is not there, an error for a broken one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from selene_lib.data.collection import read_sets
from selene_lib.errors import UserError
from selene_lib.evaluation.metrics import reliability_bins
from selene_lib.evaluation.scoring.rescore import read_judgements
from selene_lib.files import read_json
from selene_lib.judges.calibration import read_calibration
from selene_lib.records import Judgement, Sample

EXPLORE, CURATE, ABLATE, TRAIN = (
    "01_explore_sources",
    "02_curate_preferences",
    "03_ablate_sources",
    "04_train_judge",
)
EVALUATE, DOMAINS, REPORT = "05_evaluate_benchmarks", "06_evaluate_domains", "07_report"
KEPT_BINS, KEPT_PAIRS = f"{EVALUATE}/reliability.csv", f"{CURATE}/pair_counts.json"
"""What a published run keeps of its judgements and of its pairs (`figures.kept`)."""


def run_table(result_dir: Path, name: str) -> pd.DataFrame | None:
    """Read a CSV of a run; None where it is not there, an empty table where nothing stands in it.

    Raises `UserError` for a file that is no table.
    """
    path = Path(result_dir) / name
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path, keep_default_na=True)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: not a table ({error}); delete it and run {name.split('/')[0]} again"
        ) from error


def run_object(result_dir: Path, name: str) -> Any:
    """Read a JSON file of a run; None where it is not there."""
    path = Path(result_dir) / name
    return read_json(path) if path.is_file() else None


def base_model(manifest: Mapping[str, Any]) -> str | None:
    """The base model that was trained or judged with, None where no step tells."""
    steps = manifest.get("steps", {})
    for name in (TRAIN, EVALUATE, ABLATE):
        model = steps.get(name, {}).get("parameters", {}).get("base_model")
        if model:
            return str(model)
    return None


def pair_counts(result_dir: Path) -> dict[str, int]:
    """Count the pairs of curation, before the decisions of the mix; empty where there are none."""
    kept = run_object(result_dir, KEPT_PAIRS)
    if kept is not None:
        return {str(kind): int(n) for kind, n in kept.items()}
    path = Path(result_dir) / CURATE / "pairs.parquet"
    if not path.is_file():
        return {}
    critique = pd.read_parquet(path, columns=["with_critique"])["with_critique"]
    held_out = Path(result_dir) / CURATE / "validation.parquet"
    n_held_out = len(pd.read_parquet(held_out, columns=["id"])) if held_out.is_file() else 0
    return {
        "with a critique": int(critique.sum()),
        "judgement only": int((~critique).sum()),
        "held out for validation": n_held_out,
    }


def meta_of(cell: Any) -> Mapping[str, Any]:
    """Read a `meta` cell of a scores table: JSON text, or nothing."""
    return json.loads(cell) if isinstance(cell, str) and cell.strip() else {}


def headline_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the one row a judge and set that a claim is made on.

    Those whose meta says `headline`; all where none says so.
    """
    if scores.empty or "meta" not in scores:
        return scores
    chosen = scores["meta"].map(lambda cell: bool(meta_of(cell).get("headline")))
    return scores[chosen] if chosen.any() else scores


def run_sets(result_dir: Path) -> dict[str, list[Sample]]:
    """Return the evaluation sets of a run, by name."""
    return read_sets(Path(result_dir) / EXPLORE / "benchmarks")


def run_judgements(result_dir: Path) -> list[Judgement]:
    """Return every stored judgement of the evaluation, in the order of the file names, with the
    probabilities and the verdict of its judge's calibration where notebook 05 fitted one.
    """
    folder = Path(result_dir) / EVALUATE / "judgements"
    if not any(folder.rglob("*.jsonl")):
        return []
    return _calibrated(Path(result_dir), read_judgements(folder))


def _calibrated(result_dir: Path, judgements: list[Judgement]) -> list[Judgement]:
    """What is stored is what a judge said; what is scored is scaled."""
    folder = result_dir / EVALUATE / "calibrations"
    found = {path.stem: read_calibration(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        return judgements
    items = {(name, s.id): s for name, samples in run_sets(result_dir).items() for s in samples}
    scaled = []
    for judgement in judgements:
        sample = items.get((judgement.set, judgement.sample_id))
        calibration = found.get(judgement.judge)
        if sample is not None and calibration is not None:
            judgement = calibration.apply(judgement, sample)
        scaled.append(judgement)
    return scaled


def reliability_table(result_dir: Path, n_bins: int = 10) -> pd.DataFrame | None:
    """Return reliability bins of every judge that gave verdict probabilities.

    Columns: judge, low, high, n, confidence, accuracy. The confidence is the probability of the
    verdict that was given; items without verdict, probabilities or gold label are left out. None
    where no judgement can be used. Of a published run the bins themselves were kept (`KEPT_BINS`).
    """
    kept = run_table(result_dir, KEPT_BINS)
    if kept is not None:
        return kept
    gold: dict[tuple[str, str], str | None] = {}
    for name, samples in run_sets(result_dir).items():
        for sample in samples:
            gold[name, sample.id] = sample.label
    found: dict[str, list[tuple[float, float]]] = {}
    for j in run_judgements(result_dir):
        label, probability = gold.get((j.set, j.sample_id)), j.verdict_probability
        if label is not None and probability is not None:
            right = float(j.verdict_of_sample == label)
            found.setdefault(j.judge, []).append((min(1.0, probability), right))
    rows = []
    for judge, pairs in found.items():
        confidence, correct = np.array(pairs).T
        for one in reliability_bins(confidence, correct, n_bins):
            rows.append({"judge": judge, **asdict(one)})
    return pd.DataFrame(rows) if rows else None
