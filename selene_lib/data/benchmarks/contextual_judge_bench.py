"""ContextualJudgeBench: which of two answers is better, given a context both were to keep to.

After the paper: not one of its eleven benchmarks, and not in its averages. Others measured Selene
Mini on it (arXiv 2503.15620, Table 3): `paper.values.PARITY_TARGETS`.

Dataset: Salesforce/ContextualJudgeBench, eight splits, 2,000 pairs.
Label:   constructed by the steps of its hierarchy (refusal, faithfulness, completeness,
conciseness); the better answer is a column of its own, so its position is drawn from (seed, id).
Metric:  consistent accuracy: right in both orders, per split; the set is the mean over its pairs.
Prompt:  pairwise; context and question are the instruction, the hierarchy in our words the rubric.
Deviations: our wording of the criteria.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

SPLITS = (
    "refusal_answerable",
    "refusal_unanswerable",
    "faithfulness_qa",
    "faithfulness_summ",
    "completeness_qa",
    "completeness_summ",
    "conciseness_qa",
    "conciseness_summ",
)
RUBRIC = (
    "Which answer serves the request better, going by the context alone? Compare in this order and "
    "stop at the first difference: whether it answers where the context allows it and declines "
    "where it does not; whether everything it says stands in the context; whether it covers all "
    "that was asked; whether it is without needless text."
)
_INSTRUCTION = "Context:\n{context}\n\nRequest:\n{question}"


def to_samples(row: Row) -> Sample:
    question, context = row.text("question"), row.text("context")
    split = next((name for name in SPLITS if name in row.where), None)
    if split is None:
        raise row.broken("(split)", f"a place that names one of {', '.join(SPLITS)}", row.where)
    return row.pair(
        _INSTRUCTION.format(context=context, question=question),
        row.text("positive_response"),
        row.text("negative_response"),
        rubric=RUBRIC,
        key=(split,),
        meta={"subset": split},
    )


SPEC = DataSpec(
    name="contextual_judge_bench",
    role="after",
    task="pairwise",
    title="ContextualJudgeBench (after the paper)",
    licence="see the hub card",
    label="constructed: the better answer, position drawn from (seed, id)",
    columns={
        "question": "text",
        "context": "text",
        "positive_response": "text",
        "negative_response": "text",
    },
    to_samples=to_samples,
    shape_known_from="public code",
    files=tuple(f"**/{split}*.parquet | **/{split}*.jsonl" for split in SPLITS),
    hub_id="Salesforce/ContextualJudgeBench",
    hub_split=",".join(SPLITS),
    published_n=2000,
    notes="the field and split names were read in the publisher's code",
)
