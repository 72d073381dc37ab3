"""FLASK: responses scored 1-5 on one skill each by human experts.

Dataset: prometheus-eval/prometheus-eval, `eval/benchmark/data/flask_eval.json`, 2,001 items,
fetched by the user.
Label:   human, a list of scores per item; `score` is their mean, `label` the mean rounded. GPT-4
scores stand beside in `meta`.
Metric:  Pearson correlation with the mean of the human scores.
Prompt:  absolute with reference; the fields are read back out of the published Prometheus prompt.
Deviations: our template around the published fields.
"""

from selene_lib.data.benchmarks.prometheus import scored_sample
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample


def to_samples(row: Row) -> Sample:
    scores = row.items("human_score", (int, float))
    if not scores or not all(1 <= score <= 5 for score in scores):
        raise row.broken("human_score", "scores in 1..5", scores)
    meta = {"human_scores": scores, "gpt4_scores": row.items("gpt4_score", (int, float))}
    return scored_sample(row, scores, meta=meta)


SPEC = DataSpec(
    name="flask",
    role="benchmark",
    task="absolute",
    title="FLASK",
    licence="none stated",
    label="mean of the human scores 1-5",
    columns={
        "instruction": "a Prometheus prompt",
        "human_score": "list of 1..5",
        "gpt4_score": "list of 1..5",
    },
    to_samples=to_samples,
    shape_known_from="public code",
    files=("flask_eval.json",),
    repository="prometheus-eval/prometheus-eval",
    repository_path="eval/benchmark/data",
    published_n=2001,
    notes="the prompt is MT-Bench's, tried there on real rows; "
    "human_score and gpt4_score were read in public code that loads the file",
)
