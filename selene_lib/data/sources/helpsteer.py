"""HelpSteer: human scores 0-4 of helpfulness, correctness and coherence; 35,331 rows for training.

Example: {"prompt": "...", "response": "...", "helpfulness": 3, "correctness": 4, "coherence": 4,
"complexity": 2, "verbosity": 2}
Label:   human 0-4, mapped to 1-5 by `scale.to_five`; one sample per aspect.
Caveat:  complexity and verbosity describe the response and do not judge it, so they make no
samples.
"""

from collections.abc import Iterator

from selene_lib.data.sources.attributes import aspect_samples
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

_ASPECTS = ("helpfulness", "correctness", "coherence")
COLUMNS = {"prompt": "text", "response": "text", **dict.fromkeys(_ASPECTS, "0..4")}


def to_samples(row: Row) -> Iterator[Sample | DropRow]:
    scores = {aspect: row.number(aspect, 0, 4) for aspect in _ASPECTS}
    return aspect_samples(row, row.text("prompt"), row.text("response"), scores, 0, 4)


SPEC = DataSpec(
    name="helpsteer",
    role="source",
    task="absolute",
    title="HelpSteer",
    licence="CC BY 4.0",
    label="human score 0-4 per aspect, mapped to 1-5",
    columns=COLUMNS,
    to_samples=to_samples,
    shape_known_from="dataset card",
    files=("**/train*.jsonl* | **/train*.parquet",),
    hub_id="nvidia/HelpSteer",
    published_n=35331,
    training="yes",
    stand_in=True,
)
