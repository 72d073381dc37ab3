"""The Prometheus absolute-grading prompt read back into its fields.

MT-Bench, Vicuna-Bench and FLASK are published in this form.
"""

from dataclasses import dataclass

from selene_lib.data.spec import Row

INSTRUCTION, RESPONSE, REFERENCE, RUBRIC, END = (
    "###The instruction to evaluate:",
    "###Response to evaluate:",
    "###Reference Answer (Score 5):",
    "###Score Rubrics:",
    "###Feedback:",
)


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
    marks = [INSTRUCTION, RESPONSE, *([REFERENCE] if REFERENCE in text else []), RUBRIC, END]
    for mark in marks:
        if text.count(mark) != 1:
            raise ValueError(f"the mark {mark!r} stands {text.count(mark)} times, not once")
    positions = [text.index(mark) for mark in marks]
    if positions != sorted(positions):
        raise ValueError("the marks of the prompt are not in their order")
    ends = [*positions[1:], len(text)]
    fields = {
        mark: text[start + len(mark) : end].strip()
        for mark, start, end in zip(marks, positions, ends)
    }
    return Parts(
        fields[INSTRUCTION], fields[RESPONSE], plain_rubric(fields[RUBRIC]), fields.get(REFERENCE)
    )


def plain_rubric(rubric: str) -> str:
    """Return the rubric with its criterion taken out of the square brackets."""
    head, newline, tail = rubric.partition("\n")
    head = head.strip()
    if head.startswith("[") and head.endswith("]"):
        head = head[1:-1].strip()
    return f"{head}{newline}{tail}"


def parse_column(row: Row, column: str) -> Parts:
    """Read the prompt in a column of a row; a prompt of another form is a broken row."""
    text = row.text(column)
    try:
        return parse_prompt(text)
    except ValueError as error:
        raise row.broken(column, f"a Prometheus prompt ({error})", text) from error
