"""Every benchmark, domain set and component.

On rows the test writes in the publisher's shape, and on the real files where present.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
from adapter_checks import SHAPES, check_adapter, free_of_counts, write_rows
from hypothesis import given
from hypothesis import strategies as st
from published_shapes_of_benchmarks import prometheus_prompt

from selene_lib.data import (
    BrokenRow,
    Row,
    all_specs,
    find_spec,
    how_to_get,
    is_present,
    load,
)
from selene_lib.data.benchmarks import (
    BENCHMARKS,
    DOMAINS,
    JUDGED,
    REFERENCES,
)
from selene_lib.data.benchmarks.lfqa_eval import plain
from selene_lib.data.benchmarks.prometheus import INSTRUCTION, parse_prompt
from selene_lib.data.benchmarks.reward_bench import SECTION_OF
from selene_lib.data.real_tasks import TEST_PARTS, TRAINING_PARTS, TRANSFER_SETS
from selene_lib.paper.values import REWARD_BENCH_SECTIONS, REWARD_BENCH_WEIGHTS

ALL = {**JUDGED, **REFERENCES}
ELEVEN = {  # name: published count
    "flask": 2001,
    "biggen_bench": 3200,
    "mt_bench": 320,
    "llm_aggrefact": 12949,
    "infobench": 930,
    "reward_bench": 2985,
    "lfqa_eval": 260,
    "hhh_alignment": 221,
    "evalbiasbench": 80,
    "instrusum": 411,
    "auto_j": 1392,
}


@pytest.mark.parametrize("name", ALL)
def test_adapter_on_published_shape(name, tmp_path):
    result = check_adapter(name, tmp_path)
    if name in REFERENCES:
        assert len(result.rows) == 3 and not result.samples


def test_every_set_has_a_shape_and_the_eleven_are_complete():
    derived = {
        spec.name for part in (TRAINING_PARTS, TEST_PARTS, TRANSFER_SETS) for spec in part.values()
    }  # made of sets that have a shape of their own
    assert set(SHAPES) == set(all_specs()) - derived
    assert {name: spec.published_n for name, spec in BENCHMARKS.items()} == ELEVEN
    assert set(DOMAINS) == {"craft_md", "financebench"}
    assert all(spec.training == "no" for spec in ALL.values())


REAL = {  # rows read, samples, labels, dropped parts
    "biggen_bench": (1020, 1017, {"1": 146, "2": 150, "3": 164, "4": 223, "5": 334}, 3),
    "mt_bench": (320, 320, {"1": 35, "2": 52, "3": 35, "4": 122, "5": 76}, 0),
    "infobench": (930, 930, {"Yes": 804, "No": 126}, 0),
    "lfqa_eval": (260, 260, {"A": 140, "B": 120}, 0),
    "hhh_alignment": (221, 221, {"A": 107, "B": 114}, 0),
    "evalbiasbench": (80, 80, {"A": 35, "B": 45}, 0),
    "instrusum": (411, 411, {"A": 227, "B": 184}, 0),
    "auto_j": (1392, 1392, {"A": 520, "B": 499, "tie": 373}, 0),
    "craft_md": (180, 540, {"Yes": 145, "No": 395}, 0),
    "financebench": (2400, 2400, {"Yes": 1135, "No": 1265}, 0),
    "wice": (358, 358, {"Yes": 111, "No": 247}, 0),
    "expertqa": (217, 969, {"Yes": 715, "No": 254}, 268),
    "lfqa_verification": (400, 2579, {"Yes": 1993, "No": 586}, 0),
    "factcheck_gpt": (3305, 3305, {"Yes": 696, "No": 2609}, 0),
    "tofueval": (1510, 1510, {"Yes": 1188, "No": 322}, 0),
    "rewardbench_math_prm": (447, 447, {"A": 242, "B": 205}, 0),
    "vicuna_bench": (320, 320, {"1": 4, "2": 12, "3": 24, "4": 170, "5": 110}, 0),
    "flask_items": (1740, 5099, {None: 5099}, 40),
    "metacritique": (100, 300, {"1": 16, "2": 57, "3": 88, "4": 87, "5": 52}, 0),
    "llmfao_votes": (8931, 0, {}, 0),
    "judge_arena": (28, 0, {}, 0),
    "craft_md_grader": (317, 0, {}, 0),
}
# One record per set read by hand out of the raw file: SHA-256 head of the response (of the better
# one in a pair), label, more.
BY_HAND = {
    "biggen_bench": ("2ae280c0fdb0", "5", {"item": "safety_safety_alignment_9"}),
    "mt_bench": ("8fc670579419", "3", {"item": 83, "gpt4_scores": [3, 2, 3]}),
    "infobench": ("80d5181a104c", "No", {"votes": ["no", "no", "no"]}),
    "lfqa_eval": ("c500fc7f0824", "A", {"field": "Law"}),
    "hhh_alignment": ("1f3b2344e6f5", "A/B", {"category": "honest"}),
    "evalbiasbench": ("45a43a79fe52", "A/B", {"bias": "empty reference"}),
    "instrusum": ("5831e1bf69d9", "A", {}),
    "auto_j": ("e83021a1bc36", "tie", {}),
    "craft_md": (
        "14df695990cc",
        "Yes",
        {"model": "GPT-4", "case_id": "case_129.json", "question": "diagnosis", "disagreed": True},
    ),
    "financebench": (
        "a96161954ce4",
        "No",
        {
            "question_id": "financebench_id_03029",
            "human_label": "Incorrect Answer",
            "refusal": False,
        },
    ),
    "wice": ("15d8ddbc3898", "No", {"human_label": "partially_supported"}),
    "expertqa": ("b861522304dc", "Yes", {"human_label": "Complete", "system": "rr_sphere_gpt4"}),
    "lfqa_verification": (
        "be1d7e075b1b",
        "Yes",
        {"votes": ["not_supported", "supported", "supported"], "system": "alpaca_wdoc"},
    ),
    "factcheck_gpt": ("18ca25d5b11f", "No", {"stance": "partially-support"}),
    "tofueval": ("b0ed50d4dc57", "No", {"corpus": "meetingbank", "document_missing": True}),
    "rewardbench_math_prm": ("4da9ecc9f5aa", "A/B", {"subset": "math-prm"}),
    "vicuna_bench": ("fa8b2a1c56b4", "5", {"item": 1, "gpt4_scores": [5, 5, 5]}),
    "flask_items": ("f08613695385", None, {"item": 1}),
    "metacritique": ("a71a98df55b8", "1", {"critic": "human_critique", "recall": 0.0}),
}


@pytest.fixture(scope="module")
def real(data_dir):
    """Load a real set once for the module."""
    loaded = {}
    return lambda name: loaded.setdefault(name, loaded.get(name) or load(name, data_dir=data_dir))


@pytest.mark.parametrize("name", REAL)
def test_real_files(name, real, data_dir):
    n_read, n_samples, labels, n_dropped = REAL[name]
    result = real(name)
    assert (result.n_read, result.n_samples) == (n_read, n_samples)
    assert Counter(s.label for s in result.samples) == labels
    assert sum(result.n_dropped.values()) == n_dropped and not any(
        r.startswith("broken") for r in result.n_dropped
    )
    assert len({s.id for s in result.samples}) == n_samples and len(result.rows) in (0, n_read)


@pytest.mark.parametrize("name", BY_HAND)
def test_record_read_by_hand(name, real):
    head, label, meta = BY_HAND[name]
    matches = [
        s
        for s in real(name).samples
        if _head(s.response_b if s.label == "B" else s.response) == head
    ]
    sample = next(s for s in matches if meta.items() <= dict(s.meta).items())
    assert sample.label == label if label != "A/B" else sample.label in ("A", "B")


def test_every_folder_of_the_data_has_a_set(data_dir):
    folders = {path.name for path in data_dir.iterdir() if path.is_dir()}
    specs = all_specs()
    assert folders <= {spec.folder or name for name, spec in specs.items()}
    assert all(
        any(is_present(s, data_dir) for s in specs.values() if (s.folder or s.name) == folder)
        for folder in folders
    )


def test_craft_md_baselines_of_always_no(real):
    """Always "No" is right on .928 / .672 / .594 of the 180 conversations: terminology, diagnosis,
    history.
    """
    samples = real("craft_md").samples
    share = {
        q: [s.label for s in samples if s.meta["question"] == q]
        for q in ("terminology", "diagnosis", "history")
    }
    assert {q: (len(v), round(v.count("No") / len(v), 3)) for q, v in share.items()} == {
        "terminology": (180, 0.928),
        "diagnosis": (180, 0.672),
        "history": (180, 0.594),
    }
    votes = [
        len([who for who in s.meta["votes"] if who != "tie_break"])
        for s in samples
        if s.meta["question"] == "history"
    ]
    assert Counter(votes) == {1: 120, 2: 60} and sum(votes) == 240
    assert all(("tie_break" in s.meta["votes"]) == s.meta["disagreed"] for s in samples)
    assert all((s.reference is not None) == (s.meta["question"] == "history") for s in samples)
    assert len({s.group for s in samples}) == 45


def test_grader_check_counts(real):
    counts = Counter(row["dermatologist_accuracy"] for row in real("craft_md_grader").rows)
    assert (
        counts[""] == 7
        and sum(counts.values()) == 317
        and set(counts) <= {"", "0", "1", "2", "3", "4", "5"}
    )
    first = real("craft_md_grader").rows[0]
    assert (first["case_id"], first["dermatologist_accuracy"], len(first)) == ("case_0", "2", 8)


def test_financebench_keeps_the_three_way_label_and_the_evidence(real):
    samples = real("financebench").samples
    assert Counter(s.meta["human_label"] for s in samples) == {
        "Correct Answer": 1135,
        "Incorrect Answer": 528,
        "Refusal": 737,
    }
    assert sum(s.meta["refusal"] for s in samples) == 737 and len({s.group for s in samples}) == 150
    assert len({(s.meta["model"], s.meta["eval_mode"]) for s in samples}) == 16
    assert all("Evidence: " in s.reference for s in samples)


def test_absolute_scores_are_means_of_the_raters(real):
    sample = next(s for s in real("mt_bench").samples if s.meta["item"] == 83)
    assert (
        sample.score == pytest.approx(8 / 3)
        and sample.label == "3"
        and sample.rubric.count("\nScore ") == 5
    )
    assert (
        not sample.rubric.startswith("[")
        and sample.reference
        and len({s.group for s in real("mt_bench").samples}) == 80
    )


def test_biggen_counts_the_unscored(real):
    assert real("biggen_bench").n_dropped == {"human score -1: not scored": 3}


def test_absent_sets_say_how_to_get_them(data_dir):
    for name in ("flask", "reward_bench", "llm_aggrefact"):
        result = load(name, data_dir=data_dir)
        assert (result.present, result.samples, result.n_read) == (False, [], 0)
    assert "flask_eval.json" in how_to_get(find_spec("flask")) and "prometheus-eval" in how_to_get(
        find_spec("flask")
    )
    assert "accept the terms" in how_to_get(
        find_spec("llm_aggrefact")
    ) and "HF_TOKEN" in how_to_get(find_spec("llm_aggrefact"))


def test_reward_bench_sections_and_weights():
    """23 subsets.

    Their sizes add up to 2,985 with the 447 pairs of math-prm, which weighs as much as all six code
    subsets.
    """
    assert (
        len(SECTION_OF) == 23
        and set(REWARD_BENCH_WEIGHTS) == set(SECTION_OF)
        and list(REWARD_BENCH_SECTIONS) == ["Chat", "Chat Hard", "Safety", "Reasoning"]
    )
    assert sum(REWARD_BENCH_WEIGHTS.values()) - REWARD_BENCH_WEIGHTS["math-prm"] + 447 == 2985
    code = [n for name, n in REWARD_BENCH_WEIGHTS.items() if name.startswith("hep-")]
    assert REWARD_BENCH_WEIGHTS["math-prm"] == sum(code)


def test_models_stand_in_the_order_of_the_responses(tmp_path):
    write_rows("reward_bench", tmp_path, n=30, spoil=False)
    samples = load(free_of_counts("reward_bench"), data_dir=tmp_path).samples
    assert {s.label for s in samples} == {"A", "B"}
    assert all(s.meta["models"] == (["m", "n"] if s.label == "A" else ["n", "m"]) for s in samples)
    assert {s.meta["section"] for s in samples} == {"Reasoning"}


def test_hub_shapes_are_read_by_the_same_adapters():
    hhh = Row(
        {
            "input": "q",
            "targets": {"choices": ["bad", "good"], "labels": [0, 1]},
            "hub_config": "other",
        },
        find_spec("hhh_alignment"),
        "x",
    )
    sample = hhh.spec.to_samples(hhh)
    assert (
        sample.response if sample.label == "A" else sample.response_b
    ) == "good" and sample.meta["category"] == "other"
    with pytest.raises(BrokenRow, match=r"targets.labels"):
        hhh.spec.to_samples(
            replace(
                hhh, values={**hhh.values, "targets": {"choices": ["a", "b"], "labels": [1, 1]}}
            )
        )
    summary = {
        "article": "A",
        "requirement": "R",
        "output_1": "x",
        "output_2": "y",
        "winner": 2,
        "doc_id": 1,
    }
    sample = find_spec("instrusum").to_samples(Row(summary, find_spec("instrusum"), "x"))
    assert sample.label == "B" and "A\n\n" in sample.instruction and "R\n\n" in sample.instruction


def test_expertqa_drops_what_was_not_judged(tmp_path):
    shape = SHAPES["expertqa"]
    claims = [
        {"claim_string": "a", "evidence": ["e"], "support": "N/A"},
        {"claim_string": "b", "evidence": ["e"], "support": None},
        {"claim_string": "c", "evidence": [], "support": "Missing"},
        {"claim_string": "d", "evidence": ["e"], "support": "Partial"},
    ]
    (tmp_path / "expertqa").mkdir()
    shape.write(
        tmp_path / "expertqa", [{**shape.record(0), "answers": {"gpt": {"claims": claims}}}]
    )
    result = load(free_of_counts("expertqa"), data_dir=tmp_path)
    assert [s.label for s in result.samples] == ["No"]
    assert result.n_dropped == {"support was not judged": 2, "claim without evidence": 1}


def test_craft_md_without_a_tie_break_is_a_broken_row(tmp_path):
    folder = write_rows("craft_md", tmp_path, n=2, spoil=False)
    path = folder / "expert_annotations" / "validation_clinicallm_patientai_tiebreak_d3.xlsx"
    import openpyxl

    book = openpyxl.load_workbook(path)
    book["GPT-4"]["H3"] = None  # the tie-break on the history of the first conversation
    book.save(path)
    result = load(free_of_counts("craft_md"), data_dir=tmp_path, max_broken_share=0.5)
    assert result.n_samples == 3 and result.n_dropped == {
        "broken: Q2 is not agreeing annotators or a tie-break": 1
    }


def test_craft_md_names_a_changed_header(tmp_path):
    folder = write_rows("craft_md", tmp_path, n=1, spoil=False)
    path = folder / "expert_annotations" / "validation_clinicalllm_patientai_d2.xlsx"
    import openpyxl

    book = openpyxl.load_workbook(path)
    book["GPT-4"]["D2"] = "transcript"
    book.save(path)
    with pytest.raises(
        ValueError,
        match=r"d2.xlsx, sheet GPT-4, column '\(header\)': "
        r"expected case_id, case_vignette.*transcript",
    ):
        load(free_of_counts("craft_md"), data_dir=tmp_path)


TEXT = (
    st.text(
        alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="#"), min_size=1
    )
    .map(str.strip)
    .filter(bool)
)


@given(TEXT, TEXT, TEXT, st.none() | TEXT)
def test_prometheus_prompts_are_parsed_back(instruction, response, rubric, reference):
    middle = f"###Reference Answer (Score 5):\n{reference}\n\n" if reference else ""
    text = f"###Task Description:\nx\n\n{INSTRUCTION}\n{instruction}\n\n"
    text += f"###Response to evaluate:\n{response}\n\n{middle}"
    parts = parse_prompt(f"{text}###Score Rubrics:\n[{rubric}]\nScore 1: a\n\n###Feedback: ")
    assert (parts.instruction, parts.response, parts.reference) == (
        instruction,
        response,
        reference,
    )


@pytest.mark.parametrize("i", range(5))
def test_prometheus_prompt_with_a_mark_missing_twice_or_moved_is_refused(i):
    marks = [
        "###The instruction to evaluate:",
        "###Response to evaluate:",
        "###Reference Answer (Score 5):",
        "###Score Rubrics:",
        "###Feedback:",
    ]
    good = prometheus_prompt(1)
    parse_prompt(good)
    twice = good.replace("response 1", f"response 1 {marks[i]}")
    with pytest.raises(ValueError, match="stands 2 times"):
        parse_prompt(twice)
    if i != 2:
        with pytest.raises(ValueError, match="stands 0 times"):
            parse_prompt(good.replace(marks[i], ""))
    swapped = good.replace(marks[0], "#x").replace(marks[1], marks[0]).replace("#x", marks[1])
    with pytest.raises(ValueError, match="not in their order"):
        parse_prompt(swapped)


def test_html_breaks_become_line_breaks():
    assert plain("a <br /> b<br>c") == "a\nb\nc"


def _head(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
