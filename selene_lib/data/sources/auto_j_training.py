"""Auto-J training data: 960 single responses with a GPT-4 critique and a rating 1-10.

Example: {"usrmsg": "...[Query]: ... [Response]: ...", "target_output": "... Rating: [[3]]",
"pred_score": 3.0, "scenario": "planning"}
Label:   GPT-4 rating 1-10, mapped to 1-5 by `scale.to_five` (our choice).
Caveat:  about 65 of its texts also stand in the Auto-J benchmark; the pairwise training file is not
among the small public files.
"""

import re

from selene_lib.data.sources.rubrics import ASPECTS
from selene_lib.data.sources.scale import label_of, to_five
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

_PROMPT = re.compile(
    r"\[BEGIN DATA\]\n\*\*\*\n\[Query\]: (.*?)\n\*\*\*\n\[Response\]: (.*)\n\*\*\*\n\[END DATA\]",
    re.DOTALL,
)


def to_samples(row: Row) -> Sample:
    match = _PROMPT.search(row.text("usrmsg"))
    if match is None:
        raise row.broken(
            "usrmsg",
            "a judge prompt with [Query] and [Response] between [BEGIN DATA] and [END DATA]",
            row.text("usrmsg"),
        )
    rating = row.number("pred_score", 1, 10)
    score = to_five(rating, 1, 10)
    return row.sample(
        "absolute",
        match[1],
        match[2],
        rubric=ASPECTS["overall"],
        label=label_of(score),
        score=score,
        meta={
            "scenario": row.text("scenario"),
            "rating_of_10": rating,
            "critique": row.text("target_output"),
        },
    )


SPEC = DataSpec(
    name="auto_j_training",
    role="source",
    task="absolute",
    title="Auto-J training data",
    licence="none stated",
    label="GPT-4 rating 1-10 with critique, mapped to 1-5",
    columns={
        "usrmsg": "a judge prompt",
        "target_output": "text",
        "pred_score": "1..10",
        "scenario": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("single_traindata.jsonl",),
    repository="GAIR-NLP/auto-j",
    repository_path="data/training",
    repository_commit="2ae17a3",
    published_n=960,
    training="not stated",
    stand_in=True,
    notes="no licence is stated: internal research use only, do not redistribute",
)
