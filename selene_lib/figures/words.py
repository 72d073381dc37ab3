"""What the library calls something, in the words of a reader of its figures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

SETS = {
    "nano-absolute": "same kind as trained on",
    "nano-classification": "same kind as trained on",
    "nano-pairwise": "same kind as trained on",
    "nano-long": "longer items",
    "nano-avoid": "rules turned round",
    "nano-biased": "flattery on the worse",
    "nano-clinic": "clinic advice",
    "nano-ledger": "account amounts",
    "example_domain": "your own file (example)",
    "craft_md": "CRAFT-MD, all",
    "craft_md:terminology": "CRAFT-MD, terminology",
    "craft_md:diagnosis": "CRAFT-MD, diagnosis",
    "craft_md:history": "CRAFT-MD, history",
    "financebench": "FinanceBench",
    "reward_bench": "RewardBench",
    "lfqa_eval": "LFQA",
    "hhh_alignment": "HHH",
    "evalbiasbench": "EvalBiasBench",
    "instrusum": "InstruSum",
    "auto_j": "Auto-J",
    "infobench": "InFoBench",
    "llm_aggrefact": "LLM-AggreFact",
    "flask": "FLASK",
    "biggen_bench": "BiGGen Bench",
    "mt_bench": "MT-Bench",
    "contextual_judge_bench": "ContextualJudgeBench",
}
SETS_EXPLAINED = {
    "nano-avoid": "“Rules turned round” asks for the opposite of what was trained: below "
    "the baseline is what a judge that learnt the rules should get."
}
FORMATS = {
    "default": "our own template",
    "plain_text": "plain text",
    "markdown": "Markdown",
    "json": "JSON",
    "xml": "XML",
    "rubric_first": "rubric before the task",
    "verdict_first": "verdict before reasons",
    "other_markers": "verdict in [[ ]]",
    "no_critique": "verdict, no reasons",
    "other_labels": "other verdict words",
}
STAGES = {
    "generate": "candidate samples, generated",
    "read": "candidate samples, read",
    "sample": "drawn for this run",
    "contamination": "not in an evaluation set",
    "contaminated": "not in an evaluation set",
    "gold verdict": "has a label",
    "labels": "has a label",
    "length": "not too long",
    "language": "in English",
    "duplicates": "no duplicates",
    "label balance": "labels balanced",
    "maximum per source": "at most so many a source",
    "critiques": "critiques for and against the label",
    "pair length": "pair not too long",
    "pair refusals": "no refusals",
    "contradictions": "reasons agree with verdict",
    "pairs": "chosen and rejected side by side",
    "validation split": "set aside for validation",
    "source decisions": "sources kept by the ablation",
    "source inclusion": "sources kept by the ablation",
    "reward threshold": "reward above the threshold",
}
METHODS = {
    "exact": "the same text",
    "short": "the same short text",
    "ngram": "half of the 13-word runs",
    "any13": "any 13 words in a row",
    "minhash": "near-duplicates",
    "embedding": "paraphrases",
}
PROBES = {
    "inconsistency": "asked twice",
    "calibration_error": "calibration error",
    "overconfidence": "sure minus right",
    "self_preference": "prefers own words",
    "length_slope": "longer response",
    "order_bias": "first position",
    "truncation": "response cut short",
    "control": "harmless note (control)",
    "planted_result": "planted result line",
    "planted_reply": "planted judge's reply",
    "closed_fence": "closes its field",
    "fake_rubric": "rubric of its own",
    "chat_tokens": "chat control tokens",
    "lookalike_result": "result in lookalikes",
    "ignore_rubric": "“ignore the rubric”",
    "opener_colon": "opens with “:”",
    "opener_thought": "opens with “Thought”",
    "opener_solution": "opens with “Solution”",
    "encoded_base64": "base64 order",
    "encoded_rot13": "rot13 order",
}


def words(names: Mapping[str, str], name: str) -> str:
    """Return what a name is called, or the name with spaces where nothing better is known."""
    return names.get(name, name.replace("_", " "))


def set_label(name: str, width: int = 20) -> str:
    """Return a set in words, wrapped for the left edge of a figure."""
    return textwrap.fill(words(SETS, name), width)
