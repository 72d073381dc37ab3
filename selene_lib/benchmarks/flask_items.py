"""FLASK items without scores: 1,740 instructions, each with its skills, and ChatGPT's responses to them. For building prompts only.

Dataset: kaistAI/FLASK, `evaluation_set/flask_evaluation.jsonl`, skill descriptions, `model_output/outputs/chatgpt.jsonl` (1,700).
Label:   none.
Metric:  none.
Prompt:  absolute with reference, one sample per item and skill; the skill's description is the rubric.
Deviations: items to which there is no response make no sample and are counted.
"""

from collections.abc import Iterator
from pathlib import Path

from selene_lib.data_access.readers import read_records
from selene_lib.data_access.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

ITEMS, SKILLS, RESPONSES = "flask_evaluation.jsonl", "skillset_description.json", "model_output/chatgpt.jsonl"


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield the items, each joined with its `response` (None where there is none) and the rubrics of its `skill`."""
    rubrics = {record["Skill"].strip(): rubric_text(record) for _, record in read_records(folder / SKILLS)}
    responses = {record["question_id"]: record["text"] for _, record in read_records(folder / RESPONSES)}
    for place, item in read_records(folder / ITEMS):
        if isinstance(item, dict):
            item = {**item, "response": responses.get(item.get("idx")), "rubrics": rubrics}
        yield place, item


def rubric_text(skill: dict) -> str:
    """Return the criterion of a skill and one line per score."""
    return "\n".join([skill["Criteria"].strip(), *(f"Score {score}: {text.strip()}" for score, text in sorted(skill["Scoring"].items()))])


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield one sample per skill of the item."""
    if not row.text_or_none("response"):
        raise DropRow("no response to this item")
    for skill in row.items("skill"):
        yield row.sample(
            "absolute",
            row.text("instruction"),
            row.text("response"),
            rubric=row.choice_of("rubrics", skill),
            reference=row.text_or_none("answer"),
            key=(row.get("idx"),),
            meta={"skill": skill, "task": row.text("task"), "item": row.get("idx")},
        )


SPEC = DataSpec(
    name="flask_items",
    folder="flask",
    role="extra",
    task="absolute",
    title="FLASK items (no scores)",
    licence="none stated",
    label="none",
    columns={"idx": "number", "instruction": "text", "answer": "text", "task": "text", "skill": "list of text"},
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=(ITEMS, SKILLS, RESPONSES),
    repository="kaistAI/FLASK",
    repository_commit="3b4e22b",
    published_n=1740,
    side_files={"flask_hard_evaluation.jsonl": 89, SKILLS: 12, RESPONSES: 1700, "model_output/alpaca_13b.jsonl": 1700},
)
