"""LLMBar: which of two outputs follows its instruction, where the other one reads well.

After the paper: not one of its eleven benchmarks, and not in its averages. Its five parts are the
five `llmbar-*` subsets of RewardBench's Chat Hard, so Selene Mini's published scores of these
subsets stand beside ours.

Dataset: princeton-nlp/LLMBar, `Dataset/LLMBar/<part>/dataset.json`: Natural 100, Neighbor 134,
GPTInst 92, GPTOut 47, Manual 46.
Label:   the authors'; 1 = output_1, 2 = output_2.
Metric:  accuracy over both orders, per part.
Prompt:  pairwise, no rubric.
Deviations: none; positions are the publisher's.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {1: "A", 2: "B"}
SUBSETS = {
    "Natural": "llmbar-natural",
    "Adversarial/Neighbor": "llmbar-adver-neighbor",
    "Adversarial/GPTInst": "llmbar-adver-GPTInst",
    "Adversarial/GPTOut": "llmbar-adver-GPTOut",
    "Adversarial/Manual": "llmbar-adver-manual",
}


def to_samples(row: Row) -> Sample:
    part = row.where.partition("/dataset.json")[0]
    if part not in SUBSETS:
        raise row.broken("(folder)", f"one of {', '.join(SUBSETS)}", part)
    return row.sample(
        "pairwise",
        row.text("input"),
        row.text("output_1"),
        response_b=row.text("output_2"),
        label=row.choice("label", LABELS),
        key=(part,),
        meta={"subset": SUBSETS[part]},
    )


SPEC = DataSpec(
    name="llmbar",
    role="after",
    task="pairwise",
    title="LLMBar (after the paper)",
    licence="MIT",
    label="the authors': which output follows the instruction",
    columns={"input": "text", "output_1": "text", "output_2": "text", "label": "1 or 2"},
    to_samples=to_samples,
    shape_known_from="real rows",
    files=tuple(f"{part}/dataset.json" for part in SUBSETS),
    repository="princeton-nlp/LLMBar",
    repository_path="Dataset/LLMBar",
    repository_commit="900616b",
    published_n=419,
)
