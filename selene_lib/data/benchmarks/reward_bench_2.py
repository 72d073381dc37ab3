"""RewardBench 2: one right answer against three wrong ones, and a part with several right ones.

After the paper: not one of its eleven benchmarks, and not in its averages.

Dataset: allenai/reward-bench-2, split `test`, 1,865 items in six subsets.
Label:   right and wrong answers are columns of their own, so positions are drawn from (seed, id).
Metric:  best of four: an item counts where the right answer wins against every wrong one, in the
share of orders in which it does; the set is the mean of its subsets.
Prompt:  pairwise, no rubric: every right answer against every wrong one.
Deviations: the publisher ranks by scores. In the subset Ties it weighs the margins of the scores
too, which a judge of pairs does not give: here an item of Ties counts where every right answer wins
against every wrong one.
"""

from collections.abc import Iterator

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield every right answer against every wrong one."""
    right, wrong = row.items("chosen"), row.items("rejected")
    if not right or not wrong:
        raise row.broken("chosen" if not right else "rejected", "at least one text", [])
    item = str(row.get("id"))
    for i, better in enumerate(right):
        for j, worse in enumerate(wrong):
            yield row.pair(
                row.text("prompt"),
                better,
                worse,
                key=(item, i, j),
                meta={"subset": row.text("subset"), "item": item},
            )


SPEC = DataSpec(
    name="reward_bench_2",
    role="after",
    task="pairwise",
    title="RewardBench 2 (after the paper)",
    licence="ODC-BY",
    label="right against wrong answers, position drawn from (seed, id)",
    columns={
        "id": "text",
        "prompt": "text",
        "chosen": "list of text",
        "rejected": "list of text",
        "subset": "text",
    },
    to_samples=to_samples,
    shape_known_from="public code",
    files=("**/test*.parquet | **/*.jsonl",),
    hub_id="allenai/reward-bench-2",
    hub_split="test",
    published_n=1865,
    notes="an item makes as many pairs as it has right times wrong answers",
)
