"""Fine-Grained RLHF, QA feedback: six human preferences over four answers to each question.

They come with the passages the answers should rest on.

Example: {"question": "...", "passages": [["title", "sentence", ...]], "prediction 1": "...", ...,
"preference": [0, 1, 2, 1, 1, 2]}
Label:   human, pairs in the order 1v2, 1v3, 1v4, 2v3, 2v4, 3v4; 1 = first (1,577), 2 = second
(1,039), 0 = no preference (384), a tie.
Caveat:  the development split only; a few questions also stand in FLASK.
"""

from collections.abc import Iterator
from itertools import combinations

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import TIE, Sample

LABELS = {1: "A", 2: "B", 0: TIE}
PAIRS = tuple(combinations((1, 2, 3, 4), 2))
RUBRIC = (
    "Which answer serves the question better: relevant, supported by the passages, and complete?"
)


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield the six pairs of one question."""
    preferences = row.items("preference", int, n=len(PAIRS))
    passages = "\n\n".join(" ".join(passage) for passage in row.items("passages", list))
    for (first, second), preference in zip(PAIRS, preferences):
        if preference not in LABELS:
            raise row.broken("preference", "six of 0, 1, 2", preferences)
        yield row.sample(
            "pairwise",
            f"{row.text('question')}\n\nPassages:\n{passages}",
            row.text(f"prediction {first}"),
            response_b=row.text(f"prediction {second}"),
            rubric=RUBRIC,
            label=LABELS[preference],
            key=(first, second),
            group=row.text("question"),
            meta={"pair": [first, second]},
        )


SPEC = DataSpec(
    name="fine_grained_rlhf",
    role="source",
    task="pairwise",
    title="Fine-Grained RLHF (QA feedback)",
    licence="Apache-2.0",
    label="human preference over two of four answers",
    columns={
        "question": "text",
        "passages": "list of lists",
        "preference": "six of 0, 1, 2",
        **{f"prediction {i}": "text" for i in range(1, 5)},
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("dev_feedback.json",),
    repository="allenai/FineGrainedRLHF",
    repository_path="tasks/qa_feedback/data",
    repository_commit="a1469d4",
    published_n=500,
    training="yes",
    notes="500 questions make 3,000 samples",
)
