"""Rows in the shape each publisher uses, written by the tests themselves: all adapters run without any data folder or network.

A `Shape` makes record number i, spoils one (which column, and how), and writes records as the publisher's files.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shape:
    record: Callable[[int], dict]
    spoil: Callable[[dict], dict]
    column: str
    labels: tuple[str | None, ...]  # of the samples of record 0
    write: Callable[[Path, list[dict]], None]


def lines(name: str) -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)

    return write


def array(name: str) -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(records, indent=2), encoding="utf-8")

    return write


def parquet(name: str) -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(records), folder / name)

    return write


def table(name: str, delimiter: str = ",") -> Callable[[Path, list[dict]], None]:
    def write(folder: Path, records: list[dict]) -> None:
        with open(folder / name, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(records[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(records)

    return write


def put(column: str, value: object) -> Callable[[dict], dict]:
    return lambda record: {**record, column: value}


def without(column: str) -> Callable[[dict], dict]:
    return lambda record: {name: value for name, value in record.items() if name != column}


def prometheus_prompt(i: int, *, reference: bool = True) -> str:
    middle = f"###Reference Answer (Score 5):\nreference {i}\n\n" if reference else ""
    return (
        f"###Task Description:\nJudge.\n\n###The instruction to evaluate:\ninstruction {i}\n\n###Response to evaluate:\nresponse {i}\n\n"
        f"{middle}###Score Rubrics:\n[Is it good?]\nScore 1: no\nScore 5: yes\n\n###Feedback: "
    )


def messages(*texts: str) -> list[dict]:
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def write_financebench(folder: Path, records: list[dict]) -> None:
    evidence = [{"evidence_text": "passage", "doc_name": "D", "evidence_page_num": 1, "evidence_text_full_page": "page"}]
    shared = {"company": "C", "doc_name": "D", "question_type": "t", "justification": None, "evidence": evidence}
    items = [{"financebench_id": f"q{i}", "question": f"question {i}", "answer": f"answer {i}", **shared} for i in range(len(records))]
    lines("financebench_open_source.jsonl")(folder, items)
    lines("results/model_mode.jsonl")(folder, records)


def write_biasbench(folder: Path, records: list[dict]) -> None:
    (folder / "biasbench.json").write_text(json.dumps({"length bias": records[:2], "other": records[2:]}), encoding="utf-8")


def write_hhh(folder: Path, records: list[dict]) -> None:
    for category in ("harmless", "helpful", "honest", "other"):
        lines(f"hhh_{category}.jsonl")(folder, records if category == "honest" else [])


def write_craft(folder: Path, records: list[dict]) -> None:
    """Both annotators see every conversation; they differ on Q2, which the tie-break decides with Yes."""
    import openpyxl

    from selene_lib.benchmarks.craft_md import ANNOTATORS, COLUMNS

    (folder / "expert_annotations").mkdir()
    for annotator, name in ANNOTATORS.items():
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = "GPT-4"
        sheet.append(["Instructions: Please respond with a yes/no."])
        sheet.append(COLUMNS if annotator == "d1" else [*COLUMNS[:6], "Q1: long", "Q2: long", "Q3: long"])
        for record in records:
            answers = {"d1": ("Yes", "No", "No"), "d2": ("yes", "Yes", "No"), "tie_break": (None, "Yes", None)}[annotator]
            answers = (record["Q1"], *answers[1:]) if record["Q1"] and annotator == "d1" else answers
            sheet.append([record["case_id"], "vignette", "question?", record["talk"], "diagnosis", "truth", *answers])
        book.save(folder / "expert_annotations" / name)


def write_math_prm(folder: Path, records: list[dict]) -> None:
    rows = [{"problem_id": r["problem_id"], "solution_type": kind, **r[kind]} for r in records for kind in ("chosen", "rejected")]
    array("rewardbench_ReasonEval_34B.json")(folder, rows)


def write_lfqa_verification(folder: Path, records: list[dict]) -> None:
    docs = [{"question_id": i, "question": "q", "docs": [{"doc_id": "d", "title": "t", "text": f"text {i}"}]} for i in range(len(records))]
    for name in ("webgpt", "human"):
        array(f"docs/docs-{name}.json")(folder, docs)
    for system in ("webgpt", "gpt3_wdoc", "alpaca_wdoc", "gpt3_whudoc"):
        array(f"annotations/annotations-{system}.json")(folder, records if system == "webgpt" else [])


def write_ragtruth(folder: Path, records: list[dict]) -> None:
    lines("response.jsonl")(folder, records)
    sources = [{"source_id": f"s{i}", "task_type": "QA", "source": "M", "prompt": f"prompt {i}"} for i in range(len(records))]
    lines("source_info.jsonl")(folder, sources)


def write_flask_items(folder: Path, records: list[dict]) -> None:
    lines("flask_evaluation.jsonl")(folder, records)
    array("skillset_description.json")(folder, [{"Skill": "Logic", "Criteria": "c", "Scoring": {str(n): f"line {n}" for n in range(1, 6)}}])
    lines("model_output/chatgpt.jsonl")(folder, [{"question_id": i, "text": f"response {i}"} for i in range(len(records))])


def write_tofueval(folder: Path, records: list[dict]) -> None:
    table("mediasum_factual_eval_test.csv")(folder, records)
    table("meetingbank_factual_eval_test.csv")(folder, records[:1])


def auto_j_prompt(i: int) -> str:
    return f"Write critiques\n[BEGIN DATA]\n***\n[Query]: query {i}\n***\n[Response]: response {i}\n***\n[END DATA]\n\nWrite critiques."


def arena_prompt(i: int) -> str:
    return (
        f"[Question]\nquestion {i}\n\n[The Start of Reference Answer]\nreference {i}\n[The End of Reference Answer]\n\n"
        f"[The Start of Assistant's Answer]\nanswer {i}\n[The End of Assistant's Answer]"
    )


RUBRIC = {"criteria": "good?", **{f"score{n}_description": f"line {n}" for n in range(1, 6)}}
ORIG = {"orig_criteria": "[good?]", **{f"orig_score{n}_description": f"line {n}" for n in range(1, 6)}}
ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")


def write_grader(folder: Path, records: list[dict]) -> None:
    (folder / "expert_annotations").mkdir()
    names = ["", *(f"trial_{n}" for n in range(5)), "correct_ans", "dermatologist_accuracy"]
    lines = [["How many,\nof five?"], [], *([name, *(record[name or "case_id"] for record in records)] for name in names), ["", "remark"]]
    with open(folder / "expert_annotations" / "validation_graderai.csv", "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(lines)


SHAPES: dict[str, Shape] = {
    "feedback_collection": Shape(
        lambda i: {"orig_instruction": f"q {i}", "orig_response": f"r {i}", "orig_reference_answer": "ref", "orig_score": "3", **ORIG},
        put("orig_score", "6"),
        "orig_score",
        ("3",),
        array("new_feedback_collection.json"),
    ),
    "preference_collection": Shape(
        lambda i: (
            {"orig_instruction": f"q {i}", "orig_response_A": f"a {i}", "orig_response_B": f"b {i}", "orig_preference": "B"}
            | {"orig_criteria": "good?", "orig_reference_answer": "ref"}
        ),
        put("orig_preference", "C"),
        "orig_preference",
        ("B",),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "helpsteer": Shape(
        lambda i: {"prompt": f"p {i}", "response": f"r {i}", "helpfulness": 3, "correctness": 4, "coherence": 0, "complexity": 1},
        put("correctness", 5),
        "correctness",
        ("4", "5", "1"),
        lines("train.jsonl.gz"),
    ),
    "helpsteer2": Shape(
        lambda i: {"prompt": f"p {i}", "response": f"r {i}", "helpfulness": 2, "correctness": 1, "coherence": 4, "verbosity": 1},
        put("helpfulness", None),
        "helpfulness",
        ("3", "2", "5"),
        lines("train.jsonl"),
    ),
    "ultrafeedback": Shape(
        lambda i: {
            "source": "flan",
            "instruction": f"q {i}",
            "completions": [{"model": "m", "response": f"r {i}", "annotations": {a: {"Rating": "2", "Rationale": "w"} for a in ASPECTS}}],
        },
        put("completions", [{"model": "m", "response": "r", "annotations": {"honesty": {"Rating": "2"}}}]),
        "annotations.instruction_following.Rating",
        ("2", "2", "2", "2"),
        lines("flan.jsonl"),
    ),
    "code_ultrafeedback": Shape(
        lambda i: {
            "instruction": f"q {i}",
            "preference": "readability",
            "responses": [{"model": "m", "response": f"r {i}"}, {"model": "n", "response": f"s {i}"}],
            "annotations": [{"model": "m", "rating": "5", "rationale": "w"}, {"model": "n", "rating": "1", "rationale": "w"}],
        },
        put("preference", "beauty"),
        "preference",
        ("5", "1"),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "offsetbias": Shape(
        lambda i: {"instruction": f"q {i}", "output_1": f"a {i}", "output_2": f"b {i}", "label": 2},
        put("label", 0),
        "label",
        ("B",),
        array("train.json"),
    ),
    "skywork_reward_preference": Shape(
        lambda i: {"chosen": messages(f"q {i}", f"good {i}"), "rejected": messages(f"q {i}", f"bad {i}"), "source": "s"},
        put("rejected", messages("q")),
        "rejected",
        ("A/B",),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "chatbot_arena": Shape(
        lambda i: (
            {"question_id": f"id{i}", "model_a": "m", "model_b": "n", "winner": "tie (bothbad)", "language": "English"}
            | {"conversation_a": messages(f"q {i}", f"a {i}"), "conversation_b": messages(f"q {i}", f"b {i}")}
        ),
        put("winner", "both"),
        "winner",
        ("tie",),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "hh_rlhf": Shape(
        lambda i: {"chosen": f"\n\nHuman: q {i}\n\nAssistant: good {i}", "rejected": f"\n\nHuman: q {i}\n\nAssistant: bad {i}"},
        put("chosen", "no turns"),
        "chosen",
        ("A/B",),
        lines("helpful-base/train.jsonl.gz"),
    ),
    "beavertails": Shape(
        lambda i: {"prompt": f"p {i}", "response": f"r {i}", "category": {"animal_abuse": True, "terrorism": False}, "is_safe": False},
        put("is_safe", "maybe"),
        "is_safe",
        ("No",),
        lines("round0/330k/train.jsonl.gz"),
    ),
    "math_shepherd": Shape(
        lambda i: {
            "input": f"problem {i} Step 1: a ки\nStep 2: b ки",
            "label": f"problem {i} Step 1: a + b = c. +\nStep 2: the answer is: {i} -",
            "task": "GSM8K",
        },
        put("label", "problem Step 1: a\nStep 2: b -"),
        "label",
        ("No",),
        lines("math-shepherd.jsonl"),
    ),
    "ragtruth": Shape(
        lambda i: (
            {"id": f"r{i}", "source_id": f"s{i}", "model": "m", "split": "train", "quality": "good", "response": f"answer {i}"}
            | {"labels": [{"start": 0, "end": 3, "text": "ans", "label_type": "Evident Conflict"}]}
        ),
        put("source_id", "unknown"),
        "source",
        ("Yes",),
        write_ragtruth,
    ),
    "halueval": Shape(
        lambda i: {
            "ID": str(i),
            "user_query": f"q {i}",
            "chatgpt_response": f"r {i}",
            "hallucination": "yes",
            "hallucination_spans": ["r"],
        },
        put("hallucination", "perhaps"),
        "hallucination",
        ("Yes",),
        lines("general_data.json"),
    ),
    "seahorse": Shape(
        lambda i: (
            {"gem_id": f"g{i}", "worker_lang": "en-US", "summary": f"summary {i}", "model": "m", "question1": "Yes", "question2": "No"}
            | {"question3": "Yes", "question4": "Yes", "question5": "Unsure", "question6": "Yes"}
        ),
        put("summary", ""),
        "summary",
        ("Yes", "No", "Yes"),
        table("train.tsv", "\t"),
    ),
    "auto_j_training": Shape(
        lambda i: {"usrmsg": auto_j_prompt(i), "target_output": "Rating: [[7]]", "pred_score": 7.0, "scenario": "s", "source_dataset": "d"},
        put("usrmsg", "another prompt"),
        "usrmsg",
        ("4",),
        lines("single_traindata.jsonl"),
    ),
    "alpaca_eval_cot": Shape(
        lambda i: (
            {"instruction": f"q {i}", "output_1": f"a {i}", "generator_1": "m", "dataset": "d", "output_2": f"b {i}"}
            | {"generator_2": "n", "preference": 1.5, "price_per_example": None, "raw_completion": None}
        ),
        put("preference", float("nan")),
        "preference",
        ("tie",),
        array("annotations.json"),
    ),
    "fine_grained_rlhf": Shape(
        lambda i: (
            {"question": f"q {i}", "passages": [["title", "sentence"]], "preference": [0, 1, 2, 1, 1, 2]}
            | {f"prediction {n}": f"p {n} of {i}" for n in range(1, 5)}
        ),
        put("preference", [0, 1, 2]),
        "preference",
        ("tie", "A", "B", "A", "A", "B"),
        array("dev_feedback.json"),
    ),
    "felm": Shape(
        lambda i: (
            {"index": str(i), "domain": "math", "prompt": f"p {i}", "response": float("nan"), "segmented_response": ["a", f"b {i}"]}
            | {"labels": [True, False]}
        ),
        put("labels", [True]),
        "labels",
        ("No",),
        lines("all.jsonl"),
    ),
    "shepherd": Shape(
        lambda i: {"id": i, "dataset": "GSM8K", "question": f"q {i}", "answer": f"a {i}", "feedback": "f"},
        without("feedback"),
        "feedback",
        (None,),
        lines("human_data_for_model.jsonl"),
    ),
    "xstest": Shape(
        lambda i: (
            {"id": f"v2-{i}", "type": "t", "prompt": f"p {i}", "completion": f"several\nlines, {i}", "annotation_1": "x"}
            | {"annotation_2": "x", "agreement": "TRUE", "final_label": "3_partial_refusal"}
        ),
        put("final_label", "4_other"),
        "final_label",
        ("Yes",),
        table("xstest_v2_completions_m.csv"),
    ),
    "selfee": Shape(
        lambda i: {"instruction": f"q {i}", "input": "", "output": "ref", "outputs": [{"output": f"r {i}", "feedback": "Good. Score: 9"}]},
        put("outputs", "none"),
        "outputs",
        ("5",),
        lines("feedback_gpt_3.5_turbo_mbpp.jsonl"),
    ),
    "arena_bench_v1": Shape(
        lambda i: {"question_id": f"id{i}", "model": "m", "user_prompt": arena_prompt(i), "judgment": "Rating: [[1]]", "score": 1},
        put("score", 11),
        "score",
        ("1",),
        lines("model_judgment/other-model.jsonl"),
    ),
    "flask": Shape(
        lambda i: {"idx": i, "instruction": prometheus_prompt(i), "human_score": [4, 5, 4], "gpt4_score": [4, 4, 4]},
        put("human_score", []),
        "human_score",
        ("4",),
        array("flask_eval.json"),
    ),
    "biggen_bench": Shape(
        lambda i: (
            {"id": f"id{i}", "capability": "c", "task": "t", "system_prompt": "s", "input": f"q {i}", "reference_answer": "ref"}
            | {"score_rubric": RUBRIC, "response": f"r {i}", "model_name": "m", "human_score": 2}
        ),
        put("human_score", 7),
        "human_score",
        ("2",),
        lines("human_eval_planning.jsonl"),
    ),
    "mt_bench": Shape(
        lambda i: {"idx": i, "response_source": "m", "category": "c", "instruction": prometheus_prompt(i), "gpt4_score": [5, 4, 4]},
        put("instruction", "###Score Rubrics: no marks"),
        "instruction",
        ("4",),
        array("mt_bench_eval.json"),
    ),
    "llm_aggrefact": Shape(
        lambda i: {"dataset": "d", "doc": f"document {i}", "claim": f"claim {i}", "label": 1, "contamination_identifier": "x"},
        put("label", 2),
        "label",
        ("Yes",),
        parquet("data/test-00000-of-00001.parquet"),
    ),
    "infobench": Shape(
        lambda i: {"model": "m", "instruction": f"q {i}", "response": f"r {i}", "question": "met?", "label": 0, "all_labels": ["no"] * 3},
        put("label", "no"),
        "label",
        ("No",),
        lines("expert_all_agree.jsonl"),
    ),
    "reward_bench": Shape(
        lambda i: (
            {"prompt": f"q {i}", "chosen": f"good {i}", "chosen_model": "m", "rejected": f"bad {i}", "rejected_model": "n"}
            | {"subset": "hep-go", "id": i}
        ),
        put("subset", "hep-basic"),
        "subset",
        ("A/B",),
        parquet("data/filtered-00000-of-00001.parquet"),
    ),
    "lfqa_eval": Shape(
        lambda i: (
            {"q_id": "x", "question_text": f"q {i}", "answer1": f"one<br />two {i}", "answer2": f"b {i}", "BetterAnswer": "Answer B"}
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
        lambda i: {"bias": "length bias", "instruction": f"q {i}", "response1": f"good {i}", "response2": f"bad {i}", "label": 1},
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
        lambda i: {"scenario": "s", "label": 2, "prompt": f"q {i}", "response 1": f"a {i}", "response 2": f"b {i}"},
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
            {"financebench_id": f"q{i}", "model_name": "m", "eval_mode": "oracle", "temp": 0.01, "question": f"question {i}"}
            | {"gold_answer": 1.5, "model_answer": 7, "label": "Refusal"}
        ),
        put("financebench_id", "unknown"),
        "item",
        ("No",),
        write_financebench,
    ),
    "wice": Shape(
        lambda i: {"label": "partially_supported", "claim": f"claim {i}", "evidence": ["a", "b"], "meta": {"id": f"t{i}"}},
        put("label", "refuted"),
        "label",
        ("No",),
        lines("entailment_retrieval/claim/test.jsonl"),
    ),
    "expertqa": Shape(
        lambda i: {
            "question": f"q {i}",
            "answers": {"gpt": {"claims": [{"claim_string": f"c {i}", "evidence": ["e"], "support": "Complete"}]}},
            "metadata": {"field": "Law"},
        },
        put("answers", {"gpt": {"claims": [{"claim_string": "c", "evidence": ["e"], "support": "Total"}]}}),
        "support",
        ("Yes",),
        lines("rand_val.jsonl"),
    ),
    "lfqa_verification": Shape(
        lambda i: (
            {"question_id": i, "question": f"q {i}", "answers": ["s"]}
            | {"annotations": [{"labels": ["supported", "partially", "supported"], "answer": f"s {i}"}]}
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
            {"doc_id": f"d{i}", "annotation_id": "1", "topic": "t", "model_name": "m", "sent_idx": str(i), "summ_sent": f"s {i}"}
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
            "chosen": {"problem": f"p {i}", "eval_solution": ["a", f"b {i}"], "subject": "s", "level": 1},
            "rejected": {"problem": f"p {i}", "eval_solution": ["a", f"c {i}"], "subject": "s", "level": 1},
        },
        lambda record: {**record, "rejected": {**record["rejected"], "problem": "another"}},
        "rejected.problem",
        ("A/B",),
        write_math_prm,
    ),
    "vicuna_bench": Shape(
        lambda i: {"idx": i, "response_source": "m", "category": "c", "instruction": prometheus_prompt(i), "gpt4_score": [1, 1, 2]},
        put("gpt4_score", [1, 2]),
        "gpt4_score",
        ("1",),
        array("vicuna_eval.json"),
    ),
    "flask_items": Shape(
        lambda i: {"idx": i, "instruction": f"q {i}", "answer": "ref", "task": "t", "skill": ["Logic"], "domain": ["d"], "difficulty": 3},
        put("skill", ["Charm"]),
        "rubrics",
        (None,),
        write_flask_items,
    ),
    "metacritique": Shape(
        lambda i: (
            {"index": i, "question": f"q {i}", "response": "r", "gpt4_answer": "ref"}
            | {
                critic: {"critique": f"{critic} {i}", "precision_score": 0.5, "recall_score": 0.5, "f1_score": 0.5}
                for critic in ("human_critique", "llm1_critique", "llm2_critique")
            }
        ),
        put("llm1_critique", {"critique": "c", "f1_score": 1.5}),
        "f1_score",
        ("3", "3", "3"),
        array("annotation_data.json"),
    ),
    "judge_arena": Shape(
        lambda i: {"name": f"m{i}", "organization": "o", "license": "l", "api_model": "a", "active": True},
        without("active"),
        "active",
        (),
        lines("models.jsonl"),
    ),
    "craft_md_grader": Shape(
        lambda i: {"case_id": f"case_{i}", "correct_ans": "c", "dermatologist_accuracy": "5", **{f"trial_{n}": "d" for n in range(5)}},
        put("dermatologist_accuracy", "6"),
        "dermatologist_accuracy",
        (),
        write_grader,
    ),
    "llmfao_votes": Shape(
        lambda i: {"id": str(i), "prompt": "8", "model_x": "1", "model_y": "2", "worker": "5", "winner": "tie", "left": "m", "right": "n"},
        put("winner", "both"),
        "winner",
        (),
        table("llmfao.csv"),
    ),
}
