"""The published shape of every training source."""

from __future__ import annotations

from pathlib import Path

from published_shapes import Shape, array, lines, messages, parquet, put, table, without


def write_ragtruth(folder: Path, records: list[dict]) -> None:
    lines("response.jsonl")(folder, records)
    sources = [
        {"source_id": f"s{i}", "task_type": "QA", "source": "M", "prompt": f"prompt {i}"}
        for i in range(len(records))
    ]
    lines("source_info.jsonl")(folder, sources)


def auto_j_prompt(i: int) -> str:
    fields = f"[Query]: query {i}\n***\n[Response]: response {i}\n***"
    return f"Write critiques\n[BEGIN DATA]\n***\n{fields}\n[END DATA]\n\nWrite critiques."


def arena_prompt(i: int) -> str:
    return (
        f"[Question]\nquestion {i}\n\n"
        f"[The Start of Reference Answer]\nreference {i}\n[The End of Reference Answer]\n\n"
        f"[The Start of Assistant's Answer]\nanswer {i}\n[The End of Assistant's Answer]"
    )


ORIG = {
    "orig_criteria": "[good?]",
    **{f"orig_score{n}_description": f"line {n}" for n in range(1, 6)},
}
ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")

SHAPES: dict[str, Shape] = {
    "feedback_collection": Shape(
        lambda i: {
            "orig_instruction": f"q {i}",
            "orig_response": f"r {i}",
            "orig_reference_answer": "ref",
            "orig_score": "3",
            **ORIG,
        },
        put("orig_score", "6"),
        "orig_score",
        ("3",),
        array("new_feedback_collection.json"),
    ),
    "preference_collection": Shape(
        lambda i: (
            {
                "orig_instruction": f"q {i}",
                "orig_response_A": f"a {i}",
                "orig_response_B": f"b {i}",
                "orig_preference": "B",
            }
            | {"orig_criteria": "good?", "orig_reference_answer": "ref"}
        ),
        put("orig_preference", "C"),
        "orig_preference",
        ("B",),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "helpsteer": Shape(
        lambda i: {
            "prompt": f"p {i}",
            "response": f"r {i}",
            "helpfulness": 3,
            "correctness": 4,
            "coherence": 0,
            "complexity": 1,
        },
        put("correctness", 5),
        "correctness",
        ("4", "5", "1"),
        lines("train.jsonl.gz"),
    ),
    "helpsteer2": Shape(
        lambda i: {
            "prompt": f"p {i}",
            "response": f"r {i}",
            "helpfulness": 2,
            "correctness": 1,
            "coherence": 4,
            "verbosity": 1,
        },
        put("helpfulness", None),
        "helpfulness",
        ("3", "2", "5"),
        lines("train.jsonl"),
    ),
    "ultrafeedback": Shape(
        lambda i: {
            "source": "flan",
            "instruction": f"q {i}",
            "completions": [
                {
                    "model": "m",
                    "response": f"r {i}",
                    "annotations": {a: {"Rating": "2", "Rationale": "w"} for a in ASPECTS},
                }
            ],
        },
        put(
            "completions",
            [{"model": "m", "response": "r", "annotations": {"honesty": {"Rating": "2"}}}],
        ),
        "annotations.instruction_following.Rating",
        ("2", "2", "2", "2"),
        lines("flan.jsonl"),
    ),
    "code_ultrafeedback": Shape(
        lambda i: {
            "instruction": f"q {i}",
            "preference": "readability",
            "responses": [
                {"model": "m", "response": f"r {i}"},
                {"model": "n", "response": f"s {i}"},
            ],
            "annotations": [
                {"model": "m", "rating": "5", "rationale": "w"},
                {"model": "n", "rating": "1", "rationale": "w"},
            ],
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
        lambda i: {
            "chosen": messages(f"q {i}", f"good {i}"),
            "rejected": messages(f"q {i}", f"bad {i}"),
            "source": "s",
        },
        put("rejected", messages("q")),
        "rejected",
        ("A/B",),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "chatbot_arena": Shape(
        lambda i: (
            {
                "question_id": f"id{i}",
                "model_a": "m",
                "model_b": "n",
                "winner": "tie (bothbad)",
                "language": "English",
            }
            | {
                "conversation_a": messages(f"q {i}", f"a {i}"),
                "conversation_b": messages(f"q {i}", f"b {i}"),
            }
        ),
        put("winner", "both"),
        "winner",
        ("tie",),
        parquet("data/train-00000-of-00001.parquet"),
    ),
    "hh_rlhf": Shape(
        lambda i: {
            "chosen": f"\n\nHuman: q {i}\n\nAssistant: good {i}",
            "rejected": f"\n\nHuman: q {i}\n\nAssistant: bad {i}",
        },
        put("chosen", "no turns"),
        "chosen",
        ("A/B",),
        lines("helpful-base/train.jsonl.gz"),
    ),
    "beavertails": Shape(
        lambda i: {
            "prompt": f"p {i}",
            "response": f"r {i}",
            "category": {"animal_abuse": True, "terrorism": False},
            "is_safe": False,
        },
        put("is_safe", "maybe"),
        "is_safe",
        ("No",),
        lines("round0/330k/train.jsonl.xz"),
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
            {
                "id": f"r{i}",
                "source_id": f"s{i}",
                "model": "m",
                "split": "train",
                "quality": "good",
                "response": f"answer {i}",
            }
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
            {
                "gem_id": f"g{i}",
                "worker_lang": "en-US",
                "summary": f"summary {i}",
                "model": "m",
                "question1": "Yes",
                "question2": "No",
            }
            | {"question3": "Yes", "question4": "Yes", "question5": "Unsure", "question6": "Yes"}
        ),
        put("summary", ""),
        "summary",
        ("Yes", "No", "Yes"),
        table("train.tsv", "\t"),
    ),
    "auto_j_training": Shape(
        lambda i: {
            "usrmsg": auto_j_prompt(i),
            "target_output": "Rating: [[7]]",
            "pred_score": 7.0,
            "scenario": "s",
            "source_dataset": "d",
        },
        put("usrmsg", "another prompt"),
        "usrmsg",
        ("4",),
        lines("single_traindata.jsonl"),
    ),
    "alpaca_eval_cot": Shape(
        lambda i: (
            {
                "instruction": f"q {i}",
                "output_1": f"a {i}",
                "generator_1": "m",
                "dataset": "d",
                "output_2": f"b {i}",
            }
            | {
                "generator_2": "n",
                "preference": 1.5,
                "price_per_example": None,
                "raw_completion": None,
            }
        ),
        put("preference", float("nan")),
        "preference",
        ("tie",),
        array("annotations.json"),
    ),
    "fine_grained_rlhf": Shape(
        lambda i: (
            {
                "question": f"q {i}",
                "passages": [["title", "sentence"]],
                "preference": [0, 1, 2, 1, 1, 2],
            }
            | {f"prediction {n}": f"p {n} of {i}" for n in range(1, 5)}
        ),
        put("preference", [0, 1, 2]),
        "preference",
        ("tie", "A", "B", "A", "A", "B"),
        array("dev_feedback.json"),
    ),
    "felm": Shape(
        lambda i: (
            {
                "index": str(i),
                "domain": "math",
                "prompt": f"p {i}",
                "response": float("nan"),
                "segmented_response": ["a", f"b {i}"],
            }
            | {"labels": [True, False]}
        ),
        put("labels", [True]),
        "labels",
        ("No",),
        lines("all.jsonl"),
    ),
    "shepherd": Shape(
        lambda i: {
            "id": i,
            "dataset": "GSM8K",
            "question": f"q {i}",
            "answer": f"a {i}",
            "feedback": "f",
        },
        without("feedback"),
        "feedback",
        (None,),
        lines("human_data_for_model.jsonl"),
    ),
    "xstest": Shape(
        lambda i: (
            {
                "id": f"v2-{i}",
                "type": "t",
                "prompt": f"p {i}",
                "completion": f"several\nlines, {i}",
                "annotation_1": "x",
            }
            | {"annotation_2": "x", "agreement": "TRUE", "final_label": "3_partial_refusal"}
        ),
        put("final_label", "4_other"),
        "final_label",
        ("Yes",),
        table("xstest_v2_completions_m.csv"),
    ),
    "selfee": Shape(
        lambda i: {
            "instruction": f"q {i}",
            "input": "",
            "output": "ref",
            "outputs": [{"output": f"r {i}", "feedback": "Good. Score: 9"}],
        },
        put("outputs", "none"),
        "outputs",
        ("5",),
        lines("feedback_gpt_3.5_turbo_mbpp.jsonl"),
    ),
    "arena_bench_v1": Shape(
        lambda i: {
            "question_id": f"id{i}",
            "model": "m",
            "user_prompt": arena_prompt(i),
            "judgment": "Rating: [[1]]",
            "score": 1,
        },
        put("score", 11),
        "score",
        ("1",),
        lines("model_judgment/other-model.jsonl"),
    ),
}
