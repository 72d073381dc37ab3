"""InfoBench: does a response meet one decomposed requirement of its instruction.

Dataset: expert annotations of InfoBench, the 930 questions on which all three experts agree.
Label:   three experts; 1 = Yes (804), 0 = No (126).
Metric:  accuracy.
Prompt:  classification; the requirement is the rubric.
Deviations: none.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "Yes", 0: "No"}
RUBRIC = (
    "{question}\n"
    "Yes: the response meets this requirement.\nNo: the response does not meet this requirement."
)


def to_samples(row: Row) -> Sample:
    return row.sample(
        "classification",
        row.text("instruction"),
        row.text("response", may_be_empty=True),
        rubric=RUBRIC.format(question=row.text("question").strip()),
        label=row.choice("label", LABELS),
        meta={"model": row.text("model"), "votes": row.items("all_labels")},
    )


SPEC = DataSpec(
    name="infobench",
    role="benchmark",
    task="classification",
    title="InfoBench (expert split)",
    licence="MIT (InfoBench); none stated for the local file",
    label="three agreeing experts: is the requirement met",
    columns={
        "instruction": "text",
        "response": "text",
        "question": "text",
        "label": "1 or 0",
        "all_labels": "list of three yes/no",
        "model": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("expert_all_agree.jsonl",),
    repository="SalesforceAIResearch/SFRJudge",
    repository_path="data/infobench-class",
    repository_commit="d4abf5c",
    published_n=930,
)
