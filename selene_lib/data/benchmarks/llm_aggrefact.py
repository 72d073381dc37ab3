"""LLM-AggreFact: is a claim supported by its document; ten or eleven factuality sets in one form.

Dataset: lytang/LLM-AggreFact at 29e308a0c0c8af012943b70293dfb937811f13c6 (before RAGTruth was added
in August 2024), split `test`, 12,949 rows; gated.
Label:   1 = supported (Yes), 0 = not (No). The licence forbids training on it.
Metric:  accuracy (the public leaderboard's macro balanced accuracy is another number).
Prompt:  classification; the document is the instruction's text.
Deviations: our wording of the instruction. Its public components are read from their own publishers
as `component` sets.
"""

from selene_lib.data.benchmarks.grounded import claim_sample
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "Yes", 0: "No"}


def to_samples(row: Row) -> Sample:
    return claim_sample(
        row,
        row.text("doc"),
        row.text("claim"),
        row.choice("label", LABELS),
        meta={"dataset": row.text("dataset")},
    )


SPEC = DataSpec(
    name="llm_aggrefact",
    role="benchmark",
    task="classification",
    title="LLM-AggreFact",
    licence="CC BY-ND 4.0; gated, forbids training on it",
    label="1 = the document supports the claim",
    columns={"dataset": "text", "doc": "text", "claim": "text", "label": "1 or 0"},
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/test*.parquet | **/test*.jsonl | **/test*.csv",),
    hub_id="lytang/LLM-AggreFact",
    hub_split="test",
    hub_revision="29e308a0c0c8af012943b70293dfb937811f13c6",
    published_n=12949,
    gated=True,
    notes="12,949 test rows (15,080 for development) at this revision; a later one, with RAGTruth "
    "added, has 29,320 and is another set. The public leaderboard is the mean over 11 parts of "
    "balanced accuracy, not the accuracy here",
)
