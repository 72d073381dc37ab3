"""CRAFT-MD's check of its GPT-4 grader: of five diagnoses a case, how many a dermatologist accepts.

317 cases as plain rows.

Dataset: rajpurkarlab/craft-md, `expert_annotations/validation_graderai.csv`, a sheet that runs
         sideways: a column per case, under instructions in one cell of several lines.
Label:   `n_accepted`, 0-5, None where the dermatologist left it blank (7 cases). Not a set to be
judged: it has no conversation.
"""

from collections.abc import Iterator
from pathlib import Path

from selene_lib.data.readers import read_grid
from selene_lib.data.spec import BrokenRow, DataSpec, Row
from selene_lib.records import Sample

FILE = "expert_annotations/validation_graderai.csv"
TRIALS = tuple(f"trial_{n}" for n in range(5))
_LINES = ("", *TRIALS, "correct_ans", "dermatologist_accuracy")
ACCEPTED = {"": None, **{str(n): n for n in range(6)}}


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield one record per column of the sheet."""
    grid = read_grid(folder / FILE)
    case_lines = [n for n, line in enumerate(grid) if "".join(line[1:2]).startswith("case_")]
    lines = grid[case_lines[0] :][: len(_LINES)] if case_lines else []
    names = tuple(line[0] for line in lines) if case_lines else None
    if names != _LINES:
        raise BrokenRow(FILE, "(first cells)", f"case ids, then {', '.join(_LINES[1:])}", names)
    for number, (case_id, *cells) in enumerate(zip(*(line[1:] for line in lines)), 1):
        yield f"{FILE}, row {number}", {"case_id": case_id, **dict(zip(_LINES[1:], cells))}


def to_samples(row: Row) -> list[Sample]:
    """Check a plain row; it makes no sample."""
    row.text("case_id")
    row.choice("dermatologist_accuracy", ACCEPTED)
    return []


SPEC = DataSpec(
    name="craft_md_grader",
    folder="craft_md",
    role="reference",
    task="counts",
    title="CRAFT-MD grader check",
    licence="MIT",
    label="how many of five diagnoses a dermatologist accepts",
    columns={"case_id": "text", "correct_ans": "text", "dermatologist_accuracy": "0..5 or blank"},
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=(FILE,),
    repository="rajpurkarlab/craft-md",
    repository_commit="3bb2737",
    published_n=317,
)
