"""BiGGen Bench: free responses scored 1-5 against an instance-specific rubric and reference.

Dataset: prometheus-eval/BiGGen-Bench-Results, human_eval (2,780) + multilingual_human_eval (420) =
         3,200; local files hold one capability each.
Label:   human score 1-5; -1 means not scored and is dropped (four in the whole set).
Metric:  Pearson correlation with the human score.
Prompt:  absolute with reference; criterion and five score descriptions are the rubric.
Deviations: the system prompt stands before the input, because some items are about following it.
"""

from selene_lib.data.spec import DataSpec, DropRow, Row
from selene_lib.prompts.rubrics import write_rubric
from selene_lib.records import Sample

NOT_SCORED = -1


def to_samples(row: Row) -> Sample:
    score = row.number("human_score", -1, 5)
    if score == NOT_SCORED:
        raise DropRow("human score -1: not scored")
    if score not in (1, 2, 3, 4, 5):
        raise row.broken("human_score", "1, 2, 3, 4, 5 or -1", score)
    return row.sample(
        "absolute",
        f"{row.text('system_prompt', may_be_empty=True)}\n\n{row.text('input')}".strip(),
        row.text("response", may_be_empty=True),
        rubric=_rubric(row.record("score_rubric")),
        reference=row.text("reference_answer"),
        label=str(int(score)),
        score=score,
        key=(row.text("id"), row.text("model_name")),
        meta={
            "capability": row.text("capability"),
            "task": row.text("task"),
            "model": row.text("model_name"),
            "item": row.text("id"),
        },
    )


def _rubric(rubric: Row) -> str:
    descriptions = [rubric.text(f"score{score}_description") for score in range(1, 6)]
    return write_rubric(rubric.text("criteria"), descriptions)


SPEC = DataSpec(
    name="biggen_bench",
    role="benchmark",
    task="absolute",
    title="BiGGen Bench",
    licence="CC BY-SA 4.0 (dataset card); none stated for the local files",
    label="human score 1-5; -1 is dropped",
    columns={
        "id": "text",
        "input": "text",
        "response": "text",
        "reference_answer": "text",
        "score_rubric": "criteria and score1_description..score5_description",
        "human_score": "1..5 or -1",
        "model_name": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    hub_shape_known_from="public code",
    files=("human_eval_*.jsonl | **/*.parquet",),
    hub_id="prometheus-eval/BiGGen-Bench-Results",
    hub_split="human_eval,multilingual_human_eval",
    repository="SalesforceAIResearch/SFRJudge",
    repository_path="data/biggen-bench",
    repository_commit="d4abf5c",
    published_n=3200,
    n_rows={
        "human_eval_grounding.jsonl": 400,
        "human_eval_refinement.jsonl": 304,
        "human_eval_safety.jsonl": 316,
    },
    notes="the local files are 3 of 9 capabilities, each whole",
)
