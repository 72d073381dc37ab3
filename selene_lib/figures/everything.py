"""All figures of a run in one call; what cannot be drawn says why, in picture and table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.curation.decisions import read_decisions
from selene_lib.errors import UserError
from selene_lib.figures import results as files
from selene_lib.figures.audit import draw_audit
from selene_lib.figures.benchmarks import draw_benchmarks, draw_overall
from selene_lib.figures.checks import draw_calibration, draw_contamination
from selene_lib.figures.domains import draw_arena, draw_domains, draw_formats
from selene_lib.figures.drawing import KINDS, Drawing, not_run
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
from selene_lib.figures.words import METHODS
from selene_lib.figures.yes_no import draw_yes_no
from selene_lib.files import write_csv
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.paper import values as paper
from selene_lib.paper.parity import PARITY_TARGETS


@dataclass(frozen=True)
class TableFigure:
    """A figure that needs one table of a run."""

    name: str
    title: str
    path: str
    draw: Callable[..., Drawing]


TABLES = (
    TableFigure(
        "fig1a", "Fig. 1a  Mean of the task types", f"{files.EVALUATE}/task_means.csv", draw_overall
    ),
    TableFigure(
        "fig1b",
        "Fig. 1b  By task type and benchmark",
        f"{files.EVALUATE}/scores.csv",
        draw_benchmarks,
    ),
    TableFigure(
        "fig3a",
        "Fig. 3a  Accuracy on the domain sets",
        f"{files.DOMAINS}/domain_scores.csv",
        draw_domains,
    ),
    TableFigure(
        "fig3b",
        "Fig. 3b  The same pairs under other prompt formats",
        f"{files.DOMAINS}/formats.csv",
        draw_formats,
    ),
    TableFigure("fig3c", "Fig. 3c  Arena ratings", f"{files.DOMAINS}/arena.csv", draw_arena),
    TableFigure(
        "fig4",
        "Fig. 4  Topic map of the training data",
        f"{files.EXPLORE}/topic_map.csv",
        draw_topic_map,
    ),
    TableFigure(
        "training_curves", "Training curves", f"{files.TRAIN}/training.csv", draw_training_curves
    ),
    TableFigure(
        "ablation",
        "Ablation of the training sources",
        f"{files.ABLATE}/ablation.csv",
        draw_ablation,
    ),
    TableFigure(
        "audit",
        "Audit: what moves a verdict that should not",
        f"{files.DOMAINS}/audit.csv",
        draw_audit,
    ),
)
REWARDS = TableFigure(
    "rewards",
    "Rewards of chosen and rejected replies",
    f"{files.CURATE}/rewards.csv",
    draw_rewards,
)
# drawn for the runs that have Yes/No sets
YES_NO = TableFigure(
    "yes_no", "Yes/No sets: base and trained judge", f"{files.EVALUATE}/yes_no.csv", draw_yes_no
)
NO_TEXT = "the texts of published sets are not redistributed"


def draw_all(
    result_dir: Path,
    out_dir: Path,
    *,
    published: bool = True,
    show_texts: bool = True,
    kinds: Sequence[str] = KINDS,
) -> pd.DataFrame:
    """Draw every figure of a run from its result files into `out_dir`.

    Each as PNG, its twin for a dark page, SVG and PDF (`kinds`), and CSV.

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
    rows = [_saved(drawing, out_dir, kinds) for drawing in _drawings(result_dir, show_texts)]
    if published:
        rows += [_saved(drawing, out_dir, kinds) for drawing in published_drawings()]
    table = pd.DataFrame(rows)
    write_csv(out_dir / "figures.csv", table)
    return table


def draw_published(out_dir: Path) -> pd.DataFrame:
    """Draw the published values alone (`selene_lib.paper.values`); return the table of `draw_all`.

    Bars of unverified values are lighter.
    """
    table = pd.DataFrame([_saved(drawing, Path(out_dir)) for drawing in published_drawings()])
    write_csv(Path(out_dir) / "figures.csv", table)
    return table


def published_drawings() -> list[Drawing]:
    """Return the figures of the published values."""
    cells, task_of = published_frame(paper.PUBLISHED), dict(paper.TASK_OF)
    measured = published_frame(cell for cell in PARITY_TARGETS if ":" not in cell.set)
    return [
        draw_published_overall(cells, task_of),
        draw_published_benchmarks(cells, task_of, measured),
        draw_published_domains(cells),
    ]


def _saved(drawing: Drawing, out_dir: Path, kinds: Sequence[str] = KINDS) -> dict[str, Any]:
    drawing.save(out_dir, kinds)
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
    for figure in TABLES:
        yield _of_table(figure, result_dir, note)
    yield _of_table(REWARDS, result_dir, note, thresholds=_thresholds(result_dir))
    yes_no = files.run_table(result_dir, YES_NO.path)
    if yes_no is not None and not yes_no.empty:
        yield draw_yes_no(yes_no, note=note)
    yield _flow(result_dir, note)
    yield _example(result_dir, note, show_texts)
    yield _threshold(result_dir, note)
    yield draw_calibration(files.reliability_table(result_dir), note=note)
    yield _contamination(result_dir, note)


def _of_table(figure: TableFigure, result_dir: Path, note: str, **options: Any) -> Drawing:
    table = files.run_table(result_dir, figure.path)
    if table is None or table.empty:
        return not_run(figure.name, figure.title, f"{figure.path} {_missing(table)}")
    return figure.draw(table, note=note, name=figure.name, **options)


def _missing(table: pd.DataFrame | None) -> str:
    return "is not there" if table is None else "holds no rows"


def _model_note(result_dir: Path) -> str:
    model = files.base_model(files.run_object(result_dir, "manifest.json") or {})
    if model is None:
        return ""
    return ": the tiny embedded model" if model == EMBEDDED_MODEL else f": base model {model}"


def curation_ledger(result_dir: Path) -> pd.DataFrame | None:
    """The ledger of a run: reading (01), then curation.

    Curation with the decisions of the mix (04), or without them (02) before that.
    """
    curated = files.run_table(result_dir, f"{files.TRAIN}/ledger.csv")
    if curated is None:
        curated = files.run_table(result_dir, f"{files.CURATE}/ledger.csv")
    parts = [files.run_table(result_dir, f"{files.EXPLORE}/ledger.csv"), curated]
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
        ledger[ledger["source"].isin(training)], pairs=files.pair_counts(result_dir), note=note
    )


def _evaluation_sets(result_dir: Path) -> set[str]:
    """Names of evaluation sets: the ledger of reading has them too, curation has not."""
    table = files.run_table(result_dir, f"{files.EXPLORE}/benchmarks.csv")
    return set(table["name"]) if table is not None and "name" in table else set()


def _example(result_dir: Path, note: str, show_texts: bool) -> Drawing:
    title = "Fig. 5  One training example"
    pair = files.run_object(result_dir, f"{files.CURATE}/example_pair.json")
    if not show_texts:
        return not_run("fig5", title, NO_TEXT)
    if pair is None:
        return not_run("fig5", title, f"{files.CURATE}/example_pair.json is not there")
    return draw_example(pair, note=note)


def _threshold(result_dir: Path, note: str) -> Drawing:
    path = f"{files.ABLATE}/threshold_sweep.csv"
    sweep = files.run_table(result_dir, path)
    if sweep is None or sweep.empty:
        return not_run("threshold", "Reward threshold", f"{path} {_missing(sweep)}")
    chosen = chosen_threshold(result_dir)
    verdict = "No threshold beat no filter beyond chance.\n" if chosen is None else ""
    return draw_threshold(sweep, chosen=chosen, note=f"{verdict}{note}")


def _thresholds(result_dir: Path) -> dict[float, bool]:
    """The reward thresholds that the ablation tried, and whether each was chosen."""
    sweep = files.run_table(result_dir, f"{files.ABLATE}/threshold_sweep.csv")
    if sweep is None or sweep.empty:
        return {}
    chosen = chosen_threshold(result_dir)
    tried = {float(value): False for value in sweep["threshold"].dropna()}
    return tried if chosen is None else {**tried, chosen: True}


def chosen_threshold(result_dir: Path) -> float | None:
    """The reward threshold of `decisions.yaml`, None where there is none.

    Of thresholds by source their mean, as in the sweep.
    """
    path = Path(result_dir) / files.ABLATE / "decisions.yaml"
    value = read_decisions(path).get("reward_threshold") if path.is_file() else None
    if isinstance(value, dict):
        return sum(value.values()) / len(value)
    return None if value is None else float(value)


def _contamination(result_dir: Path, note: str) -> Drawing:
    overlaps = files.run_table(result_dir, f"{files.EXPLORE}/overlaps.csv")
    if overlaps is None:
        return not_run(
            "contamination",
            "Training items found in evaluation sets",
            f"{files.EXPLORE}/overlaps.csv is not there",
        )
    sources = _names_read(files.run_table(result_dir, f"{files.EXPLORE}/sources.csv"))
    sets = _names_read(files.run_table(result_dir, f"{files.EXPLORE}/benchmarks.csv"))
    removed = _removed(files.run_table(result_dir, f"{files.EXPLORE}/ledger.csv"))
    return draw_contamination(overlaps, sources, sets, removed=removed, note=note)


def _removed(ledger: pd.DataFrame | None) -> dict[str, int] | None:
    """How many training items were taken out, by the method that found them."""
    if ledger is None or ledger.empty:
        return None
    found: dict[str, int] = {}
    for method in METHODS:
        mine = ledger["reason"].eq(f"in an evaluation set ({method})")
        found[method] = int(ledger.loc[mine, "n_dropped"].sum())
    return found


def _names_read(catalogue: pd.DataFrame | None) -> list[str]:
    if catalogue is None or "name" not in catalogue:
        return []
    return list(catalogue.loc[catalogue["n"] > 0, "name"])
