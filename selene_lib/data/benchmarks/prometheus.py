"""The Prometheus absolute-grading prompt read back into its fields.

MT-Bench, Vicuna-Bench and FLASK are published in this form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selene_lib.data.spec import Row
from selene_lib.records import Sample

INSTRUCTION = "###The instruction to evaluate:"
_RESPONSE = "###Response to evaluate:"
_REFERENCE = "###Reference Answer (Score 5):"
_RUBRIC = "###Score Rubrics:"
_END = "###Feedback:"


@dataclass(frozen=True)
class Parts:
    """The fields of one prompt.

    `rubric` is without the square brackets of its criterion, `reference` None where the prompt has
    none.
    """

    instruction: str
    response: str
    rubric: str
    reference: str | None


def parse_prompt(text: str) -> Parts:
    """Read the fields between the marks.

    Raises ValueError where a mark is missing, stands twice or in another order.
    """
    marks = [INSTRUCTION, _RESPONSE, _REFERENCE, _RUBRIC, _END]
    if _REFERENCE not in text:
        marks.remove(_REFERENCE)
    for mark in marks:
        if text.count(mark) != 1:
            raise ValueError(f"the mark {mark!r} stands {text.count(mark)} times, not once")
    positions = [text.index(mark) for mark in marks]
    if positions != sorted(positions):
        raise ValueError("the marks of the prompt are not in their order")
    fields = {}
    for mark, start, end in zip(marks, positions, [*positions[1:], len(text)]):
        fields[mark] = text[start + len(mark) : end].strip()
    rubric = _plain_rubric(fields[_RUBRIC])
    return Parts(fields[INSTRUCTION], fields[_RESPONSE], rubric, fields.get(_REFERENCE))


def _plain_rubric(rubric: str) -> str:
    """Return the rubric with its criterion taken out of the square brackets."""
    head, newline, tail = rubric.partition("\n")
    head = head.strip()
    if head.startswith("[") and head.endswith("]"):
        head = head[1:-1].strip()
    return f"{head}{newline}{tail}"


def scored_sample(
    row: Row,
    scores: Sequence[float],
    *,
    meta: Mapping[str, Any],
    key: tuple[Any, ...] = (),
    group: str | None = None,
) -> Sample:
    """Build the sample of a row whose column `instruction` holds such a prompt.

    `score` is the mean of the scores, `label` the mean rounded. A prompt of another form is a
    broken row.
    """
    text = row.text("instruction")
    try:
        parts = parse_prompt(text)
    except ValueError as error:
        raise row.broken("instruction", f"a Prometheus prompt ({error})", text) from error
    mean = sum(scores) / len(scores)
    return row.sample(
        "absolute",
        parts.instruction,
        parts.response,
        rubric=parts.rubric,
        reference=parts.reference,
        label=str(round(mean)),
        score=mean,
        key=key,
        group=group,
        meta=meta,
    )
