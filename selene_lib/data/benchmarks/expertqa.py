"""ExpertQA: is each claim of a system's answer supported by its cited evidence.

217 questions, 1,237 claims. A component of LLM-AggreFact.

Dataset: chaitanyamalaviya/ExpertQA, `data/lfqa/rand_val.jsonl`.
Label:   human experts; Complete (715) -> Yes; Partial, Incomplete, Missing -> No; N/A and null are
dropped, as are claims without evidence.
Metric:  accuracy.
Prompt:  classification.
Deviations: the mapping is ours; how LLM-AggreFact treats claims without evidence was not read.
"""

from collections.abc import Iterator

from selene_lib.data.benchmarks.grounded import claim_sample
from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.records import Sample

LABELS = {"Complete": "Yes", "Partial": "No", "Incomplete": "No", "Missing": "No"}
NOT_JUDGED = (None, "N/A")


def to_samples(row: Row) -> Iterator[Sample | DropRow]:
    """Yield one sample per claim that was judged and has evidence."""
    answers = row.record("answers")
    for system in answers.values:
        for claim in answers.record(system).records("claims"):
            yield _claim(row, system, claim)


def _claim(row: Row, system: str, claim: Row) -> Sample | DropRow:
    evidence = claim.items("evidence")
    if claim.values.get("support") in NOT_JUDGED:
        return DropRow("support was not judged")
    if not evidence:
        return DropRow("claim without evidence")
    return claim_sample(
        row,
        "\n\n".join(evidence),
        claim.text("claim_string"),
        claim.choice("support", LABELS),
        group=row.text("question"),
        meta={
            "system": system,
            "human_label": claim.text("support"),
            "field": row.text("metadata.field"),
        },
    )


SPEC = DataSpec(
    name="expertqa",
    role="component",
    task="classification",
    title="ExpertQA",
    licence="MIT",
    label="expert: does the evidence support the claim",
    columns={"question": "text", "answers": "record of systems with claims", "metadata": "record"},
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("rand_val.jsonl",),
    repository="chaitanyamalaviya/ExpertQA",
    repository_path="data/lfqa",
    repository_commit="1aa7ba8",
    published_n=217,
)
