"""Preference Collection: GPT-4 preferences over 200 K pairs of responses.

Under 1 K fine-grained rubrics.

Example: {"orig_instruction": "...", "orig_response_A": "...", "orig_response_B": "...",
"orig_criteria": "...", "orig_preference": "A"}
Label:   GPT-4, A or B.
Caveat:  every pair is published in both orders (100 K for each answer), so groups share a prompt.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {"A": "A", "B": "B"}


def to_samples(row: Row) -> Sample:
    return row.sample(
        "pairwise",
        row.text("orig_instruction"),
        row.text("orig_response_A"),
        response_b=row.text("orig_response_B"),
        rubric=row.text("orig_criteria").strip().removeprefix("[").removesuffix("]"),
        reference=row.text_or_none("orig_reference_answer"),
        label=row.choice("orig_preference", LABELS),
        meta={"critique": row.text_or_none("orig_feedback") or ""},
    )


SPEC = DataSpec(
    name="preference_collection",
    role="source",
    task="pairwise",
    title="Preference Collection",
    licence="CC BY 4.0",
    label="GPT-4 preference under the row's own criterion",
    columns={
        "orig_instruction": "text",
        "orig_response_A": "text",
        "orig_response_B": "text",
        "orig_criteria": "text",
        "orig_preference": "A or B",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    hub_id="prometheus-eval/Preference-Collection",
    training="yes",
    stand_in=True,
    notes="the card gives the size as 200K; "
    "field names were read in public code that loads the set",
)
