"""JudgeBench: which of two answers to a hard question is right, where an answer can be checked.

After the paper: not one of its eleven benchmarks, and not in its averages.

Dataset: ScalerLab/JudgeBench, `data/`, 350 pairs written by GPT-4o and 270 by Claude 3.5 Sonnet.
Label:   objective: one answer was checked to be right, the other to be wrong (`A>B` or `B>A`).
Metric:  over both orders: right +1, tie or unreadable 0, wrong -1; a pair counts where the sum is
positive. By group of sources: knowledge, reasoning, math, coding.
Prompt:  pairwise, no rubric.
Deviations: our template; the publisher's judges have prompts of their own and may say tie.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import Sample

LABELS = {"A>B": "A", "B>A": "B"}
_GROUPS = {"livebench-reasoning": "reasoning", "livebench-math": "math", "livecodebench": "coding"}


def group_of(source: str) -> str:
    """Return the group a source is reported in; the MMLU-Pro subjects are `knowledge`."""
    return "knowledge" if source.startswith("mmlu-pro") else _GROUPS[source]


def to_samples(row: Row) -> Sample:
    source = row.text("source")
    if not source.startswith("mmlu-pro") and source not in _GROUPS:
        raise row.broken("source", f"mmlu-pro-... or one of {', '.join(_GROUPS)}", source)
    return row.sample(
        "pairwise",
        row.text("question"),
        row.text("response_A"),
        response_b=row.text("response_B"),
        label=row.choice("label", LABELS),
        key=(row.text("pair_id"),),
        meta={
            "subset": group_of(source),
            "source": source,
            "pair_id": row.text("pair_id"),
            "response_model": row.text("response_model"),
        },
    )


SPEC = DataSpec(
    name="judgebench",
    role="after",
    task="pairwise",
    title="JudgeBench (after the paper)",
    licence="MIT by the paper; none stated in the repository",
    label="objective: which answer was checked to be right",
    columns={
        "pair_id": "text",
        "source": "text",
        "question": "text",
        "response_model": "text",
        "response_A": "text",
        "response_B": "text",
        "label": "A>B or B>A",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    hub_shape_known_from="public code",
    files=("dataset=judgebench,response_model=*.jsonl",),
    hub_id="ScalerLab/JudgeBench",
    hub_split="gpt,claude",
    repository="ScalerLab/JudgeBench",
    repository_path="data",
    repository_commit="e2c52c2",
    published_n=620,
    n_rows={
        "dataset=judgebench,response_model=gpt-4o-2024-05-13.jsonl": 350,
        "dataset=judgebench,response_model=claude-3-5-sonnet-20240620.jsonl": 270,
    },
)
