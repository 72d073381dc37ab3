"""CRAFT-MD: three yes/no questions of physicians about a conversation.

A clinical model talks to a simulated patient.

Dataset: rajpurkarlab/craft-md, `expert_annotations/`: two workbooks with one sheet per clinical
         model (240 annotated rows), and one with tie-breaks.
Label:   180 conversations, 60 of them with two annotators; where they differ the tie-break decides.
         The three questions are diagnosis (is one most likely diagnosis reached?), history (is all
         key information of the vignette covered?), terminology (does the simulated patient speak in
         medical terms?). 540 samples; always "No" scores .672 / .594 / .928.
Metric:  accuracy per question, beside the majority baseline, balanced accuracy and kappa.
Prompt:  classification; the vignette is the reference of the history question only.
Deviations: our wording of the questions; the published results do not say how the two annotators
were joined.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selene_lib.data.spec import BrokenRow, DataSpec, Row
from selene_lib.data.workbooks import read_sheets
from selene_lib.records import Sample

ANNOTATORS = {
    "d1": "validation_clinicalllm_patientai_d1.xlsx",
    "d2": "validation_clinicalllm_patientai_d2.xlsx",
    "tie_break": "validation_clinicallm_patientai_tiebreak_d3.xlsx",
}
_YES_NO = {"yes": "Yes", "Yes": "Yes", "YES": "Yes", "no": "No", "No": "No", "NO": "No"}
COLUMNS = (
    "case_id",
    "case_vignette",
    "question",
    "multi-turn conversation",
    "final diagnosis",
    "correct diagnosis",
    "Q1",
    "Q2",
    "Q3",
)
_QUESTIONS = {"diagnosis": "Q1", "history": "Q2", "terminology": "Q3"}
_RUBRICS = {
    "diagnosis": "Does the conversation allow one single most likely diagnosis to be reached?\n"
    "Yes: one diagnosis is clearly the most likely.\n"
    "No: several remain equally likely, or none can be named.",
    "history": "Does the conversation bring out all key information of the vignette, "
    "physical examination and laboratory results apart?\n"
    "Yes: all key information was brought out.\nNo: some key information is missing.",
    "terminology": "Does the patient in the conversation use medical terminology?\n"
    "Yes: the patient speaks in medical terms.\nNo: the patient speaks in everyday words.",
}
_INSTRUCTION = (
    "A clinical model (Doctor-AI) takes the history of a simulated patient (Patient-AI). "
    "The response is the whole conversation."
)


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield one record per conversation.

    Texts of the sheet, and `votes` = {question: {annotator: Yes or No}}.
    """
    merged: dict[tuple[str, str], tuple[str, dict[str, Any] | BrokenRow]] = {}
    for annotator, name in ANNOTATORS.items():
        for place, model, cells in _read_annotations(folder / "expert_annotations" / name):
            no_votes: dict[str, dict[str, str]] = {question: {} for question in _QUESTIONS}
            fresh = (place, {**cells, "model": model, "votes": no_votes})
            key = (model, cells["case_id"])
            place, record = merged.setdefault(key, fresh)
            if isinstance(record, BrokenRow):
                continue
            said = cells["multi-turn conversation"]
            if said != record["multi-turn conversation"]:
                expected = "the text that the other annotator saw"
                broken = BrokenRow(place, "multi-turn conversation", expected, said)
                merged[key] = (place, broken)
                continue
            for question, column in _QUESTIONS.items():
                if cells[column] is not None:
                    record["votes"][question][annotator] = cells[column]
    yield from merged.values()


def _read_annotations(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (place, clinical model, cells by column) of one annotator's workbook.

    The header row starts with `case_id`.
    """
    for model, rows in read_sheets(path, broken_cells=True):
        sheet = f"{path.name}, sheet {model}"
        start = next((i for i, row in enumerate(rows) if row[0] == "case_id"), None)
        if start is None:
            found: object = "no row that starts with case_id"
            raise BrokenRow(sheet, "(header)", ", ".join(COLUMNS), found)
        header = zip(rows[start], COLUMNS)
        if not all(str(cell).startswith(name) for cell, name in header):
            found = rows[start][: len(COLUMNS)]
            raise BrokenRow(sheet, "(header)", ", ".join(COLUMNS), found)
        for number, row in enumerate(rows[start + 1 :], 1):
            place = f"expert_annotations/{sheet}, row {number}"
            yield place, model, {**dict.fromkeys(COLUMNS), **dict(zip(COLUMNS, row))}


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield one sample per question."""
    for question in _QUESTIONS:
        given = Row(row.values["votes"][question], row.spec, row.where)
        votes = {who: given.choice(who, _YES_NO) for who in given.values}
        first = {vote for who, vote in votes.items() if who != "tie_break"}
        yield row.sample(
            "classification",
            _INSTRUCTION,
            row.text("multi-turn conversation").strip(),
            rubric=_RUBRICS[question],
            reference=row.text("case_vignette").strip() if question == "history" else None,
            label=_adjudicate(row, question, votes),
            key=(row.text("case_id"), row.text("model")),
            group=f"craft_md {row.text('case_id')}",
            meta={
                "question": question,
                "votes": votes,
                "disagreed": len(first) > 1,
                "model": row.text("model"),
                "case_id": row.text("case_id"),
            },
        )


def _adjudicate(row: Row, question: str, votes: dict[str, str]) -> str:
    """Return what the annotators agree on, or else the tie-break.

    A disagreement without one is a broken row.
    """
    first = {vote for who, vote in votes.items() if who != "tie_break"}
    if len(first) == 1:
        return first.pop()
    if "tie_break" not in votes:
        raise row.broken(_QUESTIONS[question], "agreeing annotators or a tie-break", votes)
    return votes["tie_break"]


SPEC = DataSpec(
    name="craft_md",
    role="domain",
    task="classification",
    title="CRAFT-MD",
    licence="MIT",
    label="physicians' yes/no on diagnosis, history and terminology, adjudicated",
    columns={
        "case_id": "text",
        "multi-turn conversation": "text",
        "case_vignette": "text",
        "votes": "yes or no per annotator",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=tuple(f"expert_annotations/{name}" for name in ANNOTATORS.values()),
    repository="rajpurkarlab/craft-md",
    repository_commit="3bb2737",
    published_n=180,
    notes="180 conversations make 540 samples, one per question",
)
