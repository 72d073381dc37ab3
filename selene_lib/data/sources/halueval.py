"""HaluEval, general split: does a ChatGPT answer to a user's query hold hallucinated content.

Example: {"ID": "1", "user_query": "...", "chatgpt_response": "...", "hallucination": "no",
"hallucination_spans": []}
Label:   human, yes (815) or no (3,692); `Yes` of the sample means that it hallucinates.
Rubric:  the publisher's three criteria in our words (not verifiable, not factual, not relevant) and
its
exemption: what the request asks to be invented is no hallucination. 539 of the 4,507 prompts ask
for poems, stories or jokes, and 494 of these answers are labelled No.
Caveat:  JSON Lines under the name `general_data.json`.
"""

from selene_lib.data.sources.rubrics import HALLUCINATION
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {"yes": "Yes", "no": "No"}


def to_samples(row: Row) -> Sample:
    return row.sample(
        "classification",
        row.text("user_query"),
        row.text("chatgpt_response"),
        rubric=HALLUCINATION,
        label=row.choice("hallucination", LABELS),
        meta={"spans": row.items("hallucination_spans")},
    )


SPEC = DataSpec(
    name="halueval",
    role="source",
    task="classification",
    title="HaluEval (general)",
    licence="MIT",
    label="human: does the response hallucinate",
    columns={
        "user_query": "text",
        "chatgpt_response": "text",
        "hallucination": "yes or no",
        "hallucination_spans": "list of text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("general_data.json",),
    repository="RUCAIBox/HaluEval",
    repository_path="data",
    repository_commit="b7253db",
    published_n=4507,
    training="yes",
    stand_in=True,
)
