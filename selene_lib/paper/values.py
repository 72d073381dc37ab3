"""Every published number this project compares with, where it stands, and how it is known.

`known` is `read` (read in the named public source), `derived` (arithmetic on something read) or
`unverified` (believed, never read by us: shown as such, never as the paper's value). Set names are
those of `selene_lib.data.benchmarks`. Values are shares or correlations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from selene_lib.records import Task

Known = Literal["read", "derived", "unverified"]
SELENE_MINI = "Selene Mini"
BASE_MODEL = "Llama-3.1-8B-Instruct"
# read: digests of the paper, caption of Fig. 5
N_DATA_POINTS = 577_000
BENCHMARK_NAMES: tuple[str, ...] = (
    "reward_bench",
    "lfqa_eval",
    "hhh_alignment",
    "evalbiasbench",
    "instrusum",
    "auto_j",
    "infobench",
    "llm_aggrefact",
    "flask",
    "biggen_bench",
    "mt_bench",
)
DOMAIN_NAMES: tuple[str, ...] = ("craft_md", "financebench")
_ABSOLUTE = ("flask", "biggen_bench", "mt_bench")
_CLASSIFICATION = ("infobench", "llm_aggrefact")


def _task_of(name: str) -> Task:
    if name in _ABSOLUTE:
        return "absolute"
    return "classification" if name in _CLASSIFICATION else "pairwise"


TASK_OF: Mapping[str, Task] = MappingProxyType({name: _task_of(name) for name in BENCHMARK_NAMES})


def metric_of(name: str) -> str:
    """Return the metric of the published cells of a set: of a part (`craft_md:history`) as well."""
    if name == "reward_bench":
        return "section_mean"
    if "average" in name:
        return "mean of Pearson and accuracy"
    return "pearson" if TASK_OF.get(name) == "absolute" else "accuracy"


TIE_PROMPT = "A/B/Tie prompt"
BETTER = "better of two orders"
BETTER_PER_SUBSET = "better of two orders per subset"
UNREAD_AS_ZERO = "unreadable as 0.0"
SUBSETS_OF_BETTER = ("evalbiasbench", "hhh_alignment")
"""Sets whose published cells take the better order in each subset (read: SFRJudge @8b7ea1b)."""


@dataclass(frozen=True)
class Published:
    """One published cell.

    `convention` is how the publisher counted, as far as known; `digits` how many decimals were
    printed.
    """

    judge: str
    set: str
    value: float
    known: Known
    source: str
    convention: str = "not published"
    digits: int = 3

    @property
    def metric(self) -> str:
        """What the number is: `pearson`, `accuracy` or `section_mean`."""
        return metric_of(self.set)

    @property
    def comparable(self) -> bool:
        """Whether a gap to a judge that may not say tie means anything."""
        return TIE_PROMPT not in self.convention


def _row(
    judge: str,
    values: Mapping[str, float],
    known: Known,
    source: str,
    convention: str = "not published",
) -> tuple[Published, ...]:
    return tuple(
        Published(judge, name, value, known, source, convention, max(2, len(f"{value:g}") - 2))
        for name, value in values.items()
    )


_SFR = "SFR-Judge paper (arXiv 2409.14664)"
_SFR_ROWS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "SFR-LLaMA-3.1-8B-Judge": (
            0.887,
            0.689,
            0.941,
            0.850,
            0.749,
            0.603,
            0.928,
            0.780,
            0.52,
            0.59,
            0.71,
        ),
        "GPT-4o": (0.846, 0.7654, 0.9321, 0.7625, 0.7689, 0.5129, 0.9280, 0.7813, 0.69, 0.65, 0.81),
        "GPT-4o-mini": (
            0.801,
            0.7462,
            0.8552,
            0.6250,
            0.7178,
            0.6099,
            0.9108,
            0.7796,
            0.63,
            0.60,
            0.72,
        ),
        "Prometheus-2-7B": (
            0.720,
            0.7231,
            0.7964,
            0.4000,
            0.6764,
            0.5603,
            0.4860,
            0.3858,
            0.47,
            0.50,
            0.46,
        ),
    }
)


def _sfr_row(judge: str, values: tuple[float, ...]) -> tuple[Published, ...]:
    cells: list[Published] = []
    for name, value in zip(BENCHMARK_NAMES, values, strict=True):
        cells += _row(judge, {name: value}, "read", _SFR, _convention_of_sfr(name))
    return tuple(cells)


def _convention_of_sfr(name: str) -> str:
    """How SFR counts a set: read in its `aggregate_eval.py` at SFRJudge @8b7ea1b."""
    if name in SUBSETS_OF_BETTER:
        return BETTER_PER_SUBSET
    if name == "auto_j":
        return f"{BETTER}, {TIE_PROMPT}"
    if TASK_OF[name] == "absolute":
        return UNREAD_AS_ZERO
    return BETTER if TASK_OF[name] == "pairwise" and name != "reward_bench" else "not published"


_REWARD_BENCH_RULE = "one random order, half a point for unreadable"
PUBLISHED: tuple[Published, ...] = (
    Published(
        SELENE_MINI,
        "reward_bench",
        0.8913,
        "derived",
        "reward-bench pull request 214, 23 subsets with the published weights",
        _REWARD_BENCH_RULE,
        4,
    ),
    Published(
        BASE_MODEL,
        "reward_bench",
        0.695,
        "read",
        "J1 paper (arXiv 2505.10320), Table 6",
        _REWARD_BENCH_RULE,
    ),
    Published(
        "Selene 1 (the later 70B)",
        "reward_bench",
        0.924,
        "read",
        "reward-bench pull request 223",
        _REWARD_BENCH_RULE,
    ),
    *_row(
        SELENE_MINI,
        {
            "lfqa_eval": 0.688,
            "hhh_alignment": 0.900,
            "evalbiasbench": 0.863,
            "instrusum": 0.732,
            "auto_j": 0.576,
            "infobench": 0.915,
            "llm_aggrefact": 0.778,
            "flask": 0.613,
            "biggen_bench": 0.584,
            "mt_bench": 0.746,
        },
        "unverified",
        "believed to be Table 1 of arXiv 2501.17195; never read by us, "
        "the cells reproduce both averages",
    ),
    *(cell for judge, values in _SFR_ROWS.items() for cell in _sfr_row(judge, values)),
    *_row("GLIDER", {"biggen_bench": 0.604, "flask": 0.615}, "read", "GLIDER paper"),
    *_row("Flow-Judge", {"biggen_bench": 0.460, "flask": 0.400}, "read", "GLIDER paper"),
    *_row(
        SELENE_MINI,
        {
            "craft_md:terminology": 0.92,
            "craft_md:diagnosis": 0.62,
            "craft_md:history": 0.68,
            "craft_md": 0.74,
        },
        "read",
        "Table 2",
    ),
    *_row(
        BASE_MODEL,
        {
            "craft_md:terminology": 0.79,
            "craft_md:diagnosis": 0.51,
            "craft_md:history": 0.62,
            "craft_md": 0.64,
        },
        "read",
        "Table 2",
    ),
    Published(SELENE_MINI, "financebench", 0.717, "read", "Table 2"),
    Published(BASE_MODEL, "financebench", 0.664, "read", "Table 2"),
)
"""All published cells; `published(judge, set)` finds one."""

AVERAGES: Mapping[str, Published] = MappingProxyType(
    {
        "task average": Published(
            SELENE_MINI,
            "task average",
            0.756,
            "read",
            "second hand, of arXiv 2501.17195",
        ),
        "benchmark average": Published(
            SELENE_MINI,
            "benchmark average",
            0.753,
            "unverified",
            "believed to be arXiv 2501.17195; never read by us",
        ),
    }
)

REWARD_BENCH_SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Chat": (
            "alpacaeval-easy",
            "alpacaeval-length",
            "alpacaeval-hard",
            "mt-bench-easy",
            "mt-bench-med",
        ),
        "Chat Hard": (
            "mt-bench-hard",
            "llmbar-natural",
            "llmbar-adver-neighbor",
            "llmbar-adver-GPTInst",
            "llmbar-adver-GPTOut",
            "llmbar-adver-manual",
        ),
        "Safety": (
            "refusals-dangerous",
            "refusals-offensive",
            "xstest-should-refuse",
            "xstest-should-respond",
            "donotanswer",
        ),
        "Reasoning": (
            "math-prm",
            "hep-cpp",
            "hep-go",
            "hep-java",
            "hep-js",
            "hep-python",
            "hep-rust",
        ),
    }
)
"""The four sections of RewardBench and their subsets, as its repository lists them."""

REWARD_BENCH_WEIGHTS: Mapping[str, int] = MappingProxyType(
    {
        "alpacaeval-easy": 100,
        "alpacaeval-length": 95,
        "alpacaeval-hard": 95,
        "mt-bench-easy": 28,
        "mt-bench-med": 40,
        "mt-bench-hard": 37,
        "llmbar-natural": 100,
        "llmbar-adver-neighbor": 134,
        "llmbar-adver-GPTInst": 92,
        "llmbar-adver-GPTOut": 47,
        "llmbar-adver-manual": 46,
        "refusals-dangerous": 100,
        "refusals-offensive": 100,
        "xstest-should-refuse": 154,
        "xstest-should-respond": 250,
        "donotanswer": 136,
        "math-prm": 984,
        "hep-cpp": 164,
        "hep-go": 164,
        "hep-java": 164,
        "hep-js": 164,
        "hep-python": 164,
        "hep-rust": 164,
    }
)
"""Weight of each subset inside its section: its number of pairs.

The 447 pairs of math-prm weigh 984, as much as the code. One commit of RewardBench's repository
lists the two xstest counts the other way round; only this way do the subset scores below give the
published .8926 for Safety, and 1.0 and .804 whole numbers of pairs.
"""

SELENE_REWARD_BENCH_SUBSETS: Mapping[str, float] = MappingProxyType(
    {
        "alpacaeval-easy": 0.93,
        "alpacaeval-hard": 0.9263157894736842,
        "alpacaeval-length": 0.9368421052631579,
        "donotanswer": 0.8235294117647058,
        "hep-cpp": 0.9207317073170732,
        "hep-go": 0.9085365853658537,
        "hep-java": 0.8902439024390244,
        "hep-js": 0.9085365853658537,
        "hep-python": 0.926829268292683,
        "hep-rust": 0.8475609756097561,
        "llmbar-adver-GPTInst": 0.9021739130434783,
        "llmbar-adver-GPTOut": 0.5957446808510638,
        "llmbar-adver-manual": 0.6521739130434783,
        "llmbar-adver-neighbor": 0.7611940298507462,
        "llmbar-natural": 0.92,
        "math-prm": 0.9854586129753915,
        "mt-bench-easy": 1.0,
        "mt-bench-hard": 0.7297297297297297,
        "mt-bench-med": 0.925,
        "refusals-dangerous": 0.95,
        "refusals-offensive": 0.985,
        "xstest-should-refuse": 1.0,
        "xstest-should-respond": 0.804,
    }
)
"""What the makers submitted (read: description of reward-bench pull request 214).

math-prm and refusals-offensive hold half points.
"""

SELENE_REWARD_BENCH_SECTIONS: Mapping[str, float] = MappingProxyType(
    {"Chat": 0.9358, "Chat Hard": 0.7939, "Safety": 0.8926, "Reasoning": 0.9429}
)


def marked(value: float | None, known: str, digits: int = 3) -> str:
    """Write a published value as every table shows it: a value that nobody read says so.

    `known` is how it is known, or a note that begins with that word. A missing value is empty.
    """
    if value is None or math.isnan(value):
        return ""
    return f"{value:.{digits}f}" + (" (unverified)" if known.startswith("unverified") else "")


def published(judge: str | None, set_name: str) -> Published | None:
    """The published cell of a judge on a set, or None where nothing is published."""
    return next((cell for cell in PUBLISHED if cell.judge == judge and cell.set == set_name), None)
