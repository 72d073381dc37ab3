"""FinanceBench: is a model's answer to a question about a company filing correct.

Dataset: patronus-ai/financebench, 150 questions with gold answers and evidence, and 16
configurations' answers to each: 2,400 rows.
Label:   human; Correct Answer (1,135) -> Yes, Incorrect Answer (528) and Refusal (737) -> No, the
three-way label stays in `meta`.
Metric:  accuracy; which items the published number stands on is not published, so several readings
are reported elsewhere.
Prompt:  classification with reference: the gold answer, the expert's justification and the
evidence.
Deviations: our choice of reference; a refusal is no correct answer, and `meta["refusal"]` lets a
reading leave it out.
"""

from collections.abc import Iterator
from pathlib import Path

from selene_lib.data.readers import index_by, read_records
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

_QUESTIONS = "financebench_open_source.jsonl"
LABELS = {"Correct Answer": "Yes", "Incorrect Answer": "No", "Refusal": "No"}
RUBRIC = (
    "Is the answer to the question correct, judged by the reference?\n"
    "Yes: it states the same result as the reference; another rounding, unit or wording is fine.\n"
    "No: it is wrong, misses the result, or declines to answer."
)


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield the judged answers, each joined with its question's record under `item`.

    `item` is None where the question is unknown.
    """
    items = index_by(folder / _QUESTIONS, "financebench_id")
    yield from items.broken
    for path in sorted((folder / "results").glob("*.jsonl")):
        for place, row in read_records(path, f"results/{path.name}"):
            if isinstance(row, dict):
                row = {**row, "item": items.find(row.get("financebench_id"))}
            yield place, row


def to_samples(row: Row) -> Sample:
    item = row.record("item")
    question = item.text("question")
    if row.text("question") != question:
        raise row.broken(
            "question", f"the question of {item.text('financebench_id')}", row.text("question")
        )
    return row.sample(
        "classification",
        f"{question}\n\nCompany: {item.text('company')}\nDocument: {item.text('doc_name')}",
        str(row.get("model_answer", "text or a number")),
        rubric=RUBRIC,
        reference=_reference(item),
        label=row.choice("label", LABELS),
        key=(item.text("financebench_id"), row.text("model_name"), row.text("eval_mode")),
        group=item.text("financebench_id"),
        meta={
            "human_label": row.text("label"),
            "refusal": row.text("label") == "Refusal",
            "model": row.text("model_name"),
            "eval_mode": row.text("eval_mode"),
            "question_id": item.text("financebench_id"),
            "question_type": item.text("question_type"),
            "gold_answer": item.text("answer"),
        },
    )


def _reference(item: Row) -> str:
    """Return the gold answer, the expert's justification if there is one, and the evidence."""
    parts = [item.text("answer").strip()]
    if justification := item.text_or_none("justification"):
        parts.append(f"Justification: {justification.strip()}")
    for evidence in item.records("evidence"):
        parts.append(f"Evidence: {evidence.text('evidence_text').strip()}")
    return "\n\n".join(parts)


SPEC = DataSpec(
    name="financebench",
    role="domain",
    task="classification",
    title="FinanceBench",
    licence="none stated",
    label="human review of a model answer: correct or not (refusals flagged)",
    columns={
        "financebench_id": "text",
        "model_name": "text",
        "eval_mode": "text",
        "question": "text",
        "model_answer": "text or a number",
        "label": "Correct Answer, Incorrect Answer or Refusal",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=(_QUESTIONS, "results/*.jsonl"),
    repository="patronus-ai/financebench",
    repository_commit="cc39aeb",
    published_n=2400,
)
