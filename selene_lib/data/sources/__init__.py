"""What the judge is trained on; one file per source.

Sixteen public sources that stand in for the unpublished list of the paper (**our choice**), and the
further sets of which small public files exist.
"""

from selene_lib.data.sources import (
    alpaca_eval_cot,
    arena_bench_v1,
    auto_j_training,
    beavertails,
    chatbot_arena,
    code_ultrafeedback,
    feedback_collection,
    felm,
    fine_grained_rlhf,
    halueval,
    helpsteer,
    helpsteer2,
    hh_rlhf,
    math_shepherd,
    offsetbias,
    preference_collection,
    ragtruth,
    seahorse,
    selfee,
    shepherd,
    skywork_reward_preference,
    ultrafeedback,
    xstest,
)
from selene_lib.data.spec import specs_by_name

STAND_INS = specs_by_name(
    feedback_collection,
    preference_collection,
    helpsteer,
    helpsteer2,
    ultrafeedback,
    code_ultrafeedback,
    offsetbias,
    skywork_reward_preference,
    chatbot_arena,
    hh_rlhf,
    beavertails,
    math_shepherd,
    ragtruth,
    halueval,
    seahorse,
    auto_j_training,
)
SOURCES = STAND_INS | specs_by_name(
    alpaca_eval_cot, fine_grained_rlhf, felm, shepherd, xstest, selfee, arena_bench_v1
)

__all__ = [
    "SOURCES",
    "STAND_INS",
]
