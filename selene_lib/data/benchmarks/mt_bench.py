"""MT-Bench in the absolute form of Prometheus: 80 questions, four response models, 320 items.

Dataset: prometheus-eval/prometheus-eval, `eval/benchmark/data/mt_bench_eval.json`.
Label:   **GPT-4**, three scores 1-5 per item, no human; `score` is their mean, `label` the mean
rounded.
Metric:  Pearson correlation with the mean of the three GPT-4 scores.
Prompt:  absolute with reference; the fields are read back out of the published Prometheus prompt.
Deviations: our template around the published fields.
"""

from selene_lib.data.benchmarks.prometheus import scored_sample
from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample


def to_samples(row: Row) -> Sample:
    scores = row.items("gpt4_score", int, n=3)
    if not all(1 <= score <= 5 for score in scores):
        raise row.broken("gpt4_score", "three scores in 1..5", scores)
    return scored_sample(
        row,
        scores,
        key=(row.get("idx"), row.text("response_source")),
        group=f"mt_bench {row.get('idx')}",
        meta={
            "category": row.text("category"),
            "model": row.text("response_source"),
            "gpt4_scores": scores,
            "item": row.get("idx"),
        },
    )


SPEC = DataSpec(
    name="mt_bench",
    role="benchmark",
    task="absolute",
    title="MT-Bench (absolute)",
    licence="Apache-2.0",
    label="mean of three GPT-4 scores 1-5, no human label",
    columns={
        "idx": "number",
        "response_source": "text",
        "category": "text",
        "instruction": "a Prometheus prompt",
        "gpt4_score": "three of 1..5",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("mt_bench_eval.json",),
    repository="prometheus-eval/prometheus-eval",
    repository_path="eval/benchmark/data",
    repository_commit="dcfb442",
    published_n=320,
)
