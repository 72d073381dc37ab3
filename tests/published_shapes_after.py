"""The published shape of the sets that came after the paper."""

from __future__ import annotations

from pathlib import Path

from published_shapes import Shape, array, lines, parquet, put

from selene_lib.data.benchmarks.contextual_judge_bench import SPLITS
from selene_lib.data.benchmarks.llmbar import SUBSETS


def write_llmbar(folder: Path, records: list[dict]) -> None:
    """Records in the first part, the other four parts empty."""
    for number, part in enumerate(SUBSETS):
        array(f"{part}/dataset.json")(folder, records if number == 0 else [])


def write_contextual(folder: Path, records: list[dict]) -> None:
    """Records in the first split, the other seven empty."""
    for number, split in enumerate(SPLITS):
        lines(f"data/{split}.jsonl")(folder, records if number == 0 else [])


SHAPES: dict[str, Shape] = {
    "judgebench": Shape(
        lambda i: {
            "pair_id": f"p{i}",
            "original_id": str(i),
            "source": "livebench-math",
            "question": f"q {i}",
            "response_model": "m",
            "response_A": f"a {i}",
            "response_B": f"b {i}",
            "label": "B>A",
        },
        put("label", "A=B"),
        "label",
        ("B",),
        lines("dataset=judgebench,response_model=m.jsonl"),
    ),
    "llmbar": Shape(
        lambda i: {"input": f"q {i}", "output_1": f"a {i}", "output_2": f"b {i}", "label": 2},
        put("label", 3),
        "label",
        ("B",),
        write_llmbar,
    ),
    "rm_bench": Shape(
        lambda i: {
            "id": f"chat_{i}",
            "subset": "helpful",
            "prompt": f"q {i}",
            "chosen": [f"right {i} {n}" for n in range(3)],
            "rejected": [f"wrong {i} {n}" for n in range(3)],
            "error_key": "k",
            "error": "e",
        },
        put("rejected", ["only", "two"]),
        "rejected",
        ("A/B",) * 9,
        array("chat_filtered.json"),
    ),
    "contextual_judge_bench": Shape(
        lambda i: {
            "question_id": str(i),
            "question": f"q {i}",
            "context": f"c {i}",
            "positive_response": f"right {i}",
            "negative_response": f"wrong {i}",
        },
        put("context", None),
        "context",
        ("A/B",),
        write_contextual,
    ),
    "reward_bench_2": Shape(
        lambda i: {
            "id": str(i),
            "prompt": f"q {i}",
            "chosen": [f"right {i}"],
            "rejected": [f"wrong {i} {n}" for n in range(3)],
            "num_correct": 1,
            "total_completions": 4,
            "subset": "Factuality",
        },
        put("chosen", []),
        "chosen",
        ("A/B",) * 3,
        parquet("data/test-00000-of-00001.parquet"),
    ),
}
