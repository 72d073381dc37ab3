"""Vicuna-Bench in the absolute form of Prometheus: 80 questions, four response models, 320 items.

Not one of the eleven benchmarks.

Dataset: prometheus-eval/prometheus-eval, `eval/benchmark/data/vicuna_eval.json`; the shape, label,
metric and prompt of MT-Bench.
Deviations: those of MT-Bench.
"""

from dataclasses import replace

from selene_lib.data.benchmarks import mt_bench

SPEC = replace(
    mt_bench.SPEC,
    name="vicuna_bench",
    role="extra",
    title="Vicuna-Bench (absolute)",
    files=("vicuna_eval.json",),
)
