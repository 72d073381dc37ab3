"""Verdicts on pairs, counted in each named way: both orders, one of them, the better one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from selene_lib.evaluation.scoring.after import judgebench_rule, set_drafts
from selene_lib.evaluation.scoring.drafts import (
    PARSED,
    STRICT,
    Draft,
    accuracy_bounds,
    headline_meta,
)
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes, tie_share
from selene_lib.evaluation.scoring.reward_bench import section_drafts
from selene_lib.judges.judging import random_order
from selene_lib.paper.parity import CONSISTENT
from selene_lib.paper.values import BETTER, BETTER_PER_SUBSET, SUBSETS_OF_BETTER
from selene_lib.records import LABELS, TIE, Order

BOTH = "both orders, strict"
RANDOM = "one random order, strict"
HALF = "one random order, half a point for unreadable"


def pairwise_drafts(o: Outcomes, seed: int) -> list[Draft]:
    """Accuracy by order, consistency and order bias; sections of RewardBench where all are here.

    `seed` draws the one order of an item under the conventions of one random order.
    """
    if o.orders != ("AB", "BA"):
        return _one_order_drafts(o)
    right = (o.correct("AB") + o.correct("BA")) / 2
    missing = (o.unparsed("AB").astype(float) + o.unparsed("BA")) / 2
    both = Draft(
        "accuracy",
        BOTH,
        (right,),
        o.groups,
        n_unparsed=o.n_unparsed(o.orders),
        bounds=(float(right.mean()), float((right + missing).mean()) - _tie_gain(o, missing)),
        baselines=_chance(o),
        meta=headline_meta(o),
    )
    randoms = _random_order_drafts(o, _drawn_orders(o, seed))
    sections = section_drafts(o, both, missing, half_point=randoms[1])
    others = [
        judgebench_rule(o),
        *_consistency(o),
        *(sections or set_drafts(o, both)),
    ]
    if any(draft.meta.get("headline") for draft in others):
        both = replace(both, meta={})  # the set's own metric then stands for it
    return [
        both,
        _single(o, "AB"),
        _single(o, "BA"),
        *_better_order(o),
        *randoms,
        *_without_ties(o, right),
        *others,
        *_subsets(o, both, randoms[1]),
    ]


def _subsets(o: Outcomes, *whole: Draft) -> list[Draft]:
    """Accuracy of every subset, where a set has several, counted as each draft of the `whole`."""
    names = list(dict.fromkeys(o.subsets))
    if len(names) < 2:
        return []
    rows = []
    for name in names:
        mine = o.subsets == name
        n_unparsed = int(sum(o.unparsed(order)[mine].sum() for order in o.orders))
        for draft in whole:
            rows.append(
                Draft(
                    f"subset {name or 'without a name'}",
                    draft.convention,
                    (draft.columns[0][mine],),
                    o.groups[mine],
                    n_unparsed=n_unparsed,
                    baselines=(0.5, 0.5),
                    meta={"subset": name},
                )
            )
    return rows


def _chance(o: Outcomes) -> tuple[float, float]:
    """Majority and random baseline over both orders: no label is shown first more often."""
    share = (1 - tie_share(o)) / 2
    return share, share


def _tie_gain(o: Outcomes, missing: np.ndarray) -> float:
    """What an upper bound must not count: unparsed replies on gold ties, which no verdict gets."""
    return float((missing * (o.gold == TIE)).sum() / o.n) if o.n else 0.0


def _single(o: Outcomes, order: Order) -> Draft:
    correct, missing = o.correct(order), o.unparsed(order)
    low, high = accuracy_bounds(correct, missing)
    shares = [float((o.gold == label).mean()) for label in LABELS["pairwise"]]
    return Draft(
        "accuracy",
        f"order {order}, strict",
        (correct,),
        o.groups,
        n_unparsed=int(missing.sum()),
        bounds=(low, high - _tie_gain(o, missing)),
        baselines=(max(shares), sum(shares) / 2),
    )


def _better_order(o: Outcomes) -> list[Draft]:
    """The better order of the set, and of each subset where the published cells take that.

    `selection_gain` is what choosing adds to the mean over both orders. The interval is of the
    chosen order: it does not know that it was chosen.
    """
    mean = (o.correct("AB").mean() + o.correct("BA").mean()) / 2
    better = _better(o, np.ones(o.n, bool))
    row = _single(o, better)
    gain = round(float(row.columns[0].mean() - mean), 10)
    rows = [_renamed(row, BETTER, {"order": better, "selection_gain": gain})]
    if o.set in SUBSETS_OF_BETTER and len(set(o.subsets)) > 1:
        rows.append(_better_per_subset(o, float(mean)))
    return rows


def _better(o: Outcomes, mine: np.ndarray) -> Order:
    return "AB" if o.correct("AB")[mine].mean() >= o.correct("BA")[mine].mean() else "BA"


def _better_per_subset(o: Outcomes, mean: float) -> Draft:
    """The better order of each subset, then the mean over all items: subsets weigh their size."""
    orders = {str(name): _better(o, o.subsets == name) for name in dict.fromkeys(o.subsets)}
    is_first = np.array([orders[str(name)] == "AB" for name in o.subsets])
    correct = np.where(is_first, o.correct("AB"), o.correct("BA"))
    missing = np.where(is_first, o.unparsed("AB"), o.unparsed("BA"))
    gain = round(float(correct.mean() - mean), 10)
    return Draft(
        "accuracy",
        BETTER_PER_SUBSET,
        (correct,),
        o.groups,
        n_unparsed=int(missing.sum()),
        bounds=accuracy_bounds(correct, missing),
        baselines=(0.5, 0.5),
        meta={"orders": orders, "selection_gain": gain},
    )


def _renamed(draft: Draft, convention: str, meta: Mapping[str, Any]) -> Draft:
    return replace(draft, convention=convention, meta={**draft.meta, **meta})


def _without_ties(o: Outcomes, right: np.ndarray) -> list[Draft]:
    if not tie_share(o):
        return []
    decided, convention = o.gold != TIE, f"{BOTH}, gold ties left out"
    n_unparsed = o.n_unparsed(o.orders)
    return [
        Draft("accuracy", convention, (right[decided],), o.groups[decided], n_unparsed=n_unparsed)
    ]


def _one_order_drafts(o: Outcomes) -> list[Draft]:
    """Rows for items judged once each: in one fixed order, or in the one of their hash."""
    if o.orders:
        row = _single(o, o.orders[0])
        return [_renamed(row, row.convention, headline_meta(o))]
    strict, half_point = _random_order_drafts(o, _judged_orders(o))
    return [_renamed(strict, strict.convention, headline_meta(o)), half_point]


def _drawn_orders(o: Outcomes, seed: int) -> np.ndarray:
    """The one order of each item, by its hash, [n_items]."""
    return np.array([random_order(str(i), seed) for i in o.ids], dtype=object)


def _judged_orders(o: Outcomes) -> np.ndarray:
    """The order each item was judged in, where no order has all items, [n_items]."""
    shown_ab = o.statuses["AB"] != "absent" if "AB" in o.verdicts else np.zeros(o.n, bool)
    return np.where(shown_ab, "AB", "BA")


def _random_order_drafts(o: Outcomes, first: np.ndarray) -> list[Draft]:
    """Each item in the order `first` names: strict, then half a point for unparsed replies."""
    correct = _picked(o, first, o.correct)
    missing = _picked(o, first, o.unparsed).astype(bool)
    low, high = accuracy_bounds(correct, missing)
    strict = Draft(
        "accuracy",
        RANDOM,
        (correct,),
        o.groups,
        n_unparsed=int(missing.sum()),
        bounds=(low, high - _tie_gain(o, missing)),
        baselines=_chance(o),
    )
    half_point = (np.where(missing, 0.5, correct),)
    return [
        strict,
        replace(strict, convention=HALF, columns=half_point, bounds=(None, None)),
    ]


def _picked(o: Outcomes, first: np.ndarray, column: Callable[[Order], np.ndarray]) -> np.ndarray:
    values = {order: column(order) for order in o.verdicts}
    blank = np.zeros(o.n)
    return np.where(first == "AB", values.get("AB", blank), values.get("BA", blank))


def _consistency(o: Outcomes) -> list[Draft]:
    """Whether both orders name the same response, and how often the first answer shown wins.

    Order bias is that share less one half.
    """
    ab, ba = o.verdicts["AB"], o.verdicts["BA"]
    n_unparsed = o.n_unparsed(o.orders)
    same = ((ab == ba) & (ab != UNPARSED)).astype(float)
    both_right = o.correct("AB") * o.correct("BA")
    parsed = np.concatenate([ab != UNPARSED, ba != UNPARSED])
    first_wins = np.concatenate([ab == "A", ba == "B"]).astype(float)[parsed] - 0.5
    return [
        Draft(
            "consistency", STRICT, (same,), o.groups, n_unparsed=n_unparsed, baselines=(0.0, 0.5)
        ),
        Draft(
            "accuracy",
            CONSISTENT,
            (both_right,),
            o.groups,
            n_unparsed=n_unparsed,
            baselines=(0.0, (1 - tie_share(o)) / 4),
        ),
        Draft(
            "order_bias",
            PARSED,
            (first_wins,),
            np.concatenate([o.groups, o.groups])[parsed],
            n=o.n,
            n_unparsed=n_unparsed,
            baselines=(0.5, 0.0),
        ),
    ]
