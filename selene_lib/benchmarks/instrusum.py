"""InstruSum: which of two instruction-controlled summaries is better overall.

Dataset: Salesforce/InstruSum, subset `human_eval_pairwise`; the local shape is a reduced form of it with the prompt put together.
Label:   human; 1 = output_1 (227), 2 = output_2 (184); ties and pairs without consensus were removed upstream, 411 remain.
Metric:  accuracy.
Prompt:  pairwise, no rubric.
Deviations: the hub subset also holds ties, which are kept as ties; its `winner` words are read off no real row yet.
"""

from selene_lib.data_access.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "A", 2: "B"}


def to_samples(row: Row) -> Sample:
    return row.sample(
        "pairwise",
        row.text("input"),
        row.text("output_1"),
        response_b=row.text("output_2"),
        label=row.choice("label", LABELS),
    )


SPEC = DataSpec(
    name="instrusum",
    role="benchmark",
    task="pairwise",
    title="InstruSum",
    licence="none stated for the local file",
    label="human preference over two summaries",
    columns={"input": "text", "output_1": "text", "output_2": "text", "label": "1 or 2"},
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("instrusum_acc.jsonl",),
    repository="SalesforceAIResearch/SFRJudge",
    repository_path="data/instrusum",
    repository_commit="d4abf5c",
    published_n=411,
)
