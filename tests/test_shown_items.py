"""What notebooks show of their subject: one real item each, in tables that cut nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from selene_lib import nano
from selene_lib.curation.pairs import build_pairs
from selene_lib.evaluation.audit.edits import CONTROL
from selene_lib.evaluation.audit.probes import BASE, make_probes
from selene_lib.files import write_json, write_jsonl
from selene_lib.judges.judging import Asking
from selene_lib.judges.opening import Limits
from selene_lib.pipeline.display import MOST_ROWS, show_tables_whole, table_html
from selene_lib.records import Judgement
from selene_lib.steps.curate import critique_pair, example_pair
from selene_lib.steps.domains import DomainStudy, one_attack
from selene_lib.steps.evaluate import three_judgements
from selene_lib.steps.explore import shown_sample
from selene_lib.steps.quickstart import adapter_of
from selene_lib.steps.train import encoded_pair


def test_a_table_shows_texts_whole_and_left_and_numbers_right() -> None:
    text = "long " * 60 + "<end>"
    html = table_html(pd.DataFrame({"text": [text], "n": [3], "share": [1 / 3], "none": [np.nan]}))
    assert text.replace("<end>", "&lt;end&gt;") in html
    head, body = html.split("<tbody>")
    assert head.count("text-align:left") == body.count("text-align:left") == 1
    assert body.count("text-align:right") == 3 and ">0.333333<" in body and "nan" not in body
    assert "overflow-x:auto" in head and ">0<" not in body, "an index that only counts is no column"


def test_an_index_with_names_is_a_column_and_many_rows_say_how_many() -> None:
    table = pd.DataFrame({"a": range(MOST_ROWS + 5)}).rename_axis("item")
    html = table_html(table)
    assert ">item</th>" in html and f"The first {MOST_ROWS} of {MOST_ROWS + 5} rows" in html
    grouped = pd.DataFrame({"x": [1, 1, 2], "y": [1.0, 2.0, 3.0]}).groupby("x")[["y"]]
    assert ">y mean</th>" in table_html(grouped.agg(["mean", "max"]))
    show_tables_whole()  # outside of a notebook it changes nothing


def test_a_sample_is_shown_rendered_with_its_label() -> None:
    samples = nano.make_source("nano-letter", 3, seed=0) + nano.make_source(
        "nano-support", 3, seed=0
    )
    said = shown_sample(samples)
    assert samples[3].instruction in said and samples[3].reference in said
    assert said.endswith(f"(nano-support, {samples[3].task}; the label says {samples[3].label})")


def test_the_example_has_a_reference_where_one_is_there() -> None:
    samples = nano.make_source("nano-letter", 6, seed=0) + nano.make_source(
        "nano-support", 6, seed=0
    )
    pairs = build_pairs(samples, critique_share=0.0, family="nano", seed=0)
    found = example_pair(pairs, samples)
    assert found["task"] == "absolute" and found["reference"]
    table = critique_pair(pairs)
    assert table["side"].tolist() == ["prompt", "chosen", "rejected"]
    assert table["text"].str.len().min() > 5 and "the label says" in table["verdict"][0]


def test_an_encoded_pair_gives_its_text_back() -> None:
    (pair, *_) = build_pairs(
        nano.make_source("nano-facts", 3, seed=0), critique_share=0.0, family="nano", seed=0
    )
    table = encoded_pair(pair, "embedded").set_index("part")
    assert table["in the loss"].tolist() == ["no", "both terms", "the preference term alone"]
    assert pair.label in table.loc["chosen", "tokens"].split("·")[-2]
    assert table["n_tokens"].tolist() == [text.count("·") + 1 for text in table["tokens"]]


def _judgement(sample, verdict: str, *, set_: str = "s", id_: str = "") -> Judgement:
    return Judgement(
        judge="dpo_nll-seed0",
        set=set_,
        sample_id=id_ or sample.id,
        task=sample.task,
        order="AB",
        template="nano",
        prompt_sha256=verdict,
        reply=f"**Reasoning:** so it is.\n\n**Result:** {verdict}",
        finish_reason="stop",
        status="value",
        verdict=verdict,
    )


def test_of_three_judgements_one_is_wrong() -> None:
    samples = [s for s in nano.make_set("nano-pairwise", 30, seed=0) if s.label in ("A", "B")]
    other = {"A": "B", "B": "A"}
    judged = [_judgement(s, s.label) for s in samples[:-1]]
    judged.append(_judgement(samples[-1], other[samples[-1].label]))
    table = three_judgements({"s": samples}, judged)
    assert table["right"].tolist() == ["yes", "yes", "NO"]
    assert table["verdict"].iloc[2] != table["label"].iloc[2]
    assert samples[-1].response in table["item"].iloc[2]


@pytest.mark.parametrize("works", [True, False])
def test_an_attack_says_what_it_did(tmp_path: Path, works: bool) -> None:
    samples = [s for s in nano.make_set("nano-pairwise", 12, seed=0) if s.label in ("A", "B")]
    study = DomainStudy({}, samples, Asking("nano"), Limits(110, 1024), 4, 10)
    rows = []
    for probe in make_probes(samples, n=4, seed=0):
        falls = works and probe.name not in (BASE, CONTROL)
        verdict = probe.target if falls else probe.gold
        rows.append(_judgement(probe.sample, verdict, set_="audit", id_=probe.sample.id))
    write_jsonl(tmp_path / "dpo_nll-seed0" / "audit.jsonl", rows)
    said = one_attack(tmp_path, study)
    assert said.endswith("It succeeded." if works else "It failed.")
    assert "Verdict with a harmless note in its place" in said and "What the judge wrote" in said
    assert "no attack was made" in one_attack(_empty(tmp_path), study)


def _empty(folder: Path) -> Path:
    (folder / "none" / "base").mkdir(parents=True)
    return folder / "none"


def test_the_quickstart_judges_with_what_this_run_trained(tmp_path: Path) -> None:
    assert adapter_of("auto", "embedded", tmp_path) is None
    trained = tmp_path / "04_train_judge" / "adapters"
    for name in ("nll-seed0", "dpo_nll-seed1", "dpo_nll-seed0"):
        (trained / name).mkdir(parents=True)
    assert adapter_of("auto", "embedded", tmp_path) is None, "notebook 04 has not finished"
    write_json(tmp_path / "04_train_judge" / "step.json", {})
    assert adapter_of("auto", "embedded", tmp_path) == str(trained / "dpo_nll-seed0")
    assert adapter_of("auto", "smollm2", tmp_path) is None
    assert adapter_of("", "embedded", tmp_path) is None
    assert adapter_of("mine", "embedded", tmp_path) == "mine"
