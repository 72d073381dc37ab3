"""Parts of the report: Table 1, matrices, tables cut short, figures on dark ground."""

from __future__ import annotations

import base64
import colorsys
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_run import write_run

from selene_lib.report.agreement import Confusion, set_agreements
from selene_lib.report.dark import dark_colours
from selene_lib.report.downloads import MAX_ROWS, TABLES, pack, shown_table
from selene_lib.report.items import mistake_counts
from selene_lib.report.judged import Judged, read_judged
from selene_lib.report.table_one import further_sets, table_one

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("parts") / "nano")


@pytest.fixture(scope="module")
def judged(run_dir: Path) -> Judged:
    return read_judged(run_dir)


def test_table_1_has_every_judge_the_main_one_first_and_the_published_ones_last(
    run_dir: Path,
) -> None:
    table = table_one(run_dir)
    labels = [row.label for row in table.rows]
    assert labels[0] == "trained, DPO+NLL, seed 0" and labels[1] == "base (untrained)"
    assert {"trained, DPO alone, seed 0", "trained, NLL alone, seed 0"} <= set(labels[:6])
    assert "commonest label" in labels and labels[-1].endswith(", published")
    titles = [column.title for column in table.columns if column.is_run]
    assert titles[:3] == ["Mean of the task types", "Absolute scoring, mean", "nano-grades"]
    main = dict(zip([c.title for c in table.columns], table.rows[0].cells, strict=True))
    assert main["auto_j"].value == 0.44 and main["nano-pairs"].n_unparsed == 1
    assert main["flask"] is None and not further_sets(run_dir).rows


def test_verdicts_are_counted_beside_labels(run_dir: Path, judged: Judged) -> None:
    found = {(s.set, s.task): s for s in set_agreements(judged)}
    pairs = found["nano-pairs", "pairwise"]
    trained = pairs.judges[0]
    assert trained.judge == "trained, DPO+NLL, seed 0" and trained.n == 80
    assert trained.total("A") == 40, "twenty items in two orders"
    wrong = [m for m in mistake_counts(judged) if m.set == "nano-pairs"]
    assert 40 - wrong[0].n <= trained.n_right <= 80 - wrong[0].n
    assert sum(trained.given(v) for v in pairs.verdicts) == trained.n
    assert Confusion(
        "j", {("A", "A"): 20, ("A", "B"): 5, ("B", "A"): 10, ("B", "B"): 15}
    ).kappa == (pytest.approx(0.4))
    assert Confusion("j", {("A", "A"): 3}).kappa is None


def test_a_table_cut_short_begins_with_the_judge_of_the_run(tmp_path: Path) -> None:
    rows = [
        {"judge": j, "value": i} for j in ("base", "dpo-seed0", "dpo_nll-seed0") for i in range(400)
    ]
    spec = TABLES[-1]
    path = tmp_path / spec.path
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    table = shown_table(tmp_path, spec)
    assert table.n_rows == 1200 and table.rows is not None and len(table.rows) == MAX_ROWS
    assert {row[0] for row in table.rows} == {"dpo_nll-seed0"}
    assert gzip.decompress(base64.b64decode(table.packed)) == path.read_bytes()
    assert pack(b"x" * 5000, most=10) == ""


def test_on_dark_ground_black_and_white_change_places_and_colours_stay() -> None:
    white, black, orange, tint = dark_colours(
        np.array([[1, 1, 1], [0, 0, 0], [0.9, 0.62, 0], [0.95, 0.81, 0.5]])
    )
    assert white.max() < 0.12 and black.min() > 0.85
    hue, paler = (colorsys.rgb_to_hsv(*colour)[0] for colour in (orange, tint))
    assert abs(hue - 0.115) < 0.02 and abs(paler - hue) < 0.02
    assert orange.max() > 0.8 and 0.3 < tint.max() < 0.6, "half the hue, half the ground"
