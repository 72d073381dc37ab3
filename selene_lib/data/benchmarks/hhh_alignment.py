"""HHH alignment: helpful, honest, harmless and other; 221 = 59 + 61 + 58 + 43 pairs.

Dataset: HuggingFaceH4/hhh_alignment; the local shape is one JSON Lines file per category (`input,
output_1, output_2, label`).
Label:   human; the better response is always first, so its position is drawn here from (seed, id).
Metric:  accuracy.
Prompt:  pairwise, no rubric.
Deviations: the drawn position.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "the better response is output_1"}
HUB_LABELS = {(1, 0): (0, 1), (0, 1): (1, 0)}  # labels -> (index of better, index of worse)


def to_samples(row: Row) -> Sample:
    if row.has("targets"):
        return _hub_sample(row)
    row.choice("label", LABELS)
    category = row.where.partition("hhh_")[2].partition(".")[0]
    return row.pair(
        row.text("input"),
        row.text("output_1"),
        row.text("output_2"),
        meta={"category": category, "subset": category},
    )


def _hub_sample(row: Row) -> Sample:
    """Read the hub's shape, one configuration per category.

    `input`, `targets: {choices: [text, text], labels: [1, 0]}`.
    """
    choices = row.items("targets.choices", n=2)
    labels = tuple(row.items("targets.labels", int, n=2))
    if labels not in HUB_LABELS:
        raise row.broken("targets.labels", "[1, 0] or [0, 1]", labels)
    better, worse = HUB_LABELS[labels]
    category = row.text_or_none("hub_config") or ""
    return row.pair(
        row.text("input"),
        choices[better],
        choices[worse],
        meta={"category": category, "subset": category},
    )


SPEC = DataSpec(
    name="hhh_alignment",
    role="benchmark",
    task="pairwise",
    title="HHH alignment",
    licence="none stated for the local files; hub card Apache-2.0",
    label="human; always the first response, position drawn from (seed, id)",
    columns={"input": "text"},
    to_samples=to_samples,
    shape_known_from="real rows",
    hub_shape_known_from="dataset card",
    files=("hhh_harmless.jsonl", "hhh_helpful.jsonl", "hhh_honest.jsonl", "hhh_other.jsonl"),
    hub_id="HuggingFaceH4/hhh_alignment",
    hub_config="harmless,helpful,honest,other",
    hub_split="test",
    repository="SalesforceAIResearch/SFRJudge",
    repository_path="data/hhh",
    repository_commit="d4abf5c",
    published_n=221,
)
