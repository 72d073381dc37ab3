"""Metrics of the sets that came after the paper, each as its publisher counts.

A rule takes the outcomes of both orders and gives rows; the first of them stands for the set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from selene_lib.data.benchmarks.rm_bench import STYLES
from selene_lib.evaluation.scoring.drafts import Draft, headline_meta
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes
from selene_lib.paper.parity import CONSISTENT
from selene_lib.records import TIE

JUDGEBENCH = "JudgeBench's rule"
BEST_OF_FOUR = "wins against every wrong answer"


def judgebench_rule(o: Outcomes) -> Draft:
    """Right +1, tie or unreadable 0, wrong -1 over both orders; a pair counts where the sum is > 0.

    Right and tie is therefore right, right and wrong is not.
    """
    points = np.zeros(o.n)
    for order in o.orders:
        verdicts = o.verdicts[order]
        is_wrong = (verdicts != o.gold) & (verdicts != UNPARSED) & (verdicts != TIE)
        points += o.correct(order) - is_wrong
    return Draft(
        "accuracy",
        JUDGEBENCH,
        ((points > 0).astype(float),),
        o.groups,
        n_unparsed=o.n_unparsed(o.orders),
        baselines=(0.0, 0.25),
    )


def set_drafts(o: Outcomes, both: Draft) -> list[Draft]:
    """Return the rows of a set's own metric, the one that stands for it first; none without one.

    `both` is the accuracy over both orders.
    """
    rule = RULES.get(o.set)
    return rule(o, both) if rule else []


def _judgebench(o: Outcomes, both: Draft) -> list[Draft]:
    """The rule over the set, then by group of sources."""
    whole = judgebench_rule(o)
    rows = [replace(whole, meta=headline_meta(o))]
    for name in dict.fromkeys(o.subsets):
        mine = o.subsets == name
        rows.append(_part(whole, f"group {name}", mine, str(name)))
    return rows


def _contextual(o: Outcomes, both: Draft) -> list[Draft]:
    """Consistent accuracy: right in both orders, over the set and by split."""
    whole = replace(
        both,
        metric="consistent_accuracy",
        convention=CONSISTENT,
        columns=(o.correct("AB") * o.correct("BA"),),
        bounds=(None, None),
        baselines=(0.0, 0.25),
        meta=headline_meta(o),
    )
    parts = []
    for name in dict.fromkeys(o.subsets):
        parts.append(_part(whole, f"consistent {name}", o.subsets == name, str(name)))
    return [whole, *parts]


def _part(whole: Draft, metric: str, mine: np.ndarray, subset: str) -> Draft:
    return replace(
        whole,
        metric=metric,
        columns=tuple(column[mine] for column in whole.columns),
        groups=whole.groups[mine],
        n_unparsed=0,
        bounds=(None, None),
        meta={"subset": subset},
    )


def _best_of_four(o: Outcomes, both: Draft) -> list[Draft]:
    """An item is right in an order where it wins every pair; subsets weigh the same."""
    items = np.array([str(meta.get("item", i)) for i, meta in zip(o.ids, o.metas)])
    names, first, index = np.unique(items, return_index=True, return_inverse=True)
    right = np.zeros(len(names))
    for order in o.orders:
        wins = np.ones(len(names))
        np.minimum.at(wins, index, o.correct(order))
        right += wins / len(o.orders)
    subsets = o.subsets[first]
    weights = np.zeros(len(names))
    for name in dict.fromkeys(subsets):
        mine = subsets == name
        weights[mine] = 1 / mine.sum() / len(set(subsets))
    whole = Draft(
        "best_of_four",
        BEST_OF_FOUR,
        (right, weights),
        o.groups[first],
        kind="weighted_mean",
        n_unparsed=both.n_unparsed,
        meta=headline_meta(o),
    )
    parts = []
    for name in dict.fromkeys(subsets):
        mine = subsets == name
        parts.append(_part(whole, f"best_of_four {name}", mine, str(name)))
    return [whole, *parts]


LEVELS: Mapping[str, Callable[[int, int], bool]] = {
    "hard": lambda right, wrong: right < wrong,
    "normal": lambda right, wrong: right == wrong,
    "easy": lambda right, wrong: right > wrong,
}


def _style_matrix(o: Outcomes, both: Draft) -> list[Draft]:
    """RM-Bench: the mean of the domains, hard, normal and easy, then the nine cells.

    Row: style of the right answer, column: style of the wrong one. The domain `safety` is the mean
    of its two files; cells and levels are means over the domains as well.
    """
    right = np.array([STYLES.index(meta["right_style"]) for meta in o.metas])
    wrong = np.array([STYLES.index(meta["wrong_style"]) for meta in o.metas])
    rows = [_over_domains(o, both, "style_mean", np.ones(o.n, bool))]
    rows = [replace(rows[0], meta=headline_meta(o))]
    for level, is_in in LEVELS.items():
        mine = np.array([is_in(i, j) for i, j in zip(right, wrong)])
        rows.append(_over_domains(o, both, level, mine))
    for i, of_right in enumerate(STYLES):
        for j, of_wrong in enumerate(STYLES):
            mine = (right == i) & (wrong == j)
            rows.append(_over_domains(o, both, f"{of_right} over {of_wrong}", mine))
    return [row for row in rows if len(row.columns[0])]


def _over_domains(o: Outcomes, both: Draft, metric: str, mine: np.ndarray) -> Draft:
    """The mean of the domains over the pairs of `mine`, each item weighed by its file."""
    files = o.subsets[mine]
    domains = np.array([str(name).partition("-")[0] for name in files], dtype=object)
    weights = np.zeros(len(files))
    for domain in dict.fromkeys(domains):
        parts = list(dict.fromkeys(files[domains == domain]))
        for part in parts:
            is_part = files == part
            weights[is_part] = 1 / is_part.sum() / len(parts) / len(set(domains))
    return Draft(
        metric,
        both.convention,
        (both.columns[0][mine], weights),
        both.groups[mine],
        kind="weighted_mean",
        n_unparsed=both.n_unparsed,
        baselines=(0.5, 0.5),
    )


RULES: Mapping[str, Callable[[Outcomes, Draft], list[Draft]]] = {
    "judgebench": _judgebench,
    "contextual_judge_bench": _contextual,
    "reward_bench_2": _best_of_four,
    "rm_bench": _style_matrix,
}
