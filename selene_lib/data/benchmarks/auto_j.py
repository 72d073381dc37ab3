"""Auto-J, Eval-P: which of two responses to a real-world query is better, or are they equal.

Dataset: GAIR-NLP/auto-j, `data/test/testdata_pairwise.jsonl`, 1,392 pairs over 58 scenarios.
Label:   human; 0 = response 1 (520), 1 = response 2 (499), 2 = tie (373). Ties are kept: a judge
that may not say tie cannot pass 73.2 %.
Metric:  accuracy.
Prompt:  pairwise, no rubric of the publisher's.
Deviations: none; the field names hold a blank (`response 1`).
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import TIE, Sample

LABELS = {0: "A", 1: "B", 2: TIE}


def to_samples(row: Row) -> Sample:
    return row.sample(
        "pairwise",
        row.text("prompt"),
        row.text("response 1", may_be_empty=True),
        response_b=row.text("response 2", may_be_empty=True),
        label=row.choice("label", LABELS),
        meta={"scenario": row.text("scenario")},
    )


SPEC = DataSpec(
    name="auto_j",
    role="benchmark",
    task="pairwise",
    title="Auto-J (Eval-P)",
    licence="none stated",
    label="human preference over two responses, ties kept",
    columns={
        "prompt": "text",
        "response 1": "text",
        "response 2": "text",
        "label": "0, 1 or 2 (tie)",
        "scenario": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("testdata_pairwise.jsonl",),
    repository="GAIR-NLP/auto-j",
    repository_commit="2ae17a3",
    published_n=1392,
)
