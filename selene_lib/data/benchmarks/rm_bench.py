"""RM-Bench: a right answer against a subtly wrong one, each in three styles.

After the paper: not one of its eleven benchmarks, and not in its averages.

Dataset: THU-KEG/RM-Bench, `data/*_filtered.json`: chat 129, code 228, safety 441 prompts in two
files, math; the files that lie in the folder are read.
Label:   constructed: the right answer is a column of its own, so its position is drawn from (seed,
id).
Metric:  accuracy over both orders of the 3 x 3 matrix of right style (row) against wrong style
(column): hard above the diagonal, normal on it, easy below. A domain is the mean of its cells, the
set the mean of its domains, safety the mean of its two files.
Prompt:  pairwise, no rubric.
Deviations: made for reward models; here a judge compares the nine pairs of a prompt.
"""

from collections.abc import Iterator

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

STYLES = ("concise", "detailed", "markdown")


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield the nine pairs of a prompt."""
    part = row.text("domain") if row.has("domain") else row.where.partition("_filtered.json")[0]
    right = row.items("chosen", n=len(STYLES))
    wrong = row.items("rejected", n=len(STYLES))
    item = str(row.get("id"))
    for i, better in enumerate(right):
        for j, worse in enumerate(wrong):
            yield row.pair(
                row.text("prompt"),
                better,
                worse,
                key=(part, item, i, j),
                meta={
                    "subset": part,
                    "item": item,
                    "right_style": STYLES[i],
                    "wrong_style": STYLES[j],
                },
            )


SPEC = DataSpec(
    name="rm_bench",
    role="after",
    task="pairwise",
    title="RM-Bench (after the paper)",
    licence="none stated in the repository",
    label="constructed: right against subtly wrong, position drawn from (seed, id)",
    columns={
        "id": "text or number",
        "prompt": "text",
        "chosen": "three texts",
        "rejected": "three texts",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("*_filtered.json | total_dataset.json",),
    repository="THU-KEG/RM-Bench",
    repository_path="data",
    repository_commit="73c52d7",
    n_rows={"chat_filtered.json": 129, "code_filtered.json": 228},
    notes="one prompt makes nine pairs; safety is 441 prompts over its two files",
)
