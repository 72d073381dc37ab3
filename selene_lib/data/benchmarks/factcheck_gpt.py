"""Factcheck-GPT: does a piece of evidence support a claim; 3,305 claim-evidence pairs.

A component of LLM-AggreFact.

Dataset: yuxiaw/Factcheck-GPT, `subtasks/subtask3_claim_evidence_stance.jsonl` (subtask 4 is 661
claims without evidence and is not read).
Label:   human; completely-support (696) -> Yes; partially-support (391), refute (161), irrelevant
(2,057) -> No.
Metric:  accuracy, best read beside balanced accuracy: 79 % are No.
Prompt:  classification.
Deviations: the mapping is ours; the four-way stance stays in `meta`.
"""

from selene_lib.data.benchmarks.grounded import claim_sample
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {
    "completely-support": "Yes",
    "partially-support": "No",
    "refute": "No",
    "irrelevant": "No",
}


def to_samples(row: Row) -> Sample:
    label = row.choice("stance", LABELS)
    return claim_sample(
        row,
        row.text("evidence"),
        row.text("claim"),
        label,
        group=row.text("claim"),
        meta={"stance": row.text("stance")},
    )


SPEC = DataSpec(
    name="factcheck_gpt",
    role="component",
    task="classification",
    title="Factcheck-GPT (stance)",
    licence="Apache-2.0",
    label="human: does the evidence support the claim",
    columns={"claim": "text", "evidence": "text", "stance": "one of four"},
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("subtask3_claim_evidence_stance.jsonl",),
    repository="yuxiaw/Factcheck-GPT",
    repository_path="subtasks",
    repository_commit="a9e6a04",
    published_n=3305,
)
