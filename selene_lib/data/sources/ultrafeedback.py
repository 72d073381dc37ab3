"""UltraFeedback: GPT-4 ratings 1-5 of four aspects for four completions of 63,967 instructions.

Example: {"instruction": "...", "completions": [{"model": "...", "response": "...", "annotations":
{"honesty": {"Rating": "3", ...}, ...}}]}
Label:   GPT-4 rating 1-5 per aspect, published as text; `N/A` is dropped and counted.
Caveat:  the `overall_score` (1-10) is known to have been wrong for thousands of completions and is
not read.
"""

from collections.abc import Iterator

from selene_lib.data.sources.attributes import aspect_samples, rating_or_none
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

_ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")


def to_samples(row: Row) -> Iterator[Sample | DropRow]:
    """Yield one sample per completion and aspect; an empty completion is dropped."""
    for completion in row.records("completions"):
        if not completion.text("response", may_be_empty=True).strip():
            yield DropRow("a response is empty")
            continue
        scores = {}
        for aspect in _ASPECTS:
            scores[aspect] = rating_or_none(completion, f"annotations.{aspect}.Rating")
        meta = {"model": completion.text("model"), "dataset": row.text("source")}
        yield from aspect_samples(
            row, row.text("instruction"), completion.text("response"), scores, 1, 5, meta=meta
        )


SPEC = DataSpec(
    name="ultrafeedback",
    role="source",
    task="absolute",
    title="UltraFeedback",
    licence="MIT",
    label="GPT-4 rating 1-5 per aspect",
    columns={
        "source": "text",
        "instruction": "text",
        "completions": "list of {model, response, annotations: {aspect: {Rating}}}",
    },
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/*.jsonl | **/*.parquet",),
    hub_id="openbmb/UltraFeedback",
    published_n=63967,
    training="yes",
    stand_in=True,
    notes="63,967 instructions make up to 16 samples each; limit the load",
)
