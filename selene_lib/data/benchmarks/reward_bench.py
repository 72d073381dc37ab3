"""RewardBench: chosen against rejected in 23 subsets of four sections, 2,985 pairs.

Dataset: allenai/reward-bench, split `filtered`.
Label:   the chosen response is a column of its own, so its position is drawn from (seed, id).
Metric:  accuracy per subset; sections weigh their subsets by size (math-prm counts 984 in
Reasoning); the score is the mean of the four.
Prompt:  pairwise without rubric.
Deviations: the drawn position.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.paper.values import REWARD_BENCH_SECTIONS
from selene_lib.records import Sample

SECTION_OF = {
    subset: section for section, subsets in REWARD_BENCH_SECTIONS.items() for subset in subsets
}


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
    columns={
        "prompt": "text",
        "chosen": "text",
        "rejected": "text",
        "subset": "one of 23",
        "id": "number",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/filtered-*.parquet | **/*.jsonl | **/*.json",),
    hub_id="allenai/reward-bench",
    hub_split="filtered",
    published_n=2985,
)
