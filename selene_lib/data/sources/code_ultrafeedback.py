"""CodeUltraFeedback: GPT-3.5 ratings 1-5 of four responses to 10 K coding instructions.

Each stands under one of five coding preferences.

Example: {"instruction": "...", "preference": "readability", "responses": [{"model": "...",
          "response": "..."}], "annotations": [{"model": "...", "rating": "4", "rationale": "..."}]}
Label:   GPT-3.5 rating 1-5, published as text; `N/A` is dropped and counted.
Caveat:  the five preferences and their spelling were read in public code that loads the set;
another one is a broken row.
"""

from collections.abc import Iterator

from selene_lib.data.sources.attributes import aspect_samples, rating_or_none
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

PREFERENCES = {
    "instruction-following": "instruction_following",
    "explanation": "explanation",
    "complexity": "complexity",
    "readability": "readability",
    "style": "style",
}


def to_samples(row: Row) -> Iterator[Sample | DropRow]:
    """Yield one sample per response; responses and ratings are joined by the model's name."""
    aspect = row.choice("preference", PREFERENCES)
    responses = {
        item.text("model"): item.text("response", may_be_empty=True)
        for item in row.records("responses")
    }
    for item in row.records("annotations"):
        response = responses.get(item.text("model"), "")
        if not response.strip():
            yield DropRow("a response is empty")
            continue
        meta = {"model": item.text("model"), "critique": item.text_or_none("rationale") or ""}
        scores = {aspect: rating_or_none(item, "rating")}
        yield from aspect_samples(row, row.text("instruction"), response, scores, 1, 5, meta=meta)


SPEC = DataSpec(
    name="code_ultrafeedback",
    role="source",
    task="absolute",
    title="CodeUltraFeedback",
    licence="MIT (repository)",
    label="GPT-3.5 rating 1-5 under one coding preference",
    columns={
        "instruction": "text",
        "preference": f"one of {', '.join(PREFERENCES)}",
        "responses": "list of {model, response}",
        "annotations": "list of {model, rating, rationale}",
    },
    to_samples=to_samples,
    shape_known_from="public code",
    hub_id="coseal/CodeUltraFeedback",
    repository="martin-wey/CodeUltraFeedback",
    training="yes",
    stand_in=True,
    notes="fields and the five preferences were read in public code that loads the set; "
    "the paper gives the size as 10,000",
)
