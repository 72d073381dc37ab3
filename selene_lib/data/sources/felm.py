"""FELM: is a long ChatGPT answer factually right, segment by segment; 847 answers, 4,426 segments.

Example: {"index": "0", "domain": "math", "prompt": "...", "response": "...", "segmented_response":
["..."], "labels": [false]}
Label:   human per segment; `Yes` of the sample means that all segments are right.
Caveat:  two responses are a literal NaN; they are put together from their segments.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

RUBRIC = (
    "Is the response factually right in all its parts?\n"
    "Yes: every statement is right.\nNo: at least one statement is wrong."
)


def to_samples(row: Row) -> Sample:
    segments = row.items("segmented_response")
    labels = row.items("labels", bool, n=len(segments))
    return row.sample(
        "classification",
        row.text("prompt"),
        row.text_or_none("response") or "\n".join(segments),
        rubric=RUBRIC,
        label="Yes" if all(labels) else "No",
        key=(row.text("index"),),
        meta={"domain": row.text("domain"), "segments_right": labels},
    )


SPEC = DataSpec(
    name="felm",
    role="source",
    task="classification",
    title="FELM",
    licence="CC BY-NC-SA 4.0 (data)",
    label="human: are all segments factually right",
    columns={
        "index": "text",
        "domain": "text",
        "prompt": "text",
        "response": "text or NaN",
        "segmented_response": "list of text",
        "labels": "list of booleans",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("all.jsonl",),
    repository="hkust-nlp/felm",
    repository_path="eval",
    repository_commit="5d0791d",
    published_n=847,
    training="non-commercial",
)
