"""Feedback Collection: GPT-4 feedback and scores 1-5.

On 100 K responses under 1 K fine-grained rubrics.

Example: {"orig_instruction": "...", "orig_response": "...", "orig_criteria": "...",
"orig_score1_description": "...", "orig_score": "3"}
Label:   GPT-4 score 1-5. The only source the paper's authors name.
Caveat:  published as one JSON array of 1 GB, which is decoded block by block.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.prompts.rubrics import write_rubric
from selene_lib.records import Sample


def to_samples(row: Row) -> Sample:
    score = row.number("orig_score", 1, 5)
    return row.sample(
        "absolute",
        row.text("orig_instruction"),
        row.text("orig_response"),
        rubric=_rubric(row),
        reference=row.text_or_none("orig_reference_answer"),
        label=str(int(score)),
        score=score,
        meta={"critique": row.text_or_none("orig_feedback") or ""},
    )


def _rubric(row: Row) -> str:
    criterion = row.text("orig_criteria").strip().removeprefix("[").removesuffix("]")
    descriptions = [row.text(f"orig_score{score}_description") for score in range(1, 6)]
    return write_rubric(criterion, descriptions)


SPEC = DataSpec(
    name="feedback_collection",
    role="source",
    task="absolute",
    title="Feedback Collection",
    licence="CC BY 4.0",
    label="GPT-4 score 1-5 under the row's own rubric",
    columns={
        "orig_instruction": "text",
        "orig_response": "text",
        "orig_reference_answer": "text",
        "orig_criteria": "text",
        "orig_score1_description": "text (and so on to 5)",
        "orig_score": "1..5",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("new_feedback_collection.json | **/*.parquet | **/*.json*",),
    hub_id="prometheus-eval/Feedback-Collection",
    hub_files=("new_feedback_collection.json",),
    training="yes",
    stand_in=True,
    notes="the card gives the size as 100K, not the exact count",
)
