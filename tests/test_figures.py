"""Figures: drawn from result files alone, byte for byte alike, with nothing cut off."""

from __future__ import annotations

import io
import itertools
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from synthetic_run import HOSTILE, finished_run

from selene_lib import figures
from selene_lib.errors import UserError
from selene_lib.figures import everything
from selene_lib.figures.drawing import COLUMN, SMALLEST, TRAINED, lighter, settle, styled
from selene_lib.figures.kept import keep_tables, kept_results

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_run(tmp_path_factory.getbasetemp() / "finished")


@pytest.fixture(scope="module")
def drawn(run_dir: Path) -> tuple[pd.DataFrame, Path]:
    return pd.read_csv(run_dir.parent / "figures" / "figures.csv"), run_dir.parent / "figures"


@pytest.fixture(scope="module")
def again(run_dir: Path) -> list[figures.Drawing]:
    """Every figure drawn a second time, under a user's own matplotlib settings."""
    with matplotlib.rc_context({"font.size": 22, "svg.hashsalt": "other", "savefig.dpi": 40}):
        found = [*everything._drawings(run_dir, True), *everything.published_drawings()]
        assert matplotlib.rcParams["font.size"] == 22
    return found


def test_a_palette_makes_a_picture_small_and_looks_the_same() -> None:
    """The topic map has most colours; its worst pixel is off by a shade, and hardly any is."""
    rng = np.random.default_rng(0)
    points = {"x": rng.normal(size=400), "y": rng.normal(size=400)}
    frame = pd.DataFrame({**points, "topic": np.arange(400) % 12, "task": "pairwise"})
    drawing = figures.draw_topic_map(frame)
    with styled():
        settle(drawing.figure)
        drawing.figure.savefig(buffer := io.BytesIO(), format="png")
    full, small = buffer.getvalue(), drawing.to_bytes("png")
    assert len(small) < len(full) / 2
    before, after = (
        np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int) for png in (full, small)
    )
    off = np.abs(before - after).max(axis=2)
    assert off.max() <= 40 and (off > 12).mean() < 0.01


def test_every_figure_of_the_plan_is_drawn_with_picture_vector_and_numbers(
    drawn: tuple[pd.DataFrame, Path],
) -> None:
    table, out = drawn
    plan = {
        "fig1a",
        "fig1b",
        "fig2",
        "fig3a",
        "fig3b",
        "fig3c",
        "fig4",
        "fig5",
        "threshold",
        "training_curves",
        "calibration",
        "audit",
    }
    assert plan | {
        "contamination",
        "ablation",
        "rewards",
        "fig1a_published",
        "fig1b_published",
        "fig3a_published",
    } == set(table["figure"])
    assert set(table["status"]) == {"drawn"}
    for name in table["figure"]:
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len(pd.read_csv(out / f"{name}.csv")) > 0
    assert table["alt"].str.len().min() > 40


@pytest.mark.long
def test_drawing_twice_gives_the_same_bytes(
    drawn: tuple[pd.DataFrame, Path], again: list[figures.Drawing]
) -> None:
    _, out = drawn
    assert len(again) == len(list(out.glob("*.png")))
    some = [d for d in again if d.name in {"fig1a", "fig2", "fig4", "audit", "training_curves"}]
    differ = [d.name for d in some if d.to_bytes("png") != (out / f"{d.name}.png").read_bytes()]
    assert len(some) == 5 and differ == []


def test_vectors_and_the_dark_twin_are_saved_beside_it_and_have_no_date(
    run_dir: Path, tmp_path: Path
) -> None:
    frame = pd.read_csv(run_dir / "01_explore_sources" / "topic_map.csv")
    saved = {p.name: p.read_bytes() for p in figures.draw_topic_map(frame).save(tmp_path)}
    assert list(saved) == [f"fig4.{kind}" for kind in ("png", "dark.png", "svg", "pdf", "csv")]
    assert ElementTree.fromstring(saved["fig4.svg"]).tag.endswith("svg")
    assert saved["fig4.pdf"].startswith(b"%PDF") and b"CreationDate" not in saved["fig4.pdf"]
    assert b"<dc:date>" not in saved["fig4.svg"]
    again = figures.draw_topic_map(frame)
    assert all(again.to_bytes(kind) == saved[f"fig4.{kind}"] for kind in ("svg", "pdf"))
    light, dark = (Image.open(io.BytesIO(saved[f"fig4.{k}"])) for k in ("png", "dark.png"))
    shades = np.asarray(dark.convert("L"), dtype=int)
    assert dark.size == light.size and np.median(shades) < 40 and shades.max() > 200


def test_no_text_of_any_figure_is_cut_off(again: list[figures.Drawing]) -> None:
    cut = []
    for drawing in again:
        with styled():
            settle(drawing.figure)
            canvas = FigureCanvasAgg(drawing.figure)
            canvas.draw()
        width, height = canvas.get_width_height()
        for text in drawing.figure.findobj(Text):
            box = text.get_window_extent(canvas.get_renderer())
            inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
            if (
                text.get_visible()
                and text.get_text().strip()
                and box.width > 0
                and not inside
                and _is_drawn(text)
            ):
                cut.append((drawing.name, text.get_text(), box.extents.round()))
    assert cut == []


def test_titles_legends_labels_and_notes_do_not_lie_on_each_other(
    again: list[figures.Drawing],
) -> None:
    for drawing in again:
        with styled():
            settle(drawing.figure)
            canvas = FigureCanvasAgg(drawing.figure)
            canvas.draw()
        figure = drawing.figure
        parts = [figure._suptitle, figure._supxlabel, *figure.legends]
        for axes in figure.axes:
            parts += [axes.get_legend(), axes._left_title, axes.xaxis.label]
        boxes = [(part, _box(part, canvas.get_renderer())) for part in parts if part is not None]
        boxes = [(part, box) for part, box in boxes if box.width > 1 and box.height > 1]
        clash = [
            (str(a), str(b))
            for (a, x), (b, y) in itertools.combinations(boxes, 2)
            if _overlap(x, y)
        ]
        assert clash == [], drawing.name


def _box(part, renderer) -> Bbox:
    """Where a part lies; the empty line below a title is room for a legend (`key_of_grid`)."""
    box = part.get_window_extent(renderer)
    text = part.get_text() if isinstance(part, Text) else ""
    if text.endswith("\n") and text.strip():
        box = Bbox([[box.x0, box.y0 + box.height / (text.count("\n") + 1)], [box.x1, box.y1]])
    return box


def _overlap(one: Bbox, other: Bbox) -> bool:
    shared = Bbox.intersection(one, other)
    return shared is not None and shared.width > 2 and shared.height > 2


def _is_drawn(text: Text) -> bool:
    """Tick labels beyond the axis limits exist but are not drawn."""
    ticks = [
        (axis, tick)
        for axes in text.figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
    ]
    mine = [(axis, tick) for axis, tick in ticks if text in (tick.label1, tick.label2)]
    return all(
        min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for axis, tick in mine
    )


def test_what_was_not_run_says_so_in_a_picture(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    table = figures.draw_all(
        tmp_path / "empty", tmp_path / "out", published=False, kinds=["png"]
    ).set_index("figure")
    assert set(table["status"]) == {"not run"}
    assert table.loc["fig1a", "why"] == "05_evaluate_benchmarks/task_means.csv is not there"
    assert (
        pd.read_csv(tmp_path / "out" / "fig3c.csv")["not_run"][0]
        == "06_evaluate_domains/arena.csv is not there"
    )
    assert (tmp_path / "out" / "fig3c.png").is_file()


def test_a_run_that_is_not_there_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="selene reproduce --run nowhere"):
        figures.draw_all(tmp_path / "nowhere", tmp_path)


def test_a_broken_result_file_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "run" / "06_evaluate_domains" / "arena.csv"
    bad.parent.mkdir(parents=True)
    bad.write_text('a,b\n1,2\n1,2,3,4\n"', encoding="utf-8")
    with pytest.raises(UserError, match=r"arena\.csv: not a table"):
        figures.draw_all(tmp_path / "run", tmp_path / "out")


def test_texts_stay_out_where_they_must_not_be_shown(
    run_dir: Path, drawn: tuple[pd.DataFrame, Path]
) -> None:
    drawing = everything._example(run_dir, "", show_texts=False)
    assert "redistributed" in drawing.not_run and "window.broken" not in drawing.table.to_csv()
    holding = [
        p.name for p in drawn[1].glob("*.csv") if "window.broken" in p.read_text(encoding="utf-8")
    ]
    assert holding == ["fig5.csv"], "no other figure holds the text of an item"


def test_the_example_keeps_hostile_text_in_its_numbers(drawn: tuple[pd.DataFrame, Path]) -> None:
    table = pd.read_csv(drawn[1] / "fig5.csv").set_index("field")
    assert table.loc["response", "text"] == HOSTILE


def test_published_figures_mark_what_nobody_read(drawn: tuple[pd.DataFrame, Path]) -> None:
    cells = pd.read_csv(drawn[1] / "fig1b_published.csv")
    assert (
        cells.loc[(cells["judge"] == "Selene Mini") & (cells["set"] == "flask"), "known"].item()
        == "unverified"
    )
    assert (
        cells.loc[
            (cells["judge"] == "Selene Mini") & (cells["set"] == "reward_bench"), "known"
        ].item()
        == "derived"
    )
    with styled():
        drawing = everything.published_drawings()[1]
    bars = [p for axes in drawing.figure.axes for p in axes.patches]
    mine = cells[cells["judge"] == "Selene Mini"]
    unread = to_rgba(lighter(TRAINED))
    assert sum(bar.get_facecolor() == unread for bar in bars) == int(
        mine["known"].eq("unverified").sum()
    )
    assert len(bars) == len(mine) and "Lighter bars" in drawing.figure.get_supxlabel()


def test_a_left_out_source_is_shown_by_what_it_adds(again: list[figures.Drawing]) -> None:
    drawing = next(d for d in again if d.name == "ablation")
    assert "nano-poisoned -0.070" in drawing.alt and "reward >= 0.1 +0.040" in drawing.alt
    sources, arms = drawing.figure.axes
    assert [t.get_text() for t in sources.get_yticklabels()][2] == "nano-poisoned (dropped)"
    assert (
        sources.get_xlabel() == "accuracy with the source minus without it"
        and arms.get_xlabel() == "accuracy with this filter minus without one"
    )


def test_printed_in_one_column_no_text_is_below_seven_points(
    again: list[figures.Drawing],
) -> None:
    for drawing in again:
        assert drawing.figure.get_figwidth() == COLUMN == 3.35
        texts = [t for t in drawing.figure.findobj(Text) if t.get_text().strip()]
        assert min(t.get_fontsize() for t in texts) >= SMALLEST == 7, drawing.name


def test_every_figure_with_intervals_names_their_level(again: list[figures.Drawing]) -> None:
    columns = ("ci95_low", "accuracy_low")
    with_intervals = [d for d in again if any(column in d.table for column in columns)]
    assert len(with_intervals) >= 8
    for drawing in with_intervals:
        assert "95 %" in drawing.figure.get_supxlabel(), drawing.name


def test_no_interval_is_cut_and_an_absent_bar_says_why() -> None:
    columns = "judge set task metric value ci95_low ci95_high n n_unparsed baseline_majority"
    rows = [
        ("base", "nano-avoid", "absolute", "pearson", None, None, None, 80, 0, 0.0),
        ("dpo_nll-seed0", "nano-avoid", "absolute", "pearson", -0.94, -0.98, -0.9, 80, 0, 0.0),
    ]
    drawing = figures.draw_benchmarks(pd.DataFrame(rows, columns=columns.split()))
    (axes,) = drawing.figure.axes
    assert axes.get_xlim()[0] < -0.98 and axes.get_title(loc="left").endswith("(Pearson's r)")
    assert "none: one score for all" in [text.get_text() for text in axes.texts]


def test_the_audit_says_in_its_title_what_was_found() -> None:
    columns = "judge probe kind template effect ci95_low ci95_high n"
    rows = [
        ("dpo_nll-seed0", "control", "attack", "escape", 0.5, 0.4, 0.6, 9),
        ("dpo_nll-seed0", "fake_rubric", "attack", "escape", 0.25, 0.1, 0.4, 9),
        ("dpo_nll-seed0", "fake_rubric", "attack", "plain", 0.05, 0.0, 0.1, 9),
        ("dpo_nll-seed0", "fake_rubric", "escape gain", "plain - escape", -0.2, -0.3, -0.1, 9),
        ("dpo_nll-seed0", "calibration_error", "stability", "escape", 0.1, 0.0, 0.2, 9),
        ("base", "fake_rubric", "attack", "escape", 0.9, 0.8, 1.0, 9),
    ]
    drawing = figures.draw_audit(pd.DataFrame(rows, columns=columns.split()))
    assert drawing.title == (
        "Audit: the worst attack (rubric of its own) turns 25 % of verdicts; "
        "escaping stops none of 1 and helps 1"
    )
    titles = [axes.get_title(loc="left") for axes in drawing.figure.axes]
    assert [title.split(":")[0] for title in titles[:2]] == ["Calibration", "Attacks"]


def test_what_is_kept_of_a_run_draws_the_same_figures(
    run_dir: Path, drawn: tuple[pd.DataFrame, Path], tmp_path: Path
) -> None:
    kept = keep_tables(run_dir, tmp_path / "tables.zip", show_texts=True)
    first = kept.read_bytes()
    assert keep_tables(run_dir, kept, show_texts=True).read_bytes() == first
    with kept_results(kept, "nano") as results:
        found = {d.name: d.alt for d in everything._drawings(results, True)}
    before = drawn[0].set_index("figure")["alt"].to_dict()
    assert found == {name: alt for name, alt in before.items() if "published" not in name}
    without = keep_tables(run_dir, tmp_path / "none.zip", show_texts=False)
    with zipfile.ZipFile(without) as archive:
        assert not any(b"window.broken" in archive.read(name) for name in archive.namelist())


def test_a_drawing_shows_itself_in_a_notebook(run_dir: Path) -> None:
    frame = pd.read_csv(run_dir / "04_train_judge" / "training.csv")
    png, about = figures.draw_training_curves(frame)._repr_png_()
    assert png.startswith(b"\x89PNG") and about == {"width": 436}
