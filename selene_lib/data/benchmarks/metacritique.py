"""MetaCritique: how good is a critique; 100 questions of Shepherd with three critiques each.

Not one of the eleven benchmarks.

Dataset: GAIR-NLP/MetaCritique, `data/annotation_data.json`.
Label:   humans mark each statement of a critique right or wrong (precision) and each of a reference
         critique covered or not (recall); `score` is their F1 brought from 0-1 to 1-5 (our choice),
         `label` the nearest whole score.
Metric:  Pearson correlation with the score.
Prompt:  absolute with reference: the GPT-4 answer to the question.
Deviations: the mapping to 1-5 and the rubric are ours.
"""

from collections.abc import Iterator

from selene_lib.data.sources.scale import label_of, to_five
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

CRITICS = ("human_critique", "llm1_critique", "llm2_critique")
RUBRIC = (
    "How good is the critique of the answer: are its statements right, "
    "and does it find what there is to find?\n"
    "Score 1: It is wrong or misses everything.\n"
    "Score 2: Little of it is right, or much is missed.\nScore 3: Half of it is right.\n"
    "Score 4: It is mostly right and complete.\nScore 5: It is right and complete."
)


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield one sample per critique."""
    question, answer = row.text("question"), row.text("response")
    for critic in CRITICS:
        critique = row.record(critic)
        f1 = critique.number("f1_score", 0, 1)
        score = to_five(f1, 0, 1)
        yield row.sample(
            "absolute",
            f"Criticise this answer to the question.\n\nQuestion: {question}\n\nAnswer: {answer}",
            critique.text("critique").strip(),
            rubric=RUBRIC,
            reference=row.text_or_none("gpt4_answer"),
            label=label_of(score),
            score=score,
            key=(row.get("index"), critic),
            meta={
                "critic": critic,
                "f1": f1,
                "precision": critique.number("precision_score", 0, 1),
                "recall": critique.number("recall_score", 0, 1),
            },
        )


SPEC = DataSpec(
    name="metacritique",
    role="extra",
    task="absolute",
    title="MetaCritique",
    licence="Apache-2.0",
    label="F1 of human precision and recall marks, mapped to 1-5",
    columns={
        "index": "number",
        "question": "text",
        "response": "text",
        **dict.fromkeys(CRITICS, "record of critique and scores"),
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("annotation_data.json",),
    repository="GAIR-NLP/MetaCritique",
    repository_path="data",
    repository_commit="2868c7c",
    published_n=100,
    notes="its questions are Shepherd's",
)
