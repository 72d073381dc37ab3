"""RAGTruth: does a model's answer hold claims that its source does not support.

About 18,000 answers of six models.

Example: response.jsonl {"id": "1472", "source_id": "11316", "labels": [{"text": "...",
         "label_type": "..."}], "split": "train", "quality": "good", "response": "..."} and
         source_info.jsonl {"source_id": "11316", "task_type": "Summary", "prompt": "..."}
Label:   human word-level spans; `Yes` of the sample means that there is at least one.
Caveat:  its test split is part of LLM-AggreFact since August 2024, so only the train split is read;
cut or refused answers are dropped. The makers of Selene Mini evaluate on RAGTruth in their own
cookbook, so it was probably **not** among their 16 sources; it is in our stand-in list.
"""

from collections.abc import Iterator
from pathlib import Path

from selene_lib.data.readers import index_by, read_records
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

RUBRIC = (
    "Does the response hold content that its source in the task does not support, or contradicts?\n"
    "Yes: at least one passage is unsupported or contradicted.\n"
    "No: all of it is supported by the source."
)
RESPONSES, SOURCES = "response.jsonl", "source_info.jsonl"


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield the responses, each joined with its source's record under `source`.

    `source` is None where it is unknown.
    """
    sources = index_by(folder / SOURCES, "source_id")
    yield from sources.broken
    for place, row in read_records(folder / RESPONSES):
        if isinstance(row, dict):
            row = {**row, "source": sources.find(row.get("source_id"))}
        yield place, row


def to_samples(row: Row) -> Sample:
    if row.text("split") != "train":
        raise DropRow("test split: part of LLM-AggreFact since August 2024")
    if row.text("quality") != "good":
        raise DropRow("the answer is cut or a mistaken refusal")
    source = row.record("source")
    spans = row.records("labels")
    return row.sample(
        "classification",
        source.text("prompt"),
        row.text("response"),
        rubric=RUBRIC,
        label="Yes" if spans else "No",
        key=(row.text("id"),),
        meta={
            "model": row.text("model"),
            "task_type": source.text("task_type"),
            "span_types": [span.text("label_type") for span in spans],
        },
    )


SPEC = DataSpec(
    name="ragtruth",
    role="source",
    task="classification",
    title="RAGTruth",
    licence="MIT",
    label="human spans: is there an unsupported passage",
    columns={
        "id": "text",
        "source_id": "text",
        "model": "text",
        "labels": "list of spans",
        "split": "train or test",
        "quality": "good, or a fault",
        "response": "text",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="dataset card",
    files=(RESPONSES, SOURCES),
    repository="ParticleMedia/RAGTruth",
    repository_path="dataset",
    training="yes",
    stand_in=True,
    notes="probably not among the makers' 16 sources: they evaluate on it in their own cookbook; "
    "in our stand-in list by our choice. "
    "Fields read in the repository's README; the files are larger than 4 MB",
)
