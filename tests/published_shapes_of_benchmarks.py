"""The published shape of every benchmark, domain set, component and reference table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from published_shapes import Shape, array, lines, parquet, put, table, without


def prometheus_prompt(i: int, *, reference: bool = True) -> str:
    middle = f"###Reference Answer (Score 5):\nreference {i}\n\n" if reference else ""
    return (
        f"###Task Description:\nJudge.\n\n###The instruction to evaluate:\ninstruction {i}\n\n"
        f"###Response to evaluate:\nresponse {i}\n\n"
        f"{middle}###Score Rubrics:\n[Is it good?]\nScore 1: no\nScore 5: yes\n\n###Feedback: "
    )


def write_financebench(folder: Path, records: list[dict]) -> None:
    evidence = [
        {
            "evidence_text": "passage",
            "doc_name": "D",
            "evidence_page_num": 1,
            "evidence_text_full_page": "page",
        }
    ]
    shared = {
        "company": "C",
        "doc_name": "D",
        "question_type": "t",
        "justification": None,
        "evidence": evidence,
    }
    items = [
        {"financebench_id": f"q{i}", "question": f"question {i}", "answer": f"answer {i}", **shared}
        for i in range(len(records))
    ]
    lines("financebench_open_source.jsonl")(folder, items)
    lines("results/model_mode.jsonl")(folder, records)


def write_biasbench(folder: Path, records: list[dict]) -> None:
    (folder / "biasbench.json").write_text(
        json.dumps({"length bias": records[:2], "other": records[2:]}), encoding="utf-8"
    )


def write_hhh(folder: Path, records: list[dict]) -> None:
    for category in ("harmless", "helpful", "honest", "other"):
        lines(f"hhh_{category}.jsonl")(folder, records if category == "honest" else [])


def write_craft(folder: Path, records: list[dict]) -> None:
    """Both annotators see every conversation.

    They differ on Q2, which the tie-break decides with Yes.
    """
    import openpyxl

    from selene_lib.data.benchmarks.craft_md import ANNOTATORS, COLUMNS

    (folder / "expert_annotations").mkdir()
    for annotator, name in ANNOTATORS.items():
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "GPT-4"
        sheet.append(["Instructions: Please respond with a yes/no."])
        sheet.append(
            COLUMNS if annotator == "d1" else [*COLUMNS[:6], "Q1: long", "Q2: long", "Q3: long"]
        )
        for record in records:
            answers = {
                "d1": ("Yes", "No", "No"),
                "d2": ("yes", "Yes", "No"),
                "tie_break": (None, "Yes", None),
            }[annotator]
            answers = (
                (record["Q1"], *answers[1:]) if record["Q1"] and annotator == "d1" else answers
            )
            sheet.append(
                [
                    record["case_id"],
                    "vignette",
                    "question?",
                    record["talk"],
                    "diagnosis",
                    "truth",
                    *answers,
                ]
            )
        book.save(folder / "expert_annotations" / name)


def write_math_prm(folder: Path, records: list[dict]) -> None:
    rows = [
        {"problem_id": r["problem_id"], "solution_type": kind, **r[kind]}
        for r in records
        for kind in ("chosen", "rejected")
    ]
    array("rewardbench_ReasonEval_34B.json")(folder, rows)


def write_lfqa_verification(folder: Path, records: list[dict]) -> None:
    docs = [
        {
            "question_id": i,
            "question": "q",
            "docs": [{"doc_id": "d", "title": "t", "text": f"text {i}"}],
        }
        for i in range(len(records))
    ]
    for name in ("webgpt", "human"):
        array(f"docs/docs-{name}.json")(folder, docs)
    for system in ("webgpt", "gpt3_wdoc", "alpaca_wdoc", "gpt3_whudoc"):
        array(f"annotations/annotations-{system}.json")(
            folder, records if system == "webgpt" else []
        )


def write_flask_items(folder: Path, records: list[dict]) -> None:
    lines("flask_evaluation.jsonl")(folder, records)
    array("skillset_description.json")(
        folder,
        [
            {
                "Skill": "Logic",
                "Criteria": "c",
                "Scoring": {str(n): f"line {n}" for n in range(1, 6)},
            }
        ],
    )
    lines("model_output/chatgpt.jsonl")(
        folder, [{"question_id": i, "text": f"response {i}"} for i in range(len(records))]
    )


def write_tofueval(folder: Path, records: list[dict]) -> None:
    table("mediasum_factual_eval_test.csv")(folder, records)
    table("meetingbank_factual_eval_test.csv")(folder, records[:1])


def write_grader(folder: Path, records: list[dict]) -> None:
    (folder / "expert_annotations").mkdir()
    names = ["", *(f"trial_{n}" for n in range(5)), "correct_ans", "dermatologist_accuracy"]
    lines = [
        ["How many,\nof five?"],
        [],
        *([name, *(record[name or "case_id"] for record in records)] for name in names),
        ["", "remark"],
    ]
    with open(
        folder / "expert_annotations" / "validation_graderai.csv", "w", newline="", encoding="utf-8"
    ) as stream:
        csv.writer(stream).writerows(lines)


RUBRIC = {"criteria": "good?", **{f"score{n}_description": f"line {n}" for n in range(1, 6)}}

SHAPES: dict[str, Shape] = {
    "flask": Shape(
        lambda i: {
            "idx": i,
            "instruction": prometheus_prompt(i),
            "human_score": [4, 5, 4],
            "gpt4_score": [4, 4, 4],
        },
        put("human_score", []),
        "human_score",
        ("4",),
        array("flask_eval.json"),
    ),
    "biggen_bench": Shape(
        lambda i: (
            {
                "id": f"id{i}",
                "capability": "c",
                "task": "t",
                "system_prompt": "s",
                "input": f"q {i}",
                "reference_answer": "ref",
            }
            | {"score_rubric": RUBRIC, "response": f"r {i}", "model_name": "m", "human_score": 2}
        ),
        put("human_score", 7),
        "human_score",
        ("2",),
        lines("human_eval_planning.jsonl"),
    ),
    "mt_bench": Shape(
        lambda i: {
            "idx": i,
            "response_source": "m",
            "category": "c",
            "instruction": prometheus_prompt(i),
            "gpt4_score": [5, 4, 4],
        },
        put("instruction", "###Score Rubrics: no marks"),
        "instruction",
        ("4",),
        array("mt_bench_eval.json"),
    ),
    "llm_aggrefact": Shape(
        lambda i: {
            "dataset": "d",
            "doc": f"document {i}",
            "claim": f"claim {i}",
            "label": 1,
            "contamination_identifier": "x",
        },
        put("label", 2),
        "label",
        ("Yes",),
        parquet("data/test-00000-of-00001.parquet"),
    ),
    "infobench": Shape(
        lambda i: {
            "model": "m",
            "instruction": f"q {i}",
            "response": f"r {i}",
            "question": "met?",
            "label": 0,
            "all_labels": ["no"] * 3,
        },
        put("label", "no"),
        "label",
        ("No",),
        lines("expert_all_agree.jsonl"),
    ),
    "reward_bench": Shape(
        lambda i: (
            {
                "prompt": f"q {i}",
                "chosen": f"good {i}",
                "chosen_model": "m",
                "rejected": f"bad {i}",
                "rejected_model": "n",
            }
            | {"subset": "hep-go", "id": i}
        ),
        put("subset", "hep-basic"),
        "subset",
        ("A/B",),
        parquet("data/filtered-00000-of-00001.parquet"),
    ),
    "lfqa_eval": Shape(
        lambda i: (
            {
                "q_id": "x",
                "question_text": f"q {i}",
                "answer1": f"one<br />two {i}",
                "answer2": f"b {i}",
                "BetterAnswer": "Answer B",
            }
            | {"DifficultToChoose": "No.", "annotator": 3, "annotation_id": i}
        ),
        put("BetterAnswer", "Answer C"),
        "BetterAnswer",
        ("B",),
        array("Annotated_Dataset/Law_16_Common20.json"),
    ),
    "hhh_alignment": Shape(
        lambda i: {"input": f"q {i}", "output_1": f"good {i}", "output_2": f"bad {i}", "label": 1},
        put("label", 2),
        "label",
        ("A/B",),
        write_hhh,
    ),
    "evalbiasbench": Shape(
        lambda i: {
            "bias": "length bias",
            "instruction": f"q {i}",
            "response1": f"good {i}",
            "response2": f"bad {i}",
            "label": 1,
        },
        put("label", 2),
        "label",
        ("A/B",),
        write_biasbench,
    ),
    "instrusum": Shape(
        lambda i: {"input": f"q {i}", "output_1": f"a {i}", "output_2": f"b {i}", "label": 2},
        without("output_2"),
        "output_2",
        ("B",),
        lines("instrusum_acc.jsonl"),
    ),
    "auto_j": Shape(
        lambda i: {
            "scenario": "s",
            "label": 2,
            "prompt": f"q {i}",
            "response 1": f"a {i}",
            "response 2": f"b {i}",
        },
        lambda record: {name.replace(" 1", "_1"): value for name, value in record.items()},
        "response 1",
        ("tie",),
        lines("testdata_pairwise.jsonl"),
    ),
    "craft_md": Shape(
        lambda i: {"case_id": f"case_{i}.json", "talk": f"Doctor-AI: {i}", "Q1": None},
        put("Q1", "Maybe"),
        "d1",
        ("Yes", "Yes", "No"),
        write_craft,
    ),
    "financebench": Shape(
        lambda i: (
            {
                "financebench_id": f"q{i}",
                "model_name": "m",
                "eval_mode": "oracle",
                "temp": 0.01,
                "question": f"question {i}",
            }
            | {"gold_answer": 1.5, "model_answer": 7, "label": "Refusal"}
        ),
        put("financebench_id", "unknown"),
        "item",
        ("No",),
        write_financebench,
    ),
    "wice": Shape(
        lambda i: {
            "label": "partially_supported",
            "claim": f"claim {i}",
            "evidence": ["a", "b"],
            "meta": {"id": f"t{i}"},
        },
        put("label", "refuted"),
        "label",
        ("No",),
        lines("entailment_retrieval/claim/test.jsonl"),
    ),
    "expertqa": Shape(
        lambda i: {
            "question": f"q {i}",
            "answers": {
                "gpt": {
                    "claims": [{"claim_string": f"c {i}", "evidence": ["e"], "support": "Complete"}]
                }
            },
            "metadata": {"field": "Law"},
        },
        put(
            "answers",
            {"gpt": {"claims": [{"claim_string": "c", "evidence": ["e"], "support": "Total"}]}},
        ),
        "support",
        ("Yes",),
        lines("rand_val.jsonl"),
    ),
    "lfqa_verification": Shape(
        lambda i: (
            {"question_id": i, "question": f"q {i}", "answers": ["s"]}
            | {
                "annotations": [
                    {"labels": ["supported", "partially", "supported"], "answer": f"s {i}"}
                ]
            }
        ),
        put("annotations", [{"labels": ["supported", "unsure", "supported"], "answer": "s"}]),
        "labels",
        ("Yes",),
        write_lfqa_verification,
    ),
    "factcheck_gpt": Shape(
        lambda i: {"claim": f"c {i}", "evidence": "e", "stance": "completely-support"},
        put("stance", "agrees"),
        "stance",
        ("Yes",),
        lines("subtask3_claim_evidence_stance.jsonl"),
    ),
    "tofueval": Shape(
        lambda i: (
            {
                "doc_id": f"d{i}",
                "annotation_id": "1",
                "topic": "t",
                "model_name": "m",
                "sent_idx": str(i),
                "summ_sent": f"s {i}",
            }
            | {"sent_label": "no", "exp": "", "type": ""}
        ),
        put("sent_label", "unsure"),
        "sent_label",
        ("No",),
        write_tofueval,
    ),
    "rewardbench_math_prm": Shape(
        lambda i: {
            "problem_id": i,
            "chosen": {
                "problem": f"p {i}",
                "eval_solution": ["a", f"b {i}"],
                "subject": "s",
                "level": 1,
            },
            "rejected": {
                "problem": f"p {i}",
                "eval_solution": ["a", f"c {i}"],
                "subject": "s",
                "level": 1,
            },
        },
        lambda record: {**record, "rejected": {**record["rejected"], "problem": "another"}},
        "rejected.problem",
        ("A/B",),
        write_math_prm,
    ),
    "vicuna_bench": Shape(
        lambda i: {
            "idx": i,
            "response_source": "m",
            "category": "c",
            "instruction": prometheus_prompt(i),
            "gpt4_score": [1, 1, 2],
        },
        put("gpt4_score", [1, 2]),
        "gpt4_score",
        ("1",),
        array("vicuna_eval.json"),
    ),
    "flask_items": Shape(
        lambda i: {
            "idx": i,
            "instruction": f"q {i}",
            "answer": "ref",
            "task": "t",
            "skill": ["Logic"],
            "domain": ["d"],
            "difficulty": 3,
        },
        put("skill", ["Charm"]),
        "rubrics",
        (None,),
        write_flask_items,
    ),
    "metacritique": Shape(
        lambda i: (
            {"index": i, "question": f"q {i}", "response": "r", "gpt4_answer": "ref"}
            | {
                critic: {
                    "critique": f"{critic} {i}",
                    "precision_score": 0.5,
                    "recall_score": 0.5,
                    "f1_score": 0.5,
                }
                for critic in ("human_critique", "llm1_critique", "llm2_critique")
            }
        ),
        put("llm1_critique", {"critique": "c", "f1_score": 1.5}),
        "f1_score",
        ("3", "3", "3"),
        array("annotation_data.json"),
    ),
    "judge_arena": Shape(
        lambda i: {
            "name": f"m{i}",
            "organization": "o",
            "license": "l",
            "api_model": "a",
            "active": True,
        },
        without("active"),
        "active",
        (),
        lines("models.jsonl"),
    ),
    "craft_md_grader": Shape(
        lambda i: {
            "case_id": f"case_{i}",
            "correct_ans": "c",
            "dermatologist_accuracy": "5",
            **{f"trial_{n}": "d" for n in range(5)},
        },
        put("dermatologist_accuracy", "6"),
        "dermatologist_accuracy",
        (),
        write_grader,
    ),
    "llmfao_votes": Shape(
        lambda i: {
            "id": str(i),
            "prompt": "8",
            "model_x": "1",
            "model_y": "2",
            "worker": "5",
            "winner": "tie",
            "left": "m",
            "right": "n",
        },
        put("winner", "both"),
        "winner",
        (),
        table("llmfao.csv"),
    ),
}
