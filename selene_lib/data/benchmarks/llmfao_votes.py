"""LLMFAO votes: 8,931 crowd votes between pairs of models, without the texts.

They stand in for Judge Arena's votes in the rating code.

Dataset: dustalov/evalica, `llmfao.csv`; `winner` is left (2,911), right (2,549) or tie (3,471),
`left` and `right` name the models.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import TIE, Sample

WINNERS = {"left": "A", "right": "B", "tie": TIE}


def to_samples(row: Row) -> list[Sample]:
    """Check a plain row; it makes no sample, since the texts are not published."""
    row.text("left")
    row.text("right")
    row.choice("winner", WINNERS)
    return []


SPEC = DataSpec(
    name="llmfao_votes",
    role="reference",
    task="votes",
    title="LLMFAO votes",
    licence="Apache-2.0",
    label="crowd vote: left, right or tie",
    columns={
        "id": "text",
        "prompt": "text",
        "worker": "text",
        "winner": "left, right or tie",
        "left": "text",
        "right": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("llmfao.csv",),
    repository="dustalov/evalica",
    repository_commit="2ebe79e",
    published_n=8931,
)
