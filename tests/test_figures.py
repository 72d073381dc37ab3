"""Figures: drawn from result files alone, byte for byte alike, honest about what is missing,
nothing cut off.
"""

from __future__ import annotations

import io
import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image
from synthetic_run import HOSTILE, JUDGES, finished_run

from selene_lib import figures
from selene_lib.curation.decisions import write_decisions
from selene_lib.errors import UserError
from selene_lib.figures import everything
from selene_lib.figures.checks import expected_error, overlap_counts
from selene_lib.figures.domains import first_readings, part_name
from selene_lib.figures.drawing import BASE, OTHERS, TRAINED, settle, styled
from selene_lib.figures.flow import Stage, flow_stages, merge_quiet
from selene_lib.figures.judges import colours, judge_label, one_a_loss, order_judges
from selene_lib.figures.published import published_task_means
from selene_lib.figures.results import reliability_table
from selene_lib.figures.topic_map import spread, stretch
from selene_lib.files import write_jsonl, write_parquet
from selene_lib.judges.names import main_arm, main_judge
from selene_lib.records import Judgement, Sample


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


def test_the_chosen_threshold_is_the_one_that_the_ablation_writes(tmp_path: Path) -> None:
    decisions = {"sources": {"a": {"keep": True}}, "reward_threshold": 0.25}
    write_decisions(tmp_path / "03_ablate_sources" / "decisions.yaml", decisions)
    assert everything.chosen_threshold(tmp_path) == 0.25
    decisions["reward_threshold"] = None
    write_decisions(tmp_path / "03_ablate_sources" / "decisions.yaml", decisions)
    assert everything.chosen_threshold(tmp_path) is None
    assert everything.chosen_threshold(tmp_path / "no run") is None


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
        assert ElementTree.parse(out / f"{name}.svg").getroot().tag.endswith("svg")
        assert len(pd.read_csv(out / f"{name}.csv")) > 0
    assert table["alt"].str.len().min() > 40


def test_drawing_twice_gives_the_same_bytes(
    drawn: tuple[pd.DataFrame, Path], again: list[figures.Drawing]
) -> None:
    _, out = drawn
    assert len(again) == len(list(out.glob("*.png")))
    differ = [
        f"{d.name}.{kind}"
        for d in again
        for kind in ("svg", "png")
        if d.to_bytes(kind) != (out / f"{d.name}.{kind}").read_bytes()
    ]
    assert differ == []
    assert b"<dc:date>" not in b"".join(p.read_bytes() for p in out.glob("*.svg"))


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
        boxes = [
            (part, part.get_window_extent(canvas.get_renderer()))
            for part in parts
            if part is not None
        ]
        boxes = [(part, box) for part, box in boxes if box.width > 1 and box.height > 1]
        clash = [
            (str(a), str(b))
            for (a, x), (b, y) in itertools.combinations(boxes, 2)
            if _overlap(x, y)
        ]
        assert clash == [], drawing.name


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
    table = figures.draw_all(tmp_path / "empty", tmp_path / "out", published=False).set_index(
        "figure"
    )
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


def test_the_main_judge_is_the_lowest_seed_of_the_full_loss() -> None:
    assert main_judge(["base", "nll-seed0", "dpo_nll-seed2", "dpo_nll-seed1"]) == "dpo_nll-seed1"
    assert main_judge(["base", "nll-seed0"]) == "nll-seed0"
    assert main_judge(["base"]) is None
    # seeds are numbers, and scores and figures speak of the same judge
    arms = ["base", "dpo_nll-seed10", "dpo_nll-seed2", "nll-seed1"]
    assert main_judge(arms) == main_arm(arms) == "dpo_nll-seed2"
    assert order_judges(JUDGES)[:2] == ["dpo_nll-seed0", "base"]
    assert judge_label("dpo_nll-seed2") == "trained, DPO+NLL, seed 2"


def test_trained_is_black_base_orange_and_all_differ_in_grey() -> None:
    found = colours(JUDGES)
    assert found["dpo_nll-seed0"] == TRAINED == "#000000" and found["base"] == BASE
    greys = sorted(_luminance(c) for c in (TRAINED, BASE, *OTHERS))
    assert min(b - a for a, b in itertools.pairwise(greys)) > 0.03
    assert colours(["Selene Mini", "Llama-3.1-8B-Instruct"]) == {
        "Selene Mini": TRAINED,
        "Llama-3.1-8B-Instruct": BASE,
    }


def test_arms_of_one_loss_stand_together_in_one_grey() -> None:
    names = ["base", "dpo-seed0", "nll-seed0", "dpo_nll-seed0", "dpo_nll-seed1", "dpo-seed1"]
    assert order_judges(names) == [
        "dpo_nll-seed0",
        "base",
        "dpo_nll-seed1",
        "dpo-seed0",
        "dpo-seed1",
        "nll-seed0",
    ]
    found = colours(names)
    assert found["dpo-seed0"] == found["dpo-seed1"] != found["nll-seed0"] != found["dpo_nll-seed1"]
    assert one_a_loss(names) == ["dpo_nll-seed0", "base", "dpo-seed0", "nll-seed0"]


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_flow_adds_up_over_sources_and_reasons() -> None:
    rows = [
        ("read", "filter", "a", 10, 10, "", 0),
        ("clean", "filter", "a", 10, 7, "long", 2),
        ("clean", "filter", "a", 10, 7, "tie", 1),
        ("clean", "filter", "b", 5, 4, "long", 1),
        ("mix", "decision", "a", 7, 0, "source dropped", 7),
    ]
    ledger = pd.DataFrame(
        rows, columns=["stage", "kind", "source", "n_in", "n_out", "reason", "n_dropped"]
    )
    read, clean, mix = flow_stages(ledger)
    assert (read.kind, read.n_in, read.dropped) == ("read", 10, {})
    assert (clean.n_in, clean.n_out, clean.dropped) == (15, 11, {"long": 3, "tie": 1})
    assert (mix.kind, mix.n_out) == ("decision", 0)


def test_neighbouring_filters_that_dropped_nothing_are_one_box() -> None:
    quiet = [Stage(name, "filter", 9, 9, {}) for name in ("length", "language")]
    loud, made = (
        Stage("tie", "filter", 9, 8, {"tie": 1}),
        Stage("critiques", "generation", 8, 8, {}),
    )
    last = Stage("mix", "filter", 7, 7, {})
    assert merge_quiet([*quiet, loud, made, last]) == [
        Stage("length, language", "filter", 9, 9, {}),
        loud,
        made,
        last,
    ]
    assert merge_quiet([quiet[0], last]) == [quiet[0], last], (
        "what does not join up is never merged"
    )


def test_overlaps_are_counted_once_an_item_and_absent_pairs_are_zero() -> None:
    rows = [
        ("hh-01#response", "mt_bench-02#instruction"),
        ("hh-01#instruction", "mt_bench-02#instruction"),
        ("hh-03", "auto_j-09"),
    ]
    counts = overlap_counts(
        pd.DataFrame(rows, columns=["train_id", "bench_id"]),
        ["hh", "halueval"],
        ["mt_bench", "auto_j", "flask"],
    )
    assert counts.loc["hh"].tolist() == [1, 1, 0]
    assert counts.loc["halueval"].tolist() == [0, 0, 0]


def test_published_means_are_unverified_as_soon_as_one_cell_is() -> None:
    task_of = {"a": "pairwise", "b": "pairwise", "c": "absolute"}
    cells = [
        ("X", "a", 0.8, "read"),
        ("X", "b", 0.6, "unverified"),
        ("X", "c", 0.5, "read"),
        ("Y", "a", 0.9, "read"),
    ]
    means = published_task_means(
        pd.DataFrame(cells, columns=["judge", "set", "value", "known"]), task_of
    )
    assert set(means["judge"]) == {"X"}, "a judge without all sets has no average"
    assert means.set_index("task")["value"].to_dict() == pytest.approx(
        {"pairwise": 0.7, "absolute": 0.5, "overall": 0.6}
    )
    assert set(means["known"]) == {"unverified"}


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
    assert sum(bool(b.get_hatch()) for b in bars) == int(cells["known"].eq("unverified").sum())


def test_reliability_reads_the_verdict_in_the_order_it_was_shown(tmp_path: Path) -> None:
    sample = Sample(
        id="s-1",
        source="s",
        task="pairwise",
        instruction="i",
        response="x",
        response_b="y",
        label="A",
    )
    write_parquet(tmp_path / "01_explore_sources" / "benchmarks" / "s.parquet", [sample], Sample)
    common = {
        "judge": "base",
        "set": "s",
        "sample_id": "s-1",
        "task": "pairwise",
        "template": "t",
        "prompt_sha256": "0",
        "reply": "",
        "finish_reason": "stop",
    }
    rows = [
        Judgement(
            **common, order="AB", status="value", verdict="A", verdict_probs={"A": 0.9, "B": 0.1}
        ),
        Judgement(
            **common, order="BA", status="value", verdict="A", verdict_probs={"A": 0.6, "B": 0.4}
        ),
        Judgement(
            **common,
            order="BA",
            status="malformed",
            verdict=None,
            verdict_probs={"A": 0.6, "B": 0.4},
        ),
    ]
    write_jsonl(tmp_path / "05_evaluate_benchmarks" / "judgements" / "base" / "s.jsonl", rows)
    bins = reliability_table(tmp_path).set_index("confidence")
    assert bins["accuracy"].to_dict() == {0.6: 0.0, 0.9: 1.0}
    assert expected_error(bins.reset_index()) == pytest.approx((0.6 + 0.1) / 2)


def test_one_reading_a_part_and_the_whole_instead_of_its_configurations() -> None:
    rows = [
        ("fb", "all", "No"),
        ("fb", "all", "left out"),
        ("fb", "gpt-4 closed", "No"),
        ("cm", "history", "adjudicated"),
        ("cm", "overall", "adjudicated"),
    ]
    kept = first_readings(pd.DataFrame(rows, columns=["set", "part", "reading"]))
    assert list(kept["set"] + ":" + kept["part"]) == ["fb:all", "cm:history", "cm:overall"]
    assert [part_name("fb", "all"), part_name("cm", "history"), part_name("cm", "overall")] == [
        "fb",
        "cm:history",
        "cm",
    ]


def test_a_left_out_source_is_shown_by_what_it_adds(again: list[figures.Drawing]) -> None:
    drawing = next(d for d in again if d.name == "ablation")
    assert "nano-poisoned -0.070" in drawing.alt and "reward >= 0.1 +0.040" in drawing.alt
    sources, arms = drawing.figure.axes
    assert [t.get_text() for t in sources.get_yticklabels()][2] == "nano-poisoned  [drop]"
    assert (
        "with it less without it" in sources.get_xlabel()
        and "less that of all sources" in arms.get_xlabel()
    )


def test_topic_names_are_pushed_apart() -> None:
    y = spread(np.array([0.0, 0.01, 5.0]), np.array([0.0, 0.1, 0.0]), least_y=1.0, near_x=2.0)
    assert y[1] - y[0] == pytest.approx(1.0, abs=1e-2) and y[2] == 5.0
    apart = spread(np.array([0.0, 0.01]), np.array([0.0, 9.0]), least_y=1.0, near_x=2.0)
    assert apart.tolist() == [0.0, 0.01], "names beside each other stay where they are"


def test_the_map_is_stretched_without_changing_the_order() -> None:
    crowded = np.array([0.0, 0.001, 0.002, 0.003, 10.0])
    spaced = stretch(crowded)
    assert (np.diff(spaced) > 0.17).all() and spaced[0] == 0.0 and spaced[-1] == pytest.approx(1.0)
    assert stretch(np.array([3.0, 3.0])).tolist() == pytest.approx([0.35, 0.35])


def test_a_drawing_shows_itself_in_a_notebook(run_dir: Path) -> None:
    frame = pd.read_csv(run_dir / "04_train_judge" / "training.csv")
    assert figures.draw_training_curves(frame)._repr_png_().startswith(b"\x89PNG")
