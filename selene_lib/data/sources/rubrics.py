"""The rubrics this project writes for sources that publish scores of named aspects without one.

Wording and scale lines are our choice.
"""

from selene_lib.prompts.rubrics import write_rubric

_MIDDLE = (
    "Below what is needed; the faults outweigh the merits.",
    "Acceptable; merits and faults balance.",
    "Good; only minor faults.",
)


def _rubric(question: str, low: str, high: str) -> str:
    return write_rubric(question, [low, *_MIDDLE, high])


ASPECTS: dict[str, str] = {
    "helpfulness": _rubric(
        "How much does the response help the person who asked?",
        "It does not help at all.",
        "It helps fully and to the point.",
    ),
    "correctness": _rubric(
        "Is what the response says correct and complete?",
        "It is wrong or leaves out what matters.",
        "It is correct and leaves nothing out.",
    ),
    "coherence": _rubric(
        "Is the response clear and consistent with itself?",
        "It is confused or contradicts itself.",
        "It is clear and consistent throughout.",
    ),
    "instruction_following": _rubric(
        "Does the response do what the instruction asks, within its limits?",
        "It ignores the instruction.",
        "It follows the instruction in full.",
    ),
    "honesty": _rubric(
        "Does the response express as much confidence as it has reason to?",
        "It is confident and wrong.",
        "Its confidence fits what it knows.",
    ),
    "truthfulness": _rubric(
        "Is the response free of made-up or misleading content?",
        "It is made up throughout.",
        "It holds nothing made up or misleading.",
    ),
    "explanation": _rubric(
        "Does the response explain its code so that one can follow it?",
        "Nothing is explained.",
        "All that matters is explained.",
    ),
    "complexity": _rubric(
        "Is the code as efficient and as simple as the task allows?",
        "It is needlessly slow or involved.",
        "It is efficient and simple.",
    ),
    "readability": _rubric(
        "Is the code easy to read?",
        "It can hardly be read.",
        "It reads with ease: names, layout, comments.",
    ),
    "style": _rubric(
        "Does the code keep to the good style of its language?",
        "It breaks the usual rules of style.",
        "It keeps to them throughout.",
    ),
    "overall": _rubric(
        "How good is the response overall: correct, complete and useful to the person who asked?",
        "It fails the query.",
        "It is excellent.",
    ),
}

HALLUCINATION = (
    "Does the response hold hallucinated content? Content is hallucinated where it gives "
    "something that no source can confirm, where it is contrary to fact, or where it has nothing "
    "to do with what was asked. Invention that the request itself asks for, as in a story, a poem, "
    "a joke or a made-up example, is not hallucinated.\n"
    "Yes: at least one passage cannot be confirmed, is false or is beside the question.\n"
    "No: no passage is, or all that is made up was asked for."
)
