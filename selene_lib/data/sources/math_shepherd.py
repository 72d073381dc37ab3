"""Math-Shepherd: are all steps of a solution to a mathematical problem sound.

Taken instead of PRM800K, from which a RewardBench subset is made.

Example: {"input": "... Step 1: ... ки", "label": "... Step 1: ... + Step 2: ... -", "task":
"GSM8K"}
Label:   automatic, `+` or `-` per step; `Yes` of the sample means that every step is `+`.
Caveat:  a step is `+` when some continuation reached the right answer, which is not the same as
being right.
"""

import re

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

RUBRIC = (
    "Is every step of the solution sound, so that it leads to the right answer?\n"
    "Yes: all steps are sound.\nNo: at least one step is wrong or leads astray."
)
_NEXT_STEP = re.compile(r"\n\s*(?=Step \d+:)")


def to_samples(row: Row) -> Sample:
    problem, steps = _split_steps(row)
    marks = [mark for _, mark in steps]
    return row.sample(
        "classification",
        problem,
        "\n".join(text for text, _ in steps),
        rubric=RUBRIC,
        label="No" if "-" in marks else "Yes",
        meta={
            "dataset": row.text("task"),
            "first_bad_step": marks.index("-") + 1 if "-" in marks else None,
            "n_steps": len(steps),
        },
    )


def _split_steps(row: Row) -> tuple[str, list[tuple[str, str]]]:
    """Return the problem and its (step, mark) pairs.

    A step that ends in no mark makes a broken row.
    """
    text = row.text("label").rstrip()
    start = text.find("Step 1:")
    steps = [step.strip() for step in _NEXT_STEP.split(text[start:])] if start > 0 else []
    if not steps or any(step[-1] not in "+-" for step in steps):
        raise row.broken("label", "a problem, then lines `Step n: ...` that end in + or -", text)
    return text[:start].strip(), [(step[:-1].rstrip(), step[-1]) for step in steps]


SPEC = DataSpec(
    name="math_shepherd",
    role="source",
    task="classification",
    title="Math-Shepherd",
    licence="none stated on the card",
    label="automatic step labels: are all steps sound",
    columns={
        "input": "text",
        "label": "problem and steps that end in + or -",
        "task": "GSM8K or MATH",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    hub_id="peiyi9979/Math-Shepherd",
    training="not stated",
    stand_in=True,
)
