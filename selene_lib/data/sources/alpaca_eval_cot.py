"""AlpacaEval annotations with an explanation.

GPT-4-Turbo prefers one of two systems on 805 instructions.

Example: {"instruction": "...", "output_1": "...", "output_2": "...", "preference": 2.0,
"raw_completion": {"concise_explanation": "..."}}
Label:   GPT-4-Turbo; 1.0 = output_1 (644), 2.0 = output_2 (160), 1.5 = tie (1).
Caveat:  holds the Vicuna and Self-Instruct instructions that also stand in Vicuna-Bench, FLASK and
InfoBench. Price fields may be null.
"""

from selene_lib.data.spec import DataSpec, Row
from selene_lib.records import TIE, Sample

LABELS = {1.0: "A", 2.0: "B", 1.5: TIE}


def to_samples(row: Row) -> Sample:
    return row.sample(
        "pairwise",
        row.text("instruction"),
        row.text("output_1", may_be_empty=True),
        response_b=row.text("output_2", may_be_empty=True),
        label=row.choice("preference", LABELS),
        meta={
            "dataset": row.text("dataset"),
            "models": [row.text("generator_1"), row.text("generator_2")],
            "critique": row.text_or_none("raw_completion.concise_explanation") or "",
        },
    )


SPEC = DataSpec(
    name="alpaca_eval_cot",
    role="source",
    task="pairwise",
    title="AlpacaEval annotations with explanation",
    licence="CC BY-NC 4.0 (data)",
    label="GPT-4-Turbo preference with explanation",
    columns={
        "instruction": "text",
        "output_1": "text",
        "output_2": "text",
        "preference": "1.0, 2.0 or 1.5 (tie)",
        "dataset": "text",
    },
    to_samples=to_samples,
    shape_known_from="real rows",
    files=("annotations.json",),
    repository="tatsu-lab/alpaca_eval",
    repository_path="results/Mixtral-8x7B-Instruct-v0.1/alpaca_eval_cot_gpt4_turbo_fn",
    repository_commit="cd543a1",
    published_n=805,
    training="non-commercial",
)
