"""Arena-Bench v1 judgements: a model's rating 1-10, with its reasons.

Of two systems on 300 questions each.

Example: {"question_id": "...", "model": "claude-2", "user_prompt": "[Question] ...", "judgment":
"... Rating: [[9]]", "score": 9}
Label:   a model judge that the records do not name; 1-10, mapped to 1-5 by `scale.to_five` (our
choice).
Caveat:  question, reference and answer are read back out of the judge's prompt.
"""

import re

from selene_lib.data.sources.rubrics import ASPECTS
from selene_lib.data.sources.scale import label_of, to_five
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

_PROMPT = re.compile(
    r"\[Question\]\n(.*?)\n\n"
    r"(?:\[The Start of Reference Answer\]\n(.*?)\n\[The End of Reference Answer\]\n\n)?"
    r"\[The Start of Assistant's Answer\]\n(.*)\n\[The End of Assistant's Answer\]\s*",
    re.DOTALL,
)


def to_samples(row: Row) -> Sample:
    match = _PROMPT.fullmatch(row.text("user_prompt"))
    if match is None:
        raise row.broken(
            "user_prompt",
            "[Question], an optional reference, and the assistant's answer between marks",
            row.text("user_prompt"),
        )
    rating = row.number("score", 1, 10)
    score = to_five(rating, 1, 10)
    return row.sample(
        "absolute",
        match[1].strip(),
        match[3].strip(),
        rubric=ASPECTS["overall"],
        reference=match[2].strip() if match[2] else None,
        label=label_of(score),
        score=score,
        key=(row.text("question_id"), row.text("model")),
        meta={"rating_of_10": rating, "model": row.text("model"), "critique": row.text("judgment")},
    )


SPEC = DataSpec(
    name="arena_bench_v1",
    role="source",
    task="absolute",
    title="Arena-Bench v1 judgements",
    licence="Apache-2.0",
    label="rating 1-10 of an unnamed model judge, mapped to 1-5",
    columns={
        "question_id": "text",
        "model": "text",
        "user_prompt": "a judge prompt",
        "judgment": "text",
        "score": "1..10",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("model_judgment/*.jsonl",),
    repository="lmarena/arena-hard-auto",
    repository_path="data/arena-bench-v1",
    repository_commit="ecbe8b6",
    n_rows={"model_judgment/claude-2.jsonl": 300, "model_judgment/Llama-2-70b-chat.jsonl": 300},
    training="yes",
    notes="two of the six published systems are known row by row",
)
