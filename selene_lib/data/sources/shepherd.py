"""Shepherd: human-written critiques of answers, without a score; 1,317 rows.

Example: {"id": 0, "dataset": "GSM8K", "question": "...", "answer": "...", "feedback": "..."}
Label:   none. The critique stands in `meta`; the samples serve as examples of critiques and for the
topic map, not as labelled data.
"""

from selene_lib.data.sources.rubrics import ASPECTS
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample


def to_samples(row: Row) -> Sample:
    return row.sample(
        "absolute",
        row.text("question"),
        row.text("answer"),
        rubric=ASPECTS["correctness"],
        key=(row.get("id"),),
        meta={"dataset": row.text("dataset"), "critique": row.text("feedback")},
    )


SPEC = DataSpec(
    name="shepherd",
    role="source",
    task="absolute",
    title="Shepherd (human critiques)",
    licence="CC BY-NC 4.0",
    label="none: a human critique without score",
    columns={
        "id": "number",
        "dataset": "text",
        "question": "text",
        "answer": "text",
        "feedback": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("human_data_for_model.jsonl",),
    repository="facebookresearch/Shepherd",
    repository_path="data",
    repository_commit="29b1863",
    published_n=1317,
    training="non-commercial",
)
