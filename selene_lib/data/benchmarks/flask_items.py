"""FLASK items without scores, for building prompts only.

1,740 instructions, each with its skills, and ChatGPT's responses to them.

Dataset: kaistAI/FLASK, `evaluation_set/flask_evaluation.jsonl`, skill descriptions,
`model_output/outputs/chatgpt.jsonl` (1,700).
Label:   none.
Metric:  none.
Prompt:  absolute with reference, one sample per item and skill; the skill's description is the
rubric.
Deviations: items to which there is no response make no sample and are counted.
"""

from collections.abc import Iterator
from pathlib import Path

from selene_lib.data.readers import index_by, read_records
from selene_lib.data.spec import BrokenRow, DataSpec, DropRow, Row, row_or_broken
from selene_lib.prompts.rubrics import write_rubric
from selene_lib.records import Sample

_ITEMS = "flask_evaluation.jsonl"
_SKILLS = "skillset_description.json"
_RESPONSES = "model_output/chatgpt.jsonl"


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield the items, each with its `response` and the rubrics of its `skill`.

    `response` is None where there is none.
    """
    skills = index_by(folder / _SKILLS, "Skill")
    responses = index_by(folder / _RESPONSES, "question_id", _RESPONSES)
    yield from [*skills.broken, *responses.broken]
    rubrics = {}
    for name, skill in skills.items():
        place = f"{_SKILLS}, {name}"
        rubric = row_or_broken(place, Row(skill, spec, place), _rubric)
        if isinstance(rubric, BrokenRow):
            yield place, rubric.beside()
        else:
            rubrics[str(name).strip()] = rubric
    for place, item in read_records(folder / _ITEMS):
        if isinstance(item, dict):
            response = (responses.find(item.get("idx")) or {}).get("text")
            item = {**item, "response": response, "rubrics": rubrics}
        yield place, item


def _rubric(skill: Row) -> str:
    descriptions = [skill.text(f"Scoring.{score}") for score in range(1, 6)]
    return write_rubric(skill.text("Criteria"), descriptions)


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
    columns={
        "idx": "number",
        "instruction": "text",
        "answer": "text",
        "task": "text",
        "skill": "list of text",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=(_ITEMS, _SKILLS, _RESPONSES),
    repository="kaistAI/FLASK",
    repository_commit="3b4e22b",
    published_n=1740,
)
