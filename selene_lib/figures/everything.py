"""All figures of a run in one call; what cannot be drawn says why, in the picture and in the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.errors import UserError
from selene_lib.figures import results as files
from selene_lib.figures.benchmarks import draw_benchmarks, draw_overall
from selene_lib.figures.checks import draw_audit, draw_calibration, draw_contamination
from selene_lib.figures.domains import draw_arena, draw_domains, draw_formats
from selene_lib.figures.drawing import Drawing, not_run
from selene_lib.figures.example import draw_example
from selene_lib.figures.flow import draw_flow
from selene_lib.figures.published import (
    draw_published_benchmarks,
    draw_published_domains,
    draw_published_overall,
    published_frame,
)
from selene_lib.figures.topic_map import draw_topic_map
from selene_lib.figures.training import (
    draw_ablation,
    draw_rewards,
    draw_threshold,
    draw_training_curves,
)
from selene_lib.files import write_csv

TABLES: tuple[tuple[str, str, str, Callable[..., Drawing]], ...] = (
    ("fig1a", "Fig. 1a  Mean of the task types", f"{files.EVALUATE}/task_means.csv", draw_overall),
    (
        "fig1b",
        "Fig. 1b  By task type and benchmark",
        f"{files.EVALUATE}/scores.csv",
        draw_benchmarks,
    ),
    (
        "fig3a",
        "Fig. 3a  Accuracy on the domain sets",
        f"{files.DOMAINS}/domain_scores.csv",
        draw_domains,
    ),
    (
        "fig3b",
        "Fig. 3b  The same pairs under other prompt formats",
        f"{files.DOMAINS}/formats.csv",
        draw_formats,
    ),
    (
        "fig3c",
        "Fig. 3c  Arena ratings with 95 % intervals",
        f"{files.DOMAINS}/arena.csv",
        draw_arena,
    ),
    (
        "fig4",
        "Fig. 4  Topic map of the training data",
        f"{files.EXPLORE}/topic_map.csv",
        draw_topic_map,
    ),
    ("training_curves", "Training curves", f"{files.TRAIN}/training.csv", draw_training_curves),
    ("ablation", "Ablation of the training sources", f"{files.ABLATE}/ablation.csv", draw_ablation),
    (
        "rewards",
        "Rewards of chosen and rejected replies",
        f"{files.CURATE}/rewards.csv",
        draw_rewards,
    ),
    (
        "audit",
        "Audit: what moves a verdict that should not",
        f"{files.DOMAINS}/audit.csv",
        draw_audit,
    ),
)
"""Figures that need one table: name, title, file of the run, function."""
NO_TEXT = "the texts of published sets are not redistributed"


def draw_all(
    result_dir: Path, out_dir: Path, *, published: bool = True, show_texts: bool = True
) -> pd.DataFrame:
    """Draw every figure of a run from its result files into `out_dir` (PNG, SVG, CSV each), with no
    model.

    Returns, and writes as `figures.csv`, one row a figure: figure, title, status (`drawn` or `not
    run`), why, alt. A missing result is a picture that says so. `published=True` also draws the
    published values. `show_texts=False` leaves out Fig. 5, which shows an item's text. Raises
    `UserError` for a result folder that is not there.
    """
    result_dir, out_dir = Path(result_dir), Path(out_dir)
    if not result_dir.is_dir():
        raise UserError(
            f"no results in {result_dir}; run `selene reproduce --run {result_dir.name}` first"
        )
    rows = [_saved(drawing, out_dir) for drawing in _drawings(result_dir, show_texts)]
    if published:
        rows += [_saved(drawing, out_dir) for drawing in published_drawings()]
    table = pd.DataFrame(rows)
    write_csv(out_dir / "figures.csv", table)
    return table


def draw_published(out_dir: Path) -> pd.DataFrame:
    """Draw the published values alone (`selene_lib.paper.values`); unverified ones are hatched.
    Returns the table of `draw_all`.
    """
    table = pd.DataFrame([_saved(drawing, Path(out_dir)) for drawing in published_drawings()])
    write_csv(Path(out_dir) / "figures.csv", table)
    return table


def published_drawings() -> list[Drawing]:
    """Return the figures of the published values."""
    from selene_lib.paper import values as paper

    cells, task_of = published_frame(paper.PUBLISHED), dict(paper.TASK_OF)
    return [
        draw_published_overall(cells, task_of),
        draw_published_benchmarks(cells, task_of),
        draw_published_domains(cells),
    ]


def _saved(drawing: Drawing, out_dir: Path) -> dict[str, Any]:
    drawing.save(out_dir)
    status = "not run" if drawing.not_run else "drawn"
    return {
        "figure": drawing.name,
        "title": drawing.title,
        "status": status,
        "why": drawing.not_run,
        "alt": drawing.alt,
    }


def _drawings(result_dir: Path, show_texts: bool) -> Iterator[Drawing]:
    note = f"Run {result_dir.name}{_model_note(result_dir)}."
    for name, title, path, draw in TABLES:
        table = files.read_table(result_dir, path)
        if table is None:
            yield not_run(name, title, f"{path} is not there")
        elif table.empty:
            yield not_run(name, title, f"{path} holds no rows")
        else:
            yield draw(table, note=note, name=name)
    yield _flow(result_dir, note)
    yield _example(result_dir, note, show_texts)
    yield _threshold(result_dir, note)
    yield draw_calibration(files.reliability_table(result_dir), note=note)
    yield _contamination(result_dir, note)


def _model_note(result_dir: Path) -> str:
    manifest = files.read_object(result_dir, "manifest.json") or {}
    used = [
        manifest.get("steps", {}).get(step, {}).get("parameters", {})
        for step in (files.TRAIN, files.EVALUATE, files.ABLATE)
    ]
    model = next(
        (parameters["base_model"] for parameters in used if "base_model" in parameters), None
    )
    return (
        ""
        if model is None
        else ", the tiny embedded model"
        if model == "embedded"
        else f", base model {model}"
    )


def curation_ledger(result_dir: Path) -> pd.DataFrame | None:
    """The ledger of a run: reading (01), then curation with the decisions of the mix (04), or
    without them (02) before that.
    """
    later = [
        files.read_table(result_dir, f"{step}/ledger.csv") for step in (files.TRAIN, files.CURATE)
    ]
    parts = [
        files.read_table(result_dir, f"{files.EXPLORE}/ledger.csv"),
        next((t for t in later if t is not None), None),
    ]
    found = [part for part in parts if part is not None and not part.empty]
    return pd.concat(found, ignore_index=True) if found else None


def _flow(result_dir: Path, note: str) -> Drawing:
    ledger = curation_ledger(result_dir)
    if ledger is None:
        return not_run(
            "fig2", "Fig. 2  How the training pairs came to be", "no ledger.csv was written"
        )
    training = set(ledger["source"]) - _evaluation_sets(result_dir)
    return draw_flow(
        ledger[ledger["source"].isin(training)], pairs=_pair_counts(result_dir), note=note
    )


def _evaluation_sets(result_dir: Path) -> set[str]:
    """Names of evaluation sets: they stand in the ledger of reading too, but are no part of the
    curation.
    """
    table = files.read_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    return set(table["name"]) if table is not None and "name" in table else set()


def _pair_counts(result_dir: Path) -> dict[str, int]:
    path = result_dir / files.CURATE / "pairs.parquet"
    if not path.is_file():
        return {}
    critique = pd.read_parquet(path, columns=["with_critique"])["with_critique"]
    held_out = result_dir / files.CURATE / "validation.parquet"
    n_held_out = len(pd.read_parquet(held_out, columns=["id"])) if held_out.is_file() else 0
    return {
        "with a critique": int(critique.sum()),
        "judgement only": int((~critique).sum()),
        "held out for validation": n_held_out,
    }


def _example(result_dir: Path, note: str, show_texts: bool) -> Drawing:
    title = "Fig. 5  One training example"
    pair = files.read_object(result_dir, f"{files.CURATE}/example_pair.json")
    if pair is None:
        return not_run("fig5", title, f"{files.CURATE}/example_pair.json is not there")
    return draw_example(pair, note=note) if show_texts else not_run("fig5", title, NO_TEXT)


def _threshold(result_dir: Path, note: str) -> Drawing:
    sweep = files.read_table(result_dir, f"{files.ABLATE}/threshold_sweep.csv")
    if sweep is None or sweep.empty:
        return not_run(
            "threshold",
            "Reward threshold",
            f"{files.ABLATE}/threshold_sweep.csv {'is not there' if sweep is None else 'holds no rows'}",
        )
    chosen = chosen_threshold(result_dir)
    verdict = "No threshold beat no filter beyond chance. " if chosen is None else ""
    return draw_threshold(sweep, chosen=chosen, note=f"{verdict}{note}")


def chosen_threshold(result_dir: Path) -> float | None:
    """The reward threshold of `decisions.yaml`, None where there is none."""
    import yaml

    path = Path(result_dir) / files.ABLATE / "decisions.yaml"
    decisions = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    value = (
        decisions.get("threshold", decisions.get("reward_threshold"))
        if isinstance(decisions, dict)
        else None
    )
    return float(value) if isinstance(value, int | float) else None


def _contamination(result_dir: Path, note: str) -> Drawing:
    overlaps = files.read_table(result_dir, f"{files.EXPLORE}/overlaps.csv")
    if overlaps is None:
        return not_run(
            "contamination",
            "Training items found in evaluation sets",
            f"{files.EXPLORE}/overlaps.csv is not there",
        )
    sources, sets = (
        files.read_table(result_dir, f"{files.EXPLORE}/{name}.csv")
        for name in ("sources", "benchmarks")
    )
    named = [
        [] if t is None or "name" not in t else list(t.loc[t["n"] > 0, "name"])
        for t in (sources, sets)
    ]
    return draw_contamination(overlaps, *named, note=note)
