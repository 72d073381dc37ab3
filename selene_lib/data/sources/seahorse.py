"""SEAHORSE: human yes/no ratings of 96 K summaries in six languages on six questions.

Example: a tab-separated row: gem_id, worker_lang, summary, model, question1 .. question6
Label:   human Yes or No; anything else is dropped and counted. After a No on question 1 the others
were not asked.
Caveat:  the articles are **not** in the files (they are found by `gem_id` in GEM). Questions 1-3
         need the summary only and are read as published; questions 4-6 need the article and make
         samples only where a column `article` was joined to the rows.
"""

from collections.abc import Iterator

from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

LABELS = {"Yes": "Yes", "No": "No"}
WITHOUT_ARTICLE = {
    "question1": "Can the summary be read and understood?",
    "question2": "Is the summary free of needless repetition?",
    "question3": "Is the summary free of faults of grammar?",
}
WITH_ARTICLE = {
    "question4": "Is all the summary says supported by the article?",
    "question5": "Does the summary give the main ideas of the article?",
    "question6": "Does the summary give them concisely?",
}
RUBRIC = "{question}\nYes: it does.\nNo: it does not."


def to_samples(row: Row) -> Iterator[Sample | DropRow]:
    """Yield one sample per question that was asked and answered Yes or No."""
    article = row.text_or_none("article")
    instruction, questions = "Write a summary of an article.", WITHOUT_ARTICLE
    if article:
        instruction = f"Summarise this article:\n{article}"
        questions = {**WITHOUT_ARTICLE, **WITH_ARTICLE}
    for column, question in questions.items():
        answer = row.text_or_none(column)
        if answer not in LABELS:
            is_asked = answer is not None
            yield DropRow("rating is neither Yes nor No" if is_asked else "question not asked")
            continue
        yield row.sample(
            "classification",
            instruction,
            row.text("summary"),
            rubric=RUBRIC.format(question=question),
            label=LABELS[answer],
            key=(row.text("gem_id"), row.text("model")),
            group=row.text("gem_id"),
            meta={
                "question": column,
                "language": row.text("worker_lang"),
                "model": row.text("model"),
            },
        )


SPEC = DataSpec(
    name="seahorse",
    role="source",
    task="classification",
    title="SEAHORSE",
    licence="CC BY 4.0",
    label="human yes/no on questions of summary quality",
    columns={
        "gem_id": "text",
        "worker_lang": "text",
        "summary": "text",
        "model": "text",
        "question1": "Yes, No or another word",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/train.tsv | **/*train*.tsv | **/*.parquet",),
    repository="google-research-datasets/seahorse",
    training="yes",
    stand_in=True,
    notes="published without the articles: questions 4 to 6 are read only where a column `article` "
    "was joined; the zip of the three .tsv files is linked in the repository's README; "
    "the train file is read",
)
