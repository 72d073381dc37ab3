"""One set of verdicts, counted in each named way: strict first, then as others publish.

`strict` gives no free points: an unparsed reply is wrong. Where the metric is a correlation,
"wrong" has no number: an unparsed score is put at the judge's mean, so that it says nothing and r
shrinks; the bounds say what it could have been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes, tie_share
from selene_lib.evaluation.scoring.rows import STRICT, Draft
from selene_lib.judges.judging import random_order
from selene_lib.paper import values as paper
from selene_lib.records import LABELS, TIE, Order

BOTH = "both orders, strict"
BETTER = "better of two orders"
RANDOM = "one random order, strict"
HALF = "one random order, half a point for unreadable"
PARSED = "parsed only"


def drafts_of(outcomes: Outcomes, seed: int) -> list[Draft]:
    """All rows of one task of one set; exactly one of them has `meta["headline"]`."""
    makers: dict[str, Callable[[Outcomes, int], list[Draft]]] = {
        "absolute": _absolute,
        "classification": _classification,
        "pairwise": _pairwise,
    }
    return [*makers[outcomes.task](outcomes, seed), *_calibration(outcomes)]


def _calibration(o: Outcomes) -> list[Draft]:
    """Calibration of the probability given to the verdict, over all orders; nothing where a judge
    gives no probabilities.
    """
    confidence, correct, groups = [], [], []
    for order in o.verdicts:
        sure = np.array(
            [
                dict(zip(LABELS[o.task], p)).get(v, np.nan)
                for v, p in zip(o.verdicts[order], o.probs[order])
            ]
        )
        use = ~np.isnan(sure) & (o.gold != UNPARSED)
        confidence.append(np.round(np.clip(sure[use], 0, 1), 3))
        correct.append(o.correct(order)[use])
        groups.append(o.groups[use])
    if not sum(map(len, confidence)):
        return []
    columns = (np.concatenate(confidence), np.concatenate(correct))
    n_unparsed = o.n_unparsed(list(o.verdicts))
    return [
        Draft(
            "expected_calibration_error",
            PARSED,
            columns,
            np.concatenate(groups),
            "expected_calibration_error",
            n_unparsed=n_unparsed,
        )
    ]


def _classification(o: Outcomes, _seed: int) -> list[Draft]:
    correct, missing = o.correct("AB"), o.unparsed("AB")
    n_unparsed, baselines = int(missing.sum()), (_majority(o.gold), 0.5)
    gold, verdict = _codes(o.gold), _codes(o.verdicts["AB"])
    best = np.where(missing, gold, verdict)
    common = {"n_unparsed": n_unparsed, "groups": o.groups}
    rows = [
        Draft(
            "accuracy",
            STRICT,
            (correct,),
            bounds=_bounds(correct, missing),
            baselines=baselines,
            meta=_headline(o),
            **common,
        ),
        Draft(
            "accuracy",
            PARSED,
            (correct[~missing],),
            groups=o.groups[~missing],
            n_unparsed=n_unparsed,
            baselines=baselines,
        ),
        Draft(
            "accuracy",
            "half a point for unreadable",
            (np.where(missing, 0.5, correct),),
            baselines=baselines,
            **common,
        ),
        Draft(
            "balanced_accuracy",
            STRICT,
            (verdict, gold),
            kind="balanced_accuracy",
            bounds=(
                metrics.metric_value("balanced_accuracy", verdict, gold),
                metrics.metric_value("balanced_accuracy", best, gold),
            ),
            baselines=(0.5, 0.5),
            **common,
        ),
        Draft(
            "cohens_kappa",
            STRICT,
            (verdict, gold),
            kind="cohens_kappa",
            baselines=(0.0, 0.0),
            **common,
        ),
    ]
    return rows


def _absolute(o: Outcomes, _seed: int) -> list[Draft]:
    has_gold = ~np.isnan(o.gold_score)
    missing = o.unparsed("AB")
    score = np.array([float(v) if v != UNPARSED else np.nan for v in o.verdicts["AB"]])
    seen = ~missing & has_gold
    n_unparsed, gold = int((missing & has_gold).sum()), o.gold_score[has_gold]
    filled = np.where(missing, score[seen].mean() if seen.any() else 0.0, score)[has_gold]
    bounds = metrics.correlation_bounds(
        score[seen], o.gold_score[seen], o.gold_score[missing & has_gold]
    )
    strict = {"n_unparsed": n_unparsed, "groups": o.groups[has_gold]}
    parsed = {"n_unparsed": n_unparsed, "groups": o.groups[seen]}
    rows = [
        Draft(
            "pearson",
            STRICT,
            (filled, gold),
            kind="pearson",
            bounds=bounds,
            baselines=(0.0, 0.0),
            meta=_headline(o),
            **strict,
        )
    ]
    rows += [
        Draft(
            "pearson",
            PARSED,
            (score[seen], o.gold_score[seen]),
            kind="pearson",
            baselines=(0.0, 0.0),
            **parsed,
        )
    ]
    rows += [
        Draft(name, STRICT, (filled, gold), kind=name, baselines=(0.0, 0.0), **strict)
        for name in ("spearman", "kendall")
    ]
    rows += [
        Draft(
            "mean_absolute_error",
            PARSED,
            (score[seen], o.gold_score[seen]),
            kind="mean_absolute_error",
            **parsed,
        )
    ]
    return [*rows, *_exact(o, missing), *_expected(o, seen, parsed)]


def _exact(o: Outcomes, missing: np.ndarray) -> list[Draft]:
    """Share of items whose score is exactly the gold label, where the gold is a whole score."""
    has = o.gold != UNPARSED
    if not has.any():
        return []
    correct = o.correct("AB")[has]
    baselines = (_majority(o.gold[has]), 0.2)
    return [
        Draft(
            "accuracy",
            STRICT,
            (correct,),
            o.groups[has],
            n_unparsed=int(missing[has].sum()),
            bounds=_bounds(correct, missing[has]),
            baselines=baselines,
        )
    ]


def _expected(o: Outcomes, seen: np.ndarray, common: dict) -> list[Draft]:
    """Pearson of the expected score under the verdict's probabilities, where every parsed reply has
    them.
    """
    expected = o.probs["AB"] @ np.arange(1.0, 6.0)
    if not seen.any() or np.isnan(expected[seen]).any():
        return []
    return [
        Draft(
            "pearson_expected_score",
            PARSED,
            (np.round(expected[seen], 4), o.gold_score[seen]),
            kind="pearson",
            baselines=(0.0, 0.0),
            **common,
        )
    ]


def _pairwise(o: Outcomes, seed: int) -> list[Draft]:
    orders = o.orders
    if orders != ("AB", "BA"):
        return _one_order_rows(o, orders, seed)
    correct = {order: o.correct(order) for order in orders}
    missing = {order: o.unparsed(order) for order in orders}
    mean_correct, mean_missing = (
        (correct["AB"] + correct["BA"]) / 2,
        (missing["AB"].astype(float) + missing["BA"]) / 2,
    )
    ties = tie_share(o)
    common = {
        "n_unparsed": o.n_unparsed(orders),
        "groups": o.groups,
        "baselines": ((1 - ties) / 2, (1 - ties) / 2),
    }
    bounds = (
        float(mean_correct.mean()),
        float((mean_correct + mean_missing).mean()) - _tie_gain(o, mean_missing),
    )
    rows = [Draft("accuracy", BOTH, (mean_correct,), bounds=bounds, meta=_headline(o), **common)]
    rows += [_single(o, order, correct[order], missing[order]) for order in orders]
    better = max(orders, key=lambda order: (correct[order].mean(), order == "AB"))
    rows += [
        _renamed(_single(o, better, correct[better], missing[better]), BETTER, {"order": better})
    ]
    randoms = _random_order(o, correct, missing, seed)
    rows += randoms
    if ties:
        decided = o.gold != TIE
        rows += [
            Draft(
                "accuracy",
                f"{BOTH}, gold ties left out",
                (mean_correct[decided],),
                o.groups[decided],
                n_unparsed=common["n_unparsed"],
            )
        ]
    sections = _sections(o, mean_correct, mean_missing, randoms[1])
    if sections:
        rows[0] = replace(rows[0], meta={})
    return [*rows, *_consistency(o), *sections]


def _one_order_rows(o: Outcomes, orders: tuple[Order, ...], seed: int) -> list[Draft]:
    """Rows for items judged once each: in one fixed order, or in the one of their hash."""
    if orders:
        correct, missing = o.correct(orders[0]), o.unparsed(orders[0])
        row = _single(o, orders[0], correct, missing)
        return [_renamed(row, row.convention, _headline(o))]
    first = np.array(
        [
            random_order(str(i), seed) if len(o.verdicts) > 1 else next(iter(o.verdicts))
            for i in o.ids
        ],
        dtype=object,
    )
    shown = {order: o.statuses[order] != "absent" for order in o.verdicts}
    first = (
        np.where(shown.get("AB", np.zeros(o.n, bool)), "AB", "BA")
        if any((~s).any() for s in shown.values())
        else first
    )
    pick = _picker(first, o)
    rows = _random_rows(o, pick(o.correct), pick(o.unparsed))
    return [_renamed(rows[0], rows[0].convention, _headline(o)), *rows[1:]]


def _picker(
    first: np.ndarray, o: Outcomes
) -> Callable[[Callable[[Order], np.ndarray]], np.ndarray]:
    def pick(column: Callable[[Order], np.ndarray]) -> np.ndarray:
        values = {order: column(order) for order in o.verdicts}
        blank = np.zeros(o.n)
        return np.where(first == "AB", values.get("AB", blank), values.get("BA", blank))

    return pick


def _random_order(o: Outcomes, correct: dict, missing: dict, seed: int) -> list[Draft]:
    first = np.array([random_order(str(i), seed) for i in o.ids], dtype=object)
    return _random_rows(
        o,
        np.where(first == "AB", correct["AB"], correct["BA"]),
        np.where(first == "AB", missing["AB"], missing["BA"]),
    )


def _random_rows(o: Outcomes, correct: np.ndarray, missing: np.ndarray) -> list[Draft]:
    missing, ties = missing.astype(bool), tie_share(o)
    common = {
        "groups": o.groups,
        "n_unparsed": int(missing.sum()),
        "baselines": ((1 - ties) / 2, (1 - ties) / 2),
    }
    low, high = _bounds(correct, missing)
    strict = Draft(
        "accuracy", RANDOM, (correct,), bounds=(low, high - _tie_gain(o, missing)), **common
    )
    return [strict, Draft("accuracy", HALF, (np.where(missing, 0.5, correct),), **common)]


def _single(o: Outcomes, order: Order, correct: np.ndarray, missing: np.ndarray) -> Draft:
    low, high = _bounds(correct, missing)
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


def _renamed(draft: Draft, convention: str, meta: dict) -> Draft:
    return replace(draft, convention=convention, meta={**draft.meta, **meta})


def _consistency(o: Outcomes) -> list[Draft]:
    """Consistency: both orders name the same response. Order bias: how much more often than half
    the first answer shown wins.
    """
    ab, ba = o.verdicts["AB"], o.verdicts["BA"]
    same = ((ab == ba) & (ab != UNPARSED)).astype(float)
    both_right = o.correct("AB") * o.correct("BA")
    parsed = np.concatenate([ab != UNPARSED, ba != UNPARSED])
    first_wins = np.concatenate([ab == "A", ba == "B"]).astype(float)[parsed] - 0.5
    groups, n_unparsed = np.concatenate([o.groups, o.groups])[parsed], o.n_unparsed(("AB", "BA"))
    return [
        Draft(
            "consistency", STRICT, (same,), o.groups, n_unparsed=n_unparsed, baselines=(0.0, 0.5)
        ),
        Draft(
            "accuracy",
            "right in both orders",
            (both_right,),
            o.groups,
            n_unparsed=n_unparsed,
            baselines=(0.0, (1 - tie_share(o)) / 4),
        ),
        Draft(
            "order_bias",
            PARSED,
            (first_wins,),
            groups,
            n=o.n,
            n_unparsed=n_unparsed,
            baselines=(0.5, 0.0),
        ),
    ]


def _sections(
    o: Outcomes, mean_correct: np.ndarray, mean_missing: np.ndarray, half: Draft
) -> list[Draft]:
    """RewardBench's four sections and their mean with the published weights; nothing unless all 23
    subsets are here.
    """
    if not set(o.subsets) >= set(paper.REWARD_BENCH_WEIGHTS):
        return []
    weights = section_weights(o.subsets)
    common = {"kind": "weighted_mean", "groups": o.groups, "baselines": (0.5, 0.5)}
    bounds = tuple(
        float(weights @ column) for column in (mean_correct, mean_correct + mean_missing)
    )
    meta = {**_headline(o), "weights": "published"}
    rows = [
        Draft(
            "section_mean",
            BOTH,
            (mean_correct, weights),
            bounds=bounds,
            n_unparsed=o.n_unparsed(("AB", "BA")),
            meta=meta,
            **common,
        )
    ]
    rows += [
        Draft(
            "section_mean", HALF, (half.columns[0], weights), n_unparsed=half.n_unparsed, **common
        )
    ]
    for section, subsets in paper.REWARD_BENCH_SECTIONS.items():
        mine = np.isin(o.subsets, subsets)
        columns = (mean_correct[mine], weights[mine])
        missing = round(2 * mean_missing[mine].sum())
        rows.append(
            Draft(
                f"section {section}",
                BOTH,
                columns,
                o.groups[mine],
                kind="weighted_mean",
                n_unparsed=missing,
                baselines=(0.5, 0.5),
            )
        )
    return rows


def section_weights(subsets: np.ndarray) -> np.ndarray:
    """Weight of each RewardBench item so that the sum of weight times outcome is the published mean
    of the four sections.

    Each section weighs a quarter, each subset inside it by `paper.REWARD_BENCH_WEIGHTS`, each item
    of a subset the same.
    """
    weights = np.zeros(len(subsets))
    for names in paper.REWARD_BENCH_SECTIONS.values():
        total = sum(paper.REWARD_BENCH_WEIGHTS[name] for name in names)
        for name in names:
            mine = subsets == name
            weights[mine] = (
                paper.REWARD_BENCH_WEIGHTS[name]
                / total
                / max(1, mine.sum())
                / len(paper.REWARD_BENCH_SECTIONS)
            )
    return weights


def _bounds(correct: np.ndarray, missing: np.ndarray) -> tuple[float, float]:
    """The metric with every unparsed reply wrong, and with every one right."""
    if not len(correct):
        return float("nan"), float("nan")
    return float(np.where(missing, 0.0, correct).mean()), float(
        np.where(missing, 1.0, correct).mean()
    )


def _tie_gain(o: Outcomes, missing: np.ndarray) -> float:
    """What an upper bound must not count: unparsed replies on gold ties, which no verdict could
    have got right.
    """
    return float((missing * (o.gold == TIE)).sum() / o.n) if o.n else 0.0


def _majority(gold: np.ndarray) -> float:
    return (
        float(max(np.unique(gold.astype(str), return_counts=True)[1]) / len(gold))
        if len(gold)
        else float("nan")
    )


def _codes(labels: np.ndarray) -> np.ndarray:
    order = {label: i for i, label in enumerate((*LABELS["classification"], UNPARSED))}
    return np.array([float(order[label]) for label in labels])


def _headline(o: Outcomes) -> dict:
    meta: dict = {"headline": True, "statuses": o.status_counts()}
    if ties := tie_share(o):
        meta |= {"gold_tie_share": round(ties, 6), "ceiling": round(1 - ties, 6)}
    return meta
