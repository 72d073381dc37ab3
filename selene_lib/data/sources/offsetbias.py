"""OffsetBias: 8,504 pairs made to counter the known biases of judges.

Example: {"instruction": "...", "output_1": "...", "output_2": "...", "label": 1}
Label:   1 or 2, the better response.
Caveat:  meant to be mixed with other sources: alone it teaches the opposite biases. EvalBiasBench
is of the same authors.
"""

from selene_lib.data.sources.dialogue import check_pair
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "A", 2: "B"}


def to_samples(row: Row) -> Sample:
    instruction, first, second = check_pair(
        row.text("instruction"), row.text("output_1"), row.text("output_2")
    )
    label = row.choice("label", LABELS)
    return row.sample("pairwise", instruction, first, response_b=second, label=label)


SPEC = DataSpec(
    name="offsetbias",
    role="source",
    task="pairwise",
    title="OffsetBias",
    licence="BSD-3-Clause",
    label="the better response by construction",
    columns={"instruction": "text", "output_1": "text", "output_2": "text", "label": "1 or 2"},
    to_samples=to_samples,
    shape_known_from="dataset card",
    hub_id="NCSOFT/offsetbias",
    published_n=8504,
    training="yes",
    stand_in=True,
)
