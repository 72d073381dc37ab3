"""Diagnosis: is a diagnosis the one that is known to be right?

Dataset: CRAFT-MD. `expert_annotations/validation_graderai.csv`: 317 skin cases, five extracted
         answers each (`benchmarks/craft_md_grader.py`); `results/*/case_*.json`: further extracted
         answers to the first 60 cases.
Label:   test and training: a dermatologist's count of accepted answers. Only cases with none (0) or
         all (5) accepted say what holds for each answer; the others, and blank ones, are left out.
         Training only: the answers of the case files, with the label of CRAFT-MD's GPT-4 grader.
Metric:  accuracy, balanced accuracy, AUC.
Prompt:  classification with reference: the right diagnosis, as CRAFT-MD names it.
Deviations: an answer that a case gives twice is one item; answers that name no diagnosis
         (`multiple`, `none`) are left out; the test holds two fifths of the diagnoses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selene_lib.data.benchmarks import craft_md_grader
from selene_lib.data.readers import read_records
from selene_lib.data.real_tasks.parts import Part, only
from selene_lib.data.spec import BrokenRow, DataSpec, DropRow, Row, row_or_broken
from selene_lib.records import Sample

RUBRIC = "Is the answer the right diagnosis?"
INSTRUCTION = "Name the skin disease."
LABELS = {0: "No", len(craft_md_grader.TRIALS): "Yes"}
GRADED = {0: "No", 1: "Yes"}
NO_DIAGNOSIS = {"multiple", "none", "nan", "n/a", "no diagnosis"}
CASE_FILES = "results/*/case_*.json"
FORMATS = ("vignette", "multiturn", "singleturn", "summarized")


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield a record a case: the right diagnosis and the answers, each with its label (None where
    the dermatologist's count says nothing of the single answer).
    """
    for place, case in craft_md_grader.read_rows(folder, spec):
        row = Row(case, spec, place)  # type: ignore[arg-type]
        yield place, row_or_broken(place, row, _accepted)


def _accepted(row: Row) -> dict[str, Any]:
    accepted = row.choice("dermatologist_accuracy", craft_md_grader.ACCEPTED)
    answers = [row.text_or_none(trial) or "" for trial in craft_md_grader.TRIALS]
    label = LABELS.get(accepted)
    return _case(row.text("correct_ans"), [(answer, label) for answer in answers])


def read_test(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield what the dermatologist labelled, each answer to a diagnosis once."""
    known: set[tuple[str, str]] = set()
    for place, case in read_rows(folder, spec):
        yield place, _unseen(case, known)


def read_training(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield what the dermatologist labelled, then what the grader did; an answer that came before
    for the same diagnosis is not said again.
    """
    known: set[tuple[str, str]] = set()
    for place, case in read_rows(folder, spec):
        yield place, _unseen(case, known)
    for path in sorted(folder.glob(CASE_FILES)):
        name = path.relative_to(folder).as_posix()
        for place, case in read_records(path, name):
            yield place, _unseen(row_or_broken(place, case, _graded_case), known)


def _unseen(case: Any, known: set[tuple[str, str]]) -> Any:
    """Return the case without the labelled answers in `known`, and add its own to that set; a
    broken one is returned as it is.
    """
    if isinstance(case, BrokenRow):
        return case
    fresh = []
    for item in case["answers"]:
        key = (case["correct_ans"].strip().lower(), str(item["answer"]).strip().lower())
        if key not in known:
            fresh.append(item)
        if item["label"] is not None:
            known.add(key)
    return {**case, "answers": fresh}


def _graded_case(case: Any) -> dict[str, Any]:
    if isinstance(case, BrokenRow):
        raise case
    return _case(str(case["correct_ans"]), _graded(case))


def _graded(case: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    found = []
    for trial in craft_md_grader.TRIALS:
        for kind in FORMATS:
            answer = str(case[trial].get(f"extracted_ans_{kind}_frq", ""))
            grade = case[trial].get(f"evaluation_{kind}_frq")
            found.append((answer, GRADED.get(grade)))
    return found


def _case(right: str, answers: list[tuple[str, str | None]]) -> dict[str, Any]:
    return {
        "correct_ans": right,
        "answers": [{"answer": text, "label": label} for text, label in answers],
    }


def part_samples(row: Row, part: Part) -> Iterator[Sample | DropRow]:
    """Yield the distinct answers of one case, or why there is none."""
    right = row.text("correct_ans").strip()
    seen = set()
    for item in row.records("answers"):
        answer = (item.text_or_none("answer") or "").strip()
        label = item.text_or_none("label")
        if label is None:
            yield DropRow("a part of the five answers is accepted, or no label")
        elif not answer or answer.lower() in NO_DIAGNOSIS:
            yield DropRow("names no diagnosis")
        elif answer.lower() in seen:
            yield DropRow("the case gives this answer twice")
        else:
            seen.add(answer.lower())
            sample = row.sample(
                "classification",
                INSTRUCTION,
                answer,
                rubric=RUBRIC,
                reference=right,
                label=label,
                key=(right.lower(),),
                group=f"diagnosis {right.lower()}",
            )
            yield only(part, sample)


def _spec(name: str, part: Part, **fields: Any) -> DataSpec:
    return replace(
        craft_md_grader.SPEC,
        name=name,
        task="classification",
        title=f"CRAFT-MD diagnoses, {part} part",
        label="dermatologist: is the diagnosis accepted",
        columns={"correct_ans": "text", "answers": "answers with their labels"},
        to_samples=lambda row: part_samples(row, part),
        **fields,
    )


TRAINING = _spec(
    "diagnosis",
    "training",
    role="source",
    training="yes",
    rows=read_training,
    files=(craft_md_grader.FILE, CASE_FILES),
    published_n=317 + 120,
)
TEST = _spec("diagnosis_test", "test", role="benchmark", rows=read_test)
