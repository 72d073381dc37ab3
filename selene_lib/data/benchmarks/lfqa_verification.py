"""LFQA-Verification: is each sentence of a long answer supported by its documents.

400 answers, 2,579 sentences. A component of LLM-AggreFact.

Dataset: timchen0618/LFQA-Verification, `data/annotations/` (4 of 6 systems) and `data/docs/`.
Label:   three humans; Yes where at least two say `supported`, else No (`partially` is not
supported).
Metric:  accuracy.
Prompt:  classification; question and documents are the document.
Deviations: the majority rule is ours.
"""

from collections.abc import Iterator
from pathlib import Path

from selene_lib.data.benchmarks.grounded import claim_sample
from selene_lib.data.readers import index_by, read_records
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

DOCUMENTS = {
    "webgpt": "docs-webgpt",
    "gpt3_wdoc": "docs-webgpt",
    "alpaca_wdoc": "docs-webgpt",
    "gpt3_whudoc": "docs-human",
}
VOTES = {"supported": True, "partially": False, "not_supported": False}


def read_rows(folder: Path, spec: DataSpec) -> Iterator[tuple[str, object]]:
    """Yield the annotated answers, each with its `system` and the `docs` of its question.

    Both are None where they are missing.
    """
    for system, name in DOCUMENTS.items():
        docs = index_by(folder / "docs" / f"{name}.json", "question_id", f"docs/{name}.json")
        yield from docs.broken
        for place, record in read_records(folder / "annotations" / f"annotations-{system}.json"):
            if isinstance(record, dict):
                found = docs.find(record.get("question_id")) or {}
                record = {**record, "system": system, "docs": found.get("docs")}
            yield place, record


def to_samples(row: Row) -> Iterator[Sample]:
    """Yield one sample per sentence."""
    parts = []
    for doc in row.records("docs"):
        parts.append(f"{doc.text('title', may_be_empty=True)}\n{doc.text('text')}".strip())
    document = "\n\n".join(parts)
    for number, sentence in enumerate(row.records("annotations")):
        labels = sentence.items("labels", n=3)
        if not set(labels) <= set(VOTES):
            raise sentence.broken("labels", f"three of {', '.join(VOTES)}", labels)
        yield claim_sample(
            row,
            f"Question: {row.text('question')}\n\n{document}",
            sentence.text("answer").strip(),
            "Yes" if sum(VOTES[label] for label in labels) >= 2 else "No",
            key=(row.text("system"), number),
            group=f"lfqa_verification {row.get('question_id')}",
            meta={"system": row.text("system"), "votes": labels},
        )


SPEC = DataSpec(
    name="lfqa_verification",
    role="component",
    task="classification",
    title="LFQA-Verification",
    licence="none stated",
    label="majority of three humans: do the documents support the sentence",
    columns={
        "question_id": "number",
        "question": "text",
        "annotations": "list of {labels, answer}",
        "docs": "list of {title, text}",
    },
    to_samples=to_samples,
    rows=read_rows,
    shape_known_from="real rows",
    files=(
        *(f"annotations/annotations-{system}.json" for system in DOCUMENTS),
        "docs/docs-webgpt.json",
        "docs/docs-human.json",
    ),
    repository="timchen0618/LFQA-Verification",
    repository_path="data",
    repository_commit="4e905be",
    published_n=400,
)
