"""What the judge is measured on; one file a set.

Eleven benchmarks, two domain sets, components of LLM-AggreFact, sets that came after the paper,
reference tables. Every set but the reference tables can be judged; only the eleven stand in the
paper's averages.
"""

from selene_lib.data.benchmarks import (
    auto_j,
    biggen_bench,
    contextual_judge_bench,
    craft_md,
    craft_md_grader,
    evalbiasbench,
    expertqa,
    factcheck_gpt,
    financebench,
    flask,
    flask_items,
    hhh_alignment,
    infobench,
    instrusum,
    judge_arena,
    judgebench,
    lfqa_eval,
    lfqa_verification,
    llm_aggrefact,
    llmbar,
    llmfao_votes,
    metacritique,
    mt_bench,
    reward_bench,
    reward_bench_2,
    rewardbench_math_prm,
    rm_bench,
    tofueval,
    vicuna_bench,
    wice,
)
from selene_lib.data.spec import specs_by_name

BENCHMARKS = specs_by_name(
    flask,
    biggen_bench,
    mt_bench,
    llm_aggrefact,
    infobench,
    reward_bench,
    lfqa_eval,
    hhh_alignment,
    evalbiasbench,
    instrusum,
    auto_j,
)
DOMAINS = specs_by_name(craft_md, financebench)
COMPONENTS = specs_by_name(
    wice, expertqa, lfqa_verification, factcheck_gpt, tofueval, rewardbench_math_prm
)
EXTRAS = specs_by_name(vicuna_bench, flask_items, metacritique)
AFTER = specs_by_name(judgebench, llmbar, rm_bench, contextual_judge_bench, reward_bench_2)
REFERENCES = specs_by_name(llmfao_votes, judge_arena, craft_md_grader)

JUDGED = {**BENCHMARKS, **DOMAINS, **COMPONENTS, **EXTRAS, **AFTER}
"""Every set of this package that a judge can be asked about, by name."""

__all__ = [
    "AFTER",
    "BENCHMARKS",
    "COMPONENTS",
    "DOMAINS",
    "EXTRAS",
    "JUDGED",
    "REFERENCES",
]
