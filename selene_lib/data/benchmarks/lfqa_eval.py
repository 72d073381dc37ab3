"""LFQA-Eval: experts of seven fields say which of two long-form answers is better.

Dataset: carriex/lfqa_eval, `raw_annotation_data/Annotated_Dataset/*.json`, 13 files of 20 = 260
pairs.
Label:   human experts, `Answer A` (140) or `Answer B` (120).
Metric:  accuracy.
Prompt:  pairwise, no rubric.
Deviations: the HTML line breaks of the annotation tool (`<br />`) are read as line breaks.
"""

import re

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {"Answer A": "A", "Answer B": "B"}
_BREAK = re.compile(r"\s*<br\s*/?>\s*")


def to_samples(row: Row) -> Sample:
    return row.sample(
        "pairwise",
        plain(row.text("question_text")),
        plain(row.text("answer1")),
        response_b=plain(row.text("answer2")),
        label=row.choice("BetterAnswer", LABELS),
        key=(row.get("annotation_id"),),
        meta={
            "field": row.where.split("/")[-1].partition("_")[0],
            "annotator": row.get("annotator"),
            "hard_to_choose": row.text_or_none("DifficultToChoose") or "",
        },
    )


def plain(text: str) -> str:
    """Return the text with HTML line breaks as line breaks."""
    return _BREAK.sub("\n", text)


SPEC = DataSpec(
    name="lfqa_eval",
    role="benchmark",
    task="pairwise",
    title="LFQA-Eval",
    licence="none stated",
    label="expert preference over two long answers",
    columns={
        "question_text": "text",
        "answer1": "text",
        "answer2": "text",
        "BetterAnswer": "Answer A or Answer B",
        "annotation_id": "number",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("Annotated_Dataset/*.json",),
    repository="carriex/lfqa_eval",
    repository_path="raw_annotation_data",
    repository_commit="4aa34f9",
    published_n=260,
)
