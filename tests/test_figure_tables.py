"""What figures are drawn from: who is who, what is counted, what is shown first."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic_run import JUDGES
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.curation.decisions import write_decisions
from selene_lib.embeddings.look import stretch
from selene_lib.figures import everything
from selene_lib.figures.checks import expected_error, overlap_counts
from selene_lib.figures.domains import first_readings, part_name
from selene_lib.figures.drawing import BASE, TRAINED
from selene_lib.figures.flow import Stage, flow_stages, merge_quiet
from selene_lib.figures.judges import METHODS, colours, judge_label, one_a_loss, order_judges
from selene_lib.figures.published import published_task_means
from selene_lib.figures.results import reliability_table
from selene_lib.figures.topic_map import homes, spread
from selene_lib.files import write_jsonl, write_parquet
from selene_lib.judges.names import main_arm, main_judge
from selene_lib.records import Judgement, Sample


def test_the_chosen_threshold_is_the_one_that_the_ablation_writes(tmp_path: Path) -> None:
    decisions = {"sources": {"a": {"keep": True}}, "reward_threshold": 0.25}
    write_decisions(tmp_path / "03_ablate_sources" / "decisions.yaml", decisions)
    assert everything.chosen_threshold(tmp_path) == 0.25
    decisions["reward_threshold"] = None
    write_decisions(tmp_path / "03_ablate_sources" / "decisions.yaml", decisions)
    assert everything.chosen_threshold(tmp_path) is None
    assert everything.chosen_threshold(tmp_path / "no run") is None


def test_the_main_judge_is_the_lowest_seed_of_the_full_loss() -> None:
    assert main_judge(["base", "nll-seed0", "dpo_nll-seed2", "dpo_nll-seed1"]) == "dpo_nll-seed1"
    assert main_judge(["base", "nll-seed0"]) == "nll-seed0"
    assert main_judge(["base"]) is None
    # seeds are numbers, and scores and figures speak of the same judge
    arms = ["base", "dpo_nll-seed10", "dpo_nll-seed2", "nll-seed1"]
    assert main_judge(arms) == main_arm(arms) == "dpo_nll-seed2"
    assert order_judges(JUDGES)[:2] == ["dpo_nll-seed0", "base"]
    assert judge_label("dpo_nll-seed2") == "trained, DPO+NLL, seed 2"


def test_a_method_has_one_colour_whatever_stands_beside_it() -> None:
    found = colours(JUDGES)
    assert found["dpo_nll-seed0"] == TRAINED == "#000000" and found["base"] == BASE
    for alone in JUDGES:
        assert colours([alone])[alone] == found[alone]
    assert len({found["dpo_nll-seed0"], *METHODS.values(), BASE}) == 4
    greys = sorted(_luminance(colour) for colour in {*METHODS.values(), BASE})
    assert min(b - a for a, b in itertools.pairwise(greys)) > 0.15, "they differ in grey"
    published = colours(["Selene Mini", "Llama-3.1-8B-Instruct"])
    assert published == {"Selene Mini": TRAINED, "Llama-3.1-8B-Instruct": BASE}


def test_arms_of_one_loss_stand_together_in_one_colour() -> None:
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
    assert found["dpo-seed0"] == found["dpo-seed1"] != found["nll-seed0"]
    assert found["dpo_nll-seed0"] == found["dpo_nll-seed1"] == TRAINED
    assert one_a_loss(names) == ["dpo_nll-seed0", "base", "dpo-seed0", "nll-seed0"]


def test_a_topic_is_numbered_where_most_of_its_points_are_its_own() -> None:
    rng = np.random.default_rng(0)
    crowd = pd.DataFrame({"x": rng.uniform(0, 6, 300), "y": rng.uniform(0, 6, 300), "_topic": 0})
    amid = pd.DataFrame({"x": rng.uniform(0, 6, 30), "y": rng.uniform(0, 6, 30), "_topic": 1})
    apart = pd.DataFrame({"x": [9.0, 9.1, 9.2, 9.3], "y": [9.0, 9.1, 9.2, 9.1], "_topic": 1})
    frame = pd.concat([crowd, amid, apart], ignore_index=True)
    assert homes(frame)[1] == pytest.approx([9.15, 9.1])


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
        "finish_reason": "stop",
    }
    rows = [
        Judgement(
            **common,
            order="AB",
            reply="**Result:** A",
            status="value",
            verdict="A",
            verdict_probs={"A": 0.9, "B": 0.1},
        ),
        Judgement(
            **common,
            order="BA",
            reply="**Result:** A",
            status="value",
            verdict="A",
            verdict_probs={"A": 0.6, "B": 0.4},
        ),
        Judgement(
            **common,
            order="BA",
            reply="",
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


def test_where_the_run_is_not_its_figures_are_drawn_from_what_is_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def draw(results: Path, out: Path, *, show_texts: bool) -> pd.DataFrame:
        asked.append(sorted(path.name for path in results.iterdir()))
        assert (results.name, out) == ("nano", tmp_path / "artefacts" / "nano" / "figures")
        return pd.DataFrame([{"figure": "fig1a", "status": "drawn", "why": ""}])

    monkeypatch.setenv("SELENE_HOME", str(tmp_path))
    monkeypatch.setattr("selene_lib.figures.draw_all", draw)
    first = CliRunner().invoke(app, ["figures"])
    assert first.exit_code == 0 and "from what was published of it" in first.output
    assert {"02_curate_preferences", "05_evaluate_benchmarks", "manifest.json"} <= set(asked[0])
    (tmp_path / "artefacts" / "nano" / "05_evaluate_benchmarks").mkdir(parents=True)
    second = CliRunner().invoke(app, ["figures"])
    assert asked[1] == ["05_evaluate_benchmarks"] and "published" not in second.output
