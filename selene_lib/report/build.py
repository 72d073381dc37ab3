"""Build the report: read result files and figures, write one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.errors import UserError
from selene_lib.figures import results as files
from selene_lib.figures.everything import curation_ledger
from selene_lib.figures.flow import Stage, flow_stages
from selene_lib.figures.judges import LOSS_NAMES, TASK_NAMES, judge_label, order_judges
from selene_lib.files import write_text
from selene_lib.judges.names import is_base, loss_of, main_judge
from selene_lib.paper.values import marked
from selene_lib.report.claims import Claim, claims, count_statuses
from selene_lib.report.items import KINDS, mistake_counts, worst_items
from selene_lib.report.provenance import (
    command_rows,
    machine,
    run_manifest,
    scale_sentences,
    step_rows,
)
from selene_lib.report.yes_no import RULES, yes_no_rows

HERE = Path(__file__).parent
MAX_CSV_BYTES = 300_000
GROUPS = (
    ("Yes/No sets", ("yes_no",)),
    ("Fig. 1: benchmarks", ("fig1a", "fig1a_published", "fig1b", "fig1b_published")),
    ("Fig. 3: domains, prompt formats, arena", ("fig3a", "fig3a_published", "fig3b", "fig3c")),
    ("Fig. 5: one training example", ("fig5",)),
    ("Training, ablation, threshold", ("training_curves", "ablation", "rewards", "threshold")),
    ("Can the numbers be trusted", ("calibration", "audit", "contamination")),
)
TABLES = (
    ("table-sources", "Training sources", f"{files.EXPLORE}/sources.csv"),
    ("table-sets", "Evaluation sets", f"{files.EXPLORE}/benchmarks.csv"),
    ("table-ablation", "Ablation of the sources", f"{files.ABLATE}/ablation.csv"),
    ("table-threshold", "Reward threshold", f"{files.ABLATE}/threshold_sweep.csv"),
    ("table-losses", "Losses on held-out pairs, every seed", f"{files.TRAIN}/held_out.csv"),
    ("table-domains", "Domains, every reading (Table 2)", f"{files.DOMAINS}/domain_scores.csv"),
    ("table-formats", "Prompt formats", f"{files.DOMAINS}/formats.csv"),
    ("table-arena", "Arena", f"{files.DOMAINS}/arena.csv"),
    ("table-audit", "Audit card", f"{files.DOMAINS}/audit.csv"),
    ("table-yes-no", "Yes/No sets, every judge and yardstick", f"{files.EVALUATE}/yes_no.csv"),
    ("table-against", "Trained less others, same items", f"{files.EVALUATE}/yes_no_against.csv"),
    ("table-calibration", "What calibration did", f"{files.EVALUATE}/calibration.csv"),
    ("table-scores", "Every score in every convention (Table 1)", f"{files.EVALUATE}/scores.csv"),
)
MAX_ROWS = 400


def build_report(
    result_dir: Path, figures_dir: Path, out: Path, *, show_texts: bool = False
) -> Path:
    """Write the report of the run in `result_dir` to `out`; return its path.

    What a run does not have is shown as `not run`. `show_texts=True` shows judged items, texts and
    verdicts: only for generated items or your own, since published sets must not be redistributed.
    Without it the report holds counts and scores only.
    Raises `UserError` for a result folder that is not there.
    """
    result_dir, figures_dir = Path(result_dir), Path(figures_dir)
    if not result_dir.is_dir():
        raise UserError(
            f"no results in {result_dir}; run `selene reproduce --run {result_dir.name}` first"
        )
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["share"] = share
    environment.filters["count"] = count
    environment.filters["label"] = judge_label
    page = environment.get_template("template.html").render(
        **_context(result_dir, figures_dir, show_texts)
    )
    return write_text(out, page)


def _context(result_dir: Path, figures_dir: Path, show_texts: bool) -> dict[str, Any]:
    run, manifest = result_dir.name, run_manifest(result_dir)
    rows = claims(result_dir)
    judged = [row for row in rows if row.trained.value is not None or row.base.value is not None]
    items, n_items = worst_items(result_dir, show_texts=True) if show_texts else ([], 0)
    figures = _figures(figures_dir)
    hardware, versions = machine(manifest)
    model = files.base_model(manifest)
    return {
        "run": run,
        "style": (HERE / "style.css").read_text(encoding="utf-8"),
        "script": (HERE / "script.js").read_text(encoding="utf-8"),
        "model": model,
        "scale": scale_sentences(model, [row.set for row in judged]),
        "headline": _headline(result_dir, judged),
        "claims": rows,
        "n_judged": len(judged),
        "worse": [row for row in judged if _is_worse(row)],
        "statuses": count_statuses(rows),
        "tasks": _task_table(result_dir),
        "seeds": _seeds(result_dir),
        "yes_no": yes_no_rows(result_dir),
        "yes_no_rules": RULES,
        "groups": [(title, _those_of(figures, names)) for title, names in GROUPS],
        "flow": figures.get("fig2"),
        "map_figure": figures.get("fig4"),
        "stages": _stages(result_dir),
        "tables": [_table(result_dir, *spec) for spec in TABLES],
        # a point of the interactive map is an item; the picture shows the same without its id
        "map_html": _text(result_dir / files.EXPLORE / "topic_map.html") if show_texts else None,
        "mistakes": [] if show_texts else mistake_counts(result_dir),
        "mistake_kinds": KINDS,
        "items": items,
        "n_items": n_items,
        "show_texts": show_texts,
        "steps": step_rows(manifest),
        "hardware": hardware,
        "versions": versions,
        "commands": command_rows(run),
    }


def _is_worse(row: Claim) -> bool:
    trained, base = row.trained.value, row.base.value
    return trained is not None and base is not None and trained < base


def _those_of(figures: dict[str, dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    return [figures[name] for name in names if name in figures]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _headline(result_dir: Path, judged: Sequence[Claim]) -> dict[str, Any]:
    """The overall score of base and trained, and over how many items and sets."""
    means = files.run_table(result_dir, f"{files.EVALUATE}/task_means.csv")
    facts: dict[str, Any] = {
        "n_sets": len({row.set.split(":")[0] for row in judged}),
        "base": None,
        "trained": None,
        "n_pairs": None,
        "sources": None,
    }
    if means is not None and not means.empty:
        overall = means[means["task"] == "overall"]
        main = main_judge(overall["judge"])
        for row in overall.to_dict("records"):
            if row["judge"] == main:
                facts["trained"] = row
            elif is_base(row["judge"]):
                facts["base"] = row
    stages = _stages(result_dir)
    facts["n_pairs"] = stages[-1].n_out if stages else None
    sources = files.run_table(result_dir, f"{files.EXPLORE}/sources.csv")
    facts["sources"] = None if sources is None or sources.empty else int((sources["n"] > 0).sum())
    return facts


def _task_table(result_dir: Path) -> list[dict[str, Any]]:
    """One row a judge: its cell for each task type and overall."""
    means = files.run_table(result_dir, f"{files.EVALUATE}/task_means.csv")
    if means is None or means.empty:
        return []
    names = {**TASK_NAMES, "overall": "Mean of the task types"}
    keyed = {(r["judge"], r["task"]): r for r in means.to_dict("records")}
    tasks = [task for task in names if task in set(means["task"])]
    rows = []
    for judge in order_judges(means["judge"]):
        rows.append(
            {
                "judge": judge_label(judge),
                "cells": [keyed.get((judge, task)) for task in tasks],
                "tasks": [names[t] for t in tasks],
            }
        )
    return rows


def _seeds(result_dir: Path) -> list[dict[str, Any]]:
    """Gain over the base in points of every seed, a row a loss, the main one first."""
    seeds = files.run_table(result_dir, f"{files.EVALUATE}/seeds.csv")
    if seeds is None or seeds.empty or "gain_points" not in seeds:
        return []
    main = loss_of(main_judge(seeds["judge"]) or "")
    trained = seeds[~seeds["judge"].map(is_base)]
    loss_of_row = trained["judge"].map(loss_of)
    losses = sorted(set(loss_of_row), key=lambda loss: (loss != main, loss))
    return [_seeds_of_loss(trained[loss_of_row == loss], loss) for loss in losses]


def _seeds_of_loss(mine: pd.DataFrame, loss: str) -> dict[str, Any]:
    """Values, lowest, highest and mean, and how many intervals lie above that of the base."""
    gains = mine["gain_points"].astype(float)
    n_apart = None
    if "intervals_apart" in mine:
        n_apart = int(mine["intervals_apart"].astype(str).str.lower().eq("true").sum())
    return {
        "loss": LOSS_NAMES.get(loss, loss),
        "gains": gains.tolist(),
        "n_apart": n_apart,
        "lowest": gains.min(),
        "highest": gains.max(),
        "mean": gains.mean(),
    }


def _stages(result_dir: Path) -> list[Stage]:
    ledger = curation_ledger(result_dir)
    return flow_stages(ledger) if ledger is not None else []


def _figures(figures_dir: Path) -> dict[str, dict[str, Any]]:
    """Read `figures.csv` and embed each PNG and its CSV as data URIs."""
    table = files.run_table(figures_dir, "figures.csv")
    found: dict[str, dict[str, Any]] = {}
    if table is None or table.empty:
        return found
    for row in table.fillna("").to_dict("records"):
        image, numbers = figures_dir / f"{row['figure']}.png", figures_dir / f"{row['figure']}.csv"
        if not image.is_file():
            continue
        width, height = _png_size(image.read_bytes())
        small = numbers.is_file() and numbers.stat().st_size <= MAX_CSV_BYTES
        found[row["figure"]] = {
            **row,
            "src": _data_uri("image/png", image.read_bytes()),
            "csv": _data_uri("text/csv", numbers.read_bytes()) if small else None,
            "width": width // 2,
            "height": height // 2,
        }
    return found


def _png_size(image: bytes) -> tuple[int, int]:
    return int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _table(result_dir: Path, anchor: str, title: str, path: str) -> dict[str, Any]:
    """The first rows of a result table as text cells; `rows` is None where there is no file."""
    table = files.run_table(result_dir, path)
    facts: dict[str, Any] = {
        "anchor": anchor,
        "title": title,
        "path": path,
        "columns": [],
        "rows": None,
        "n_rows": 0,
    }
    if table is None:
        return facts
    table = table.drop(columns=[c for c in ("meta",) if c in table])
    if {"published", "published_note"} <= set(table):
        notes = table["published_note"].fillna("").astype(str)
        table["published"] = [marked(v, note) for v, note in zip(table["published"], notes)]
    numeric = [pd.api.types.is_numeric_dtype(table[c]) and table[c].dtype != bool for c in table]
    rows = [[number(v) for v in row] for row in table.head(MAX_ROWS).itertuples(index=False)]
    return facts | {
        "columns": list(zip(table.columns, numeric)),
        "rows": rows,
        "n_rows": len(table),
    }


def number(value: Any) -> str:
    """Write a cell: floats with three decimals, whole numbers as such, nothing as a dash."""
    if _is_missing(value):
        return "–"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _decimal(value: float) -> str:
    if abs(value) < 1000:
        return f"{value:.3f}"
    return f"{value:,.0f}" if value.is_integer() else f"{value:,.1f}"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def share(value: float | None) -> str:
    """Write a score with three decimals, a missing one as a dash."""
    return number(None if value is None else float(value))


def count(value: Any) -> str:
    """Write a count with thousands separators, a missing one as a dash."""
    return "–" if _is_missing(value) else f"{int(value):,}"
