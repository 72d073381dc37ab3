"""Build the report: read result files and figures, write one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.errors import UserError
from selene_lib.figures import results as files
from selene_lib.figures.judges import LOSS_NAMES
from selene_lib.files import write_text
from selene_lib.judges.names import is_base, loss_of, main_judge
from selene_lib.report.agreement import set_agreements
from selene_lib.report.cells import environment
from selene_lib.report.claims import claims, count_statuses
from selene_lib.report.curation import evaluation_stages, training_stages
from selene_lib.report.dark import dark_twin
from selene_lib.report.downloads import TABLES, pack, shown_table
from selene_lib.report.items import KINDS, mistake_counts, worst_items
from selene_lib.report.judged import read_judged
from selene_lib.report.lead import Material, lead, overall
from selene_lib.report.provenance import command_rows, machine, run_manifest, step_rows
from selene_lib.report.table_one import further_sets, in_means, table_one
from selene_lib.report.topic_page import topic_page
from selene_lib.report.yes_no import RULES, yes_no_rows

GROUPS = (
    ("Yes/No sets", ("yes_no",)),
    ("Fig. 1: benchmarks", ("fig1a", "fig1a_published", "fig1b", "fig1b_published")),
    ("Fig. 3: domains, prompt formats, arena", ("fig3a", "fig3a_published", "fig3b", "fig3c")),
    ("Fig. 5: one training example", ("fig5",)),
    ("Training, ablation, threshold", ("training_curves", "ablation", "rewards", "threshold")),
    ("Can the numbers be trusted", ("calibration", "audit", "contamination")),
)


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
    page = environment().get_template("template.html")
    return write_text(out, page.render(**_context(result_dir, Path(figures_dir), show_texts)))


def _context(result_dir: Path, figures_dir: Path, show_texts: bool) -> dict[str, Any]:
    manifest, figures = run_manifest(result_dir), _figures(figures_dir)
    hardware, versions = machine(manifest)
    return {
        "run": result_dir.name,
        "show_texts": show_texts,
        **_scores(result_dir, files.base_model(manifest)),
        **_items(result_dir, show_texts),
        "groups": _groups(figures),
        "flow": figures.get("fig2"),
        "map_figure": figures.get("fig4"),
        "stages": training_stages(result_dir),
        "set_stages": evaluation_stages(result_dir),
        "tables": [shown_table(result_dir, spec) for spec in TABLES],
        # a point of the interactive map is an item; the picture shows the same without its id
        "map_html": topic_page(result_dir) if show_texts else None,
        "steps": step_rows(manifest),
        "hardware": hardware,
        "versions": versions,
        "commands": command_rows(result_dir.name),
    }


def _scores(result_dir: Path, model: str | None) -> dict[str, Any]:
    """The first screen and the tables of scores."""
    rows, means, table = claims(result_dir), overall(result_dir), table_one(result_dir)
    yes_no, stages = yes_no_rows(result_dir), training_stages(result_dir)
    sources = files.run_table(result_dir, f"{files.EXPLORE}/sources.csv")
    material = Material(
        result_dir.name,
        model,
        means,
        rows,
        yes_no,
        n_sources=None if sources is None or sources.empty else int((sources["n"] > 0).sum()),
        n_pairs=stages[-1].n_out if stages else None,
        in_means=list(in_means(table)),
    )
    return {
        "lead": lead(material),
        "table_one": table,
        "further": further_sets(result_dir),
        "claims": rows,
        "statuses": count_statuses(rows),
        "seeds": _seeds(result_dir),
        "yes_no": yes_no,
        "yes_no_rules": RULES,
    }


def _items(result_dir: Path, show_texts: bool) -> dict[str, Any]:
    """What lies behind the scores: verdicts beside labels, and the items that went wrong."""
    judged = read_judged(result_dir)
    items, n_items = worst_items(judged, show_texts=True) if show_texts else ([], 0)
    return {
        "agreements": set_agreements(judged),
        "was_judged": bool(judged.by_item),
        "items": items,
        "n_items": n_items,
        "mistakes": [] if show_texts else mistake_counts(judged),
        "mistake_kinds": KINDS,
    }


def _groups(figures: dict[str, dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Figures under their headings; one that stands in no group comes last, never nowhere."""
    placed = {name for _, names in GROUPS for name in names} | {"fig2", "fig4"}
    others = [figure for name, figure in figures.items() if name not in placed]
    groups = [(title, [figures[n] for n in names if n in figures]) for title, names in GROUPS]
    return [*groups, ("Others", others)]


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


def _figures(figures_dir: Path) -> dict[str, dict[str, Any]]:
    """Read `figures.csv` and embed each PNG as a data URI, its CSV packed."""
    table = files.run_table(figures_dir, "figures.csv")
    found: dict[str, dict[str, Any]] = {}
    if table is None or table.empty:
        return found
    for row in table.fillna("").to_dict("records"):
        image, numbers = figures_dir / f"{row['figure']}.png", figures_dir / f"{row['figure']}.csv"
        if not image.is_file():
            continue
        png = image.read_bytes()
        width, height = _png_size(png)
        found[row["figure"]] = {
            **row,
            "src": _data_uri("image/png", png),
            "dark": _data_uri("image/png", dark_twin(png)),
            "packed": pack(numbers.read_bytes()) if numbers.is_file() else "",
            "width": width // 2,
            "height": height // 2,
        }
    return found


def _png_size(image: bytes) -> tuple[int, int]:
    return int.from_bytes(image[16:20], "big"), int.from_bytes(image[20:24], "big")


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
