"""WiCE, claim level, test split: is a Wikipedia claim supported by its cited page; 358 claims.

A component of LLM-AggreFact.

Dataset: ryokamoi/wice, `data/entailment_retrieval/claim/test.jsonl`.
Label:   human; supported (111) -> Yes, partially_supported (215) and not_supported (32) -> No, as
LLM-AggreFact does.
Metric:  accuracy.
Prompt:  classification.
Deviations: the whole page is the document; LLM-AggreFact may cut it.
"""

from selene_lib.data.benchmarks.grounded import claim_sample
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {"supported": "Yes", "partially_supported": "No", "not_supported": "No"}


def to_samples(row: Row) -> Sample:
    document = "\n".join(row.items("evidence"))
    meta = {"human_label": row.text("label"), "item": row.text("meta.id")}
    return claim_sample(
        row,
        document,
        row.text("claim"),
        row.choice("label", LABELS),
        key=(row.text("meta.id"),),
        meta=meta,
    )


SPEC = DataSpec(
    name="wice",
    role="component",
    task="classification",
    title="WiCE (claims)",
    licence="annotations ODC-BY; text CC BY-SA and Common Crawl terms",
    label="human: does the page support the claim",
    columns={
        "label": "one of three",
        "claim": "text",
        "evidence": "list of text",
        "meta": "record",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("entailment_retrieval/claim/test.jsonl",),
    repository="ryokamoi/wice",
    repository_path="data",
    repository_commit="ddeb6c1",
    published_n=358,
)
