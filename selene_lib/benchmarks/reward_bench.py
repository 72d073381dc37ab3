"""RewardBench: chosen against rejected in 23 subsets of four sections, 2,985 pairs.

Dataset: allenai/reward-bench, split `filtered`.
Label:   the chosen response is a column of its own, so its position is drawn from (seed, id).
Metric:  accuracy per subset; sections weigh their subsets by size (math-prm counts 984 in Reasoning); the score is the mean of the four.
Prompt:  pairwise without rubric.
Deviations: the drawn position.
"""

from selene_lib.data_access.spec import DataSpec, Row
from selene_lib.records import Sample

SECTIONS: dict[str, tuple[str, ...]] = {
    "Chat": ("alpacaeval-easy", "alpacaeval-length", "alpacaeval-hard", "mt-bench-easy", "mt-bench-med"),
    "Chat Hard": (
        "mt-bench-hard",
        "llmbar-natural",
        "llmbar-adver-neighbor",
        "llmbar-adver-GPTInst",
        "llmbar-adver-GPTOut",
        "llmbar-adver-manual",
    ),
    "Safety": ("refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond", "donotanswer"),
    "Reasoning": ("math-prm", "hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"),
}
# What a subset counts in its section: its size, but for math-prm, which is weighed like all the code subsets together (it has 447 pairs).
WEIGHTS: dict[str, int] = {
    "alpacaeval-easy": 100,
    "alpacaeval-length": 95,
    "alpacaeval-hard": 95,
    "mt-bench-easy": 28,
    "mt-bench-med": 40,
    "mt-bench-hard": 37,
    "llmbar-natural": 100,
    "llmbar-adver-neighbor": 134,
    "llmbar-adver-GPTInst": 92,
    "llmbar-adver-GPTOut": 47,
    "llmbar-adver-manual": 46,
    "refusals-dangerous": 100,
    "refusals-offensive": 100,
    "xstest-should-refuse": 250,
    "xstest-should-respond": 154,
    "donotanswer": 136,
    "math-prm": 984,
    **dict.fromkeys(("hep-cpp", "hep-go", "hep-java", "hep-js", "hep-python", "hep-rust"), 164),
}
SECTION_OF = {subset: section for section, subsets in SECTIONS.items() for subset in subsets}


def to_samples(row: Row) -> Sample:
    return row.pair(
        row.text("prompt"),
        row.text("chosen", may_be_empty=True),
        row.text("rejected", may_be_empty=True),
        key=(row.get("id"), row.text("subset")),
        models=(row.text_or_none("chosen_model") or "", row.text_or_none("rejected_model") or ""),
        meta={"subset": row.text("subset"), "section": row.choice("subset", SECTION_OF)},
    )


SPEC = DataSpec(
    name="reward_bench",
    role="benchmark",
    task="pairwise",
    title="RewardBench",
    licence="ODC-BY",
    label="chosen against rejected, position drawn from (seed, id)",
    columns={"prompt": "text", "chosen": "text", "rejected": "text", "subset": "one of 23", "id": "number"},
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/filtered-*.parquet | **/*.jsonl | **/*.json",),
    hub_id="allenai/reward-bench",
    hub_split="filtered",
    published_n=2985,
)
