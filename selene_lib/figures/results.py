"""Read the result files of a run; a file that is not there is None, a broken one an error that
names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.errors import UserError
from selene_lib.files import read_json, read_jsonl, read_parquet
from selene_lib.records import Judgement, Sample

EXPLORE, CURATE, ABLATE, TRAIN = (
    "01_explore_sources",
    "02_curate_preferences",
    "03_ablate_sources",
    "04_train_judge",
)
EVALUATE, DOMAINS, REPORT = "05_evaluate_benchmarks", "06_evaluate_domains", "07_report"


def read_table(result_dir: Path, name: str) -> pd.DataFrame | None:
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
    except pd.errors.ParserError as error:
        raise UserError(
            f"{path}: not a table ({error}); delete it and run {name.split('/')[0]} again"
        ) from error


def read_object(result_dir: Path, name: str) -> Any:
    """Read a JSON file of a run; None where it is not there."""
    path = Path(result_dir) / name
    return read_json(path) if path.is_file() else None


def meta_of(cell: Any) -> Mapping[str, Any]:
    """Read a `meta` cell of a scores table: JSON text, or nothing."""
    return json.loads(cell) if isinstance(cell, str) and cell.strip() else {}


def headline_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the one row a judge and set that a claim is made on: those whose meta says `headline`,
    all where none says so.
    """
    if scores.empty or "meta" not in scores:
        return scores
    chosen = scores["meta"].map(lambda cell: bool(meta_of(cell).get("headline")))
    return scores[chosen] if chosen.any() else scores


def read_samples(result_dir: Path) -> dict[str, list[Sample]]:
    """Return the evaluation sets of a run, by name."""
    return {
        p.stem: read_parquet(p, Sample)
        for p in sorted((Path(result_dir) / EXPLORE / "benchmarks").glob("*.parquet"))
    }


def read_judgements(result_dir: Path, step: str = EVALUATE) -> list[Judgement]:
    """Return every stored judgement of a step, `judgements/<judge>/<set>.jsonl`, in the order of
    the file names.
    """
    paths = sorted((Path(result_dir) / step / "judgements").rglob("*.jsonl"))
    return [
        judgement for path in paths for judgement in read_jsonl(path, Judgement, skip_broken=True)
    ]


def reliability_table(result_dir: Path, n_bins: int = 10) -> pd.DataFrame | None:
    """Return reliability bins of every judge that gave verdict probabilities: judge, low, high, n,
    confidence, accuracy.

    The confidence is the probability of the verdict that was given; items without verdict,
    probabilities or gold label are left out. None where no judgement can be used.
    """
    from selene_lib.evaluation.metrics import reliability_bins

    gold = {
        (name, s.id): s.label for name, samples in read_samples(result_dir).items() for s in samples
    }
    found: dict[str, list[tuple[float, float]]] = {}
    for j in read_judgements(result_dir):
        label = gold.get((j.set, j.sample_id))
        if (
            j.verdict is not None
            and j.verdict_probs
            and j.verdict in j.verdict_probs
            and label is not None
        ):
            found.setdefault(j.judge, []).append(
                (min(1.0, j.verdict_probs[j.verdict]), float(j.verdict_of_sample == label))
            )
    rows = []
    for judge, pairs in found.items():
        confidence, correct = (pd.Series(column).to_numpy() for column in zip(*pairs))
        for b in reliability_bins(confidence, correct, n_bins):
            rows.append(
                {
                    "judge": judge,
                    "low": b.low,
                    "high": b.high,
                    "n": b.n,
                    "confidence": b.confidence,
                    "accuracy": b.accuracy,
                }
            )
    return pd.DataFrame(rows) if rows else None
