"""TofuEval: is a summary sentence consistent with its dialogue; 733 + 777 sentences.

A component of LLM-AggreFact.

Dataset: amazon-science/tofueval, `factual_consistency/*_factual_eval_test.csv`. The dialogues are
published elsewhere and are **not** here.
Label:   human linguists; yes (561 + 627) -> Yes, no -> No. Evaluation only: the publisher forbids
training on it.
Metric:  accuracy, once the dialogues are joined.
Prompt:  classification; without its dialogue a sample cannot be judged, which
`meta["document_missing"]` says.
Deviations: none.
"""

from selene_lib.data.benchmarks.grounded import RUBRIC
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {"yes": "Yes", "no": "No"}


def to_samples(row: Row) -> Sample:
    return row.sample(
        "classification",
        f"Summarise the dialogue {row.text('doc_id')} with regard to: {row.text('topic')}",
        row.text("summ_sent"),
        rubric=RUBRIC,
        label=row.choice("sent_label", LABELS),
        key=(row.text("model_name"), row.text("sent_idx"), row.text("annotation_id")),
        group=row.text("doc_id"),
        meta={
            "document_missing": True,
            "corpus": row.where.partition("_")[0],
            "model": row.text("model_name"),
            "explanation": row.text("exp", may_be_empty=True),
            "error_type": row.text("type", may_be_empty=True),
        },
    )


SPEC = DataSpec(
    name="tofueval",
    role="component",
    task="classification",
    title="TofuEval (without dialogues)",
    licence="MIT-0 style (Amazon); evaluation only",
    label="human: is the sentence consistent with the dialogue",
    columns={
        "doc_id": "text",
        "topic": "text",
        "model_name": "text",
        "sent_idx": "text",
        "summ_sent": "text",
        "sent_label": "yes or no",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("mediasum_factual_eval_test.csv", "meetingbank_factual_eval_test.csv"),
    repository="amazon-science/tofueval",
    repository_path="factual_consistency",
    repository_commit="ade0f38",
    n_rows={"mediasum_factual_eval_test.csv": 733, "meetingbank_factual_eval_test.csv": 777},
)
