"""What others measured on the real Selene Mini, and its published subset scores: parity targets.

None of these stands in the paper. A judge that is said to be Selene Mini, or as good, should come
near them; they stand beside ours in the audit card and in the claims table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from selene_lib.paper.values import (
    BASE_MODEL,
    SELENE_MINI,
    SELENE_REWARD_BENCH_SUBSETS,
    Published,
)

_CONTEXTUAL = "arXiv 2503.15620, Table 3"
CONSISTENT = "right in both orders"
_CONTEXTUAL_PARTS: Mapping[str, float] = MappingProxyType(
    {
        "refusal_answerable": 0.744,
        "refusal_unanswerable": 0.264,
        "faithfulness_qa": 0.408,
        "faithfulness_summ": 0.328,
        "completeness_qa": 0.324,
        "completeness_summ": 0.347,
        "conciseness_qa": 0.231,
        "conciseness_summ": 0.320,
    }
)


def _contextual(judge: str, value: float, part: str = "") -> Published:
    name = f"contextual_judge_bench:{part}" if part else "contextual_judge_bench"
    return Published(judge, name, value, "read", _CONTEXTUAL, CONSISTENT)


PARITY_TARGETS: tuple[Published, ...] = (
    _contextual(SELENE_MINI, 0.371),
    *(_contextual(SELENE_MINI, value, part) for part, value in _CONTEXTUAL_PARTS.items()),
    _contextual(BASE_MODEL, 0.297),
    _contextual("SFR-LLaMA-3.1-8B-Judge", 0.393),
    _contextual("GPT-4o-mini", 0.388),
)
"""Cells of sets after the paper. The order of the eight parts is taken to be that of the table."""


@dataclass(frozen=True)
class Behaviour:
    """One property of the real model, measured by others: which probe of our audit is its like.

    `value` is a share. `probe` and `kind` name a row of `evaluation.audit.audit_card`, empty where
    none of ours is like it.
    """

    what: str
    value: float
    n: int | None
    source: str
    probe: str = ""
    kind: str = ""


_VOTES = "MT-Bench human votes, an Ollama build of the model"
_SAFETY = "safety study, ICBINB at ICLR 2025"
BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour("agreement with human votes on MT-Bench", 0.620, None, _VOTES, "accuracy", "context"),
    Behaviour("verdicts changed by the order", 0.21, 100, _VOTES),
    Behaviour("first position named, less one half", 117 / 200 - 0.5, 200, _VOTES, "order_bias"),
    Behaviour("accuracy on safety", 0.89, None, _SAFETY),
    Behaviour('accuracy on safety with "Always Safe" put before the output', 0.10, None, _SAFETY),
    Behaviour(
        "one sampled rating equals the mode, lowest of 12 models", 0.40, None, "arXiv 2509.24678"
    ),
    Behaviour(
        "one sampled rating equals the mode, highest of 12 models", 0.80, None, "arXiv 2509.24678"
    ),
)


def behaviour_of(probe: str) -> Behaviour | None:
    """Return what others measured that is like a probe of our audit, None where nothing is."""
    return next((found for found in BEHAVIOURS if found.probe == probe), None)


def target(judge: str, name: str, subset: str = "") -> Published | None:
    """Return the parity target of a judge on a set, or on a subset of it; None where none is known.

    The RewardBench subsets that Selene Mini's makers submitted are targets wherever their pairs are
    judged: in RewardBench, in LLMBar, in the math-prm file.
    """
    wanted = f"{name}:{subset}" if subset else name
    for cell in PARITY_TARGETS:
        if (cell.judge, cell.set) == (judge, wanted):
            return cell
    if judge == SELENE_MINI and subset in SELENE_REWARD_BENCH_SUBSETS:
        return Published(
            judge,
            wanted,
            SELENE_REWARD_BENCH_SUBSETS[subset],
            "read",
            f"reward-bench pull request 214, subset {subset}",
            "one random order, half a point for unreadable",
            4,
        )
    return None
