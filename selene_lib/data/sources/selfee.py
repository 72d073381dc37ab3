"""SelFee, MBPP part: GPT-3.5 feedback with a score on each attempt at a small programming task.

969 tasks, 1,433 attempts.

Example: {"instruction": "...", "input": "", "output": "(reference solution)", "outputs":
[{"output": "...", "feedback": "Score: 7"}]}
Label:   GPT-3.5 score of ten found in the feedback (`Score: 7` or `7 out of 10`), mapped to 1-5 by
`scale.to_five`.
Caveat:  98 % of the labels are 4 or 5, so a judge that always says 5 is hardly wrong; feedback
without one such score is dropped and counted.
"""

import re
from collections.abc import Iterator

from selene_lib.data.sources.rubrics import ASPECTS
from selene_lib.data.sources.scale import label_of, to_five
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

_SCORE = re.compile(
    r"\bscore\b\W{0,4}(?:is|of)?\s*(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)\s*(?:out of|/)\s*10\b",
    re.IGNORECASE,
)


def to_samples(row: Row) -> Iterator[Sample | DropRow]:
    """Yield one sample per attempt whose feedback names exactly one score."""
    task, given = row.text("instruction"), row.text("input", may_be_empty=True)
    if given.strip():
        task = f"{task}\n{given}"
    for attempt in row.records("outputs"):
        rating = find_score(attempt.text("feedback"))
        if rating is None:
            yield DropRow("no single score in the feedback")
            continue
        if not attempt.text("output", may_be_empty=True).strip():
            yield DropRow("a response is empty")
            continue
        score = to_five(rating, 1, 10)
        yield row.sample(
            "absolute",
            task,
            attempt.text("output"),
            rubric=ASPECTS["overall"],
            reference=row.text("output"),
            label=label_of(score),
            score=score,
            meta={"rating_of_10": rating, "critique": attempt.text("feedback")},
        )


def find_score(feedback: str) -> float | None:
    """Return the score of ten that a feedback names.

    None where it names none, several, or one outside 1-10.
    """
    found = {float(first or second) for first, second in _SCORE.findall(feedback)}
    return found.pop() if len(found) == 1 and 1 <= min(found) <= 10 else None


SPEC = DataSpec(
    name="selfee",
    role="source",
    task="absolute",
    title="SelFee (MBPP)",
    licence="CC BY-NC 4.0 (data)",
    label="GPT-3.5 score of ten in the feedback, mapped to 1-5",
    columns={
        "instruction": "text",
        "input": "text",
        "output": "text",
        "outputs": "list of {output, feedback}",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("feedback_gpt_3.5_turbo_mbpp.jsonl",),
    repository="kaistAI/SelFee",
    repository_path="outputs/flan+code+math",
    repository_commit="20e4b30",
    published_n=969,
    training="non-commercial",
    notes="98 % of the labels are 4 or 5: it hardly teaches what a bad answer is, and accuracy on "
    "it says little",
)
