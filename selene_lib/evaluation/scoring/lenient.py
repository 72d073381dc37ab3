"""Lenient scoring: one file of raw replies, counted as others publish and counted strictly.

Published rules accept more than the strict parser: the first word after the first marker, the first
label anywhere, half a point for what has no verdict, a middle score for what has no number. What
that is worth stands here in numbers, with every item on which the two ways of counting differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from selene_lib.errors import UserError
from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes, align_judgements
from selene_lib.judges.judging import random_order
from selene_lib.records import LABELS, Judgement, Order, Sample, Task, swap_verdict

_FIRST_WORD = re.compile(r"\*\*Result:\*\*\s*(\w+)")
Reader = Callable[[str, Task], str]


@dataclass(frozen=True)
class Rule:
    """A published way to count. `read(reply, task)` gives a label, or `""` for an unparsed reply.

    `unparsed_points` are the points of an unparsed reply, NaN where its item is dropped. `order` is
    `both` (mean over orders), `random` (one, by the item's hash) or `better` (the order with the
    higher accuracy). For absolute items `unparsed_score` is the score put in, None where the item
    is dropped.
    """

    name: str
    why: str
    read: Reader
    unparsed_points: float = 0.0
    order: str = "both"
    unparsed_score: float | None = None


def first_word(reply: str, task: Task) -> str:
    """The word after the first result marker, if it is a label, as RewardBench's code reads."""
    match = _FIRST_WORD.search(reply)
    if match is None or match.group(1) not in LABELS[task]:
        return UNPARSED
    return match.group(1)


def first_label_anywhere(reply: str, task: Task) -> str:
    """The first label that stands anywhere in the reply, capitals or not."""
    match = re.search("|".join(LABELS[task]), reply, re.IGNORECASE)
    if match is None:
        return UNPARSED
    found = match.group(0).lower()
    return next(label for label in LABELS[task] if label.lower() == found)


RULES: tuple[Rule, ...] = (
    Rule(
        "RewardBench",
        "first word after the first marker, one random order, half a point for unparsed",
        first_word,
        unparsed_points=0.5,
        order="random",
        unparsed_score=3.0,
    ),
    Rule(
        "better order",
        "first word after the first marker, the better of two orders, unparsed wrong",
        first_word,
        order="better",
    ),
    Rule(
        "unparsed dropped",
        "first word after the first marker, unparsed left out",
        first_word,
        unparsed_points=float("nan"),
    ),
    Rule(
        "first label anywhere",
        "first label found anywhere in the reply, unparsed wrong or lowest score",
        first_label_anywhere,
        unparsed_score=1.0,
    ),
)


@dataclass(frozen=True)
class LenientRow:
    """A set under one published rule beside strict.

    `gain` is published less strict; `n_differ` items changed points.
    """

    judge: str
    set: str
    task: Task
    rule: str
    why: str
    metric: str
    strict: float | None
    as_published: float | None
    gain: float | None
    n: int
    n_differ: int


@dataclass(frozen=True)
class LenientItem:
    """One reply that a published rule counts differently from the strict one."""

    judge: str
    set: str
    rule: str
    sample_id: str
    order: Order
    gold: str
    strict_verdict: str
    published_verdict: str
    strict_points: float
    published_points: float
    reply: str


def lenient_scores(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    judge: str,
    set_name: str,
    rules: Sequence[Rule] = RULES,
    seed: int = 0,
) -> tuple[list[LenientRow], list[LenientItem]]:
    """Count the raw replies by each published rule and strictly; return table and differing items.

    Points of an absolute item are 1 for the exact gold score; its metric is Pearson's r all the
    same. Raises UserError where no order has all items.
    """
    rows, items = [], []
    for outcomes in align_judgements(samples, judgements, judge=judge, set_name=set_name):
        if not outcomes.orders:
            raise UserError(
                f"{judge} on {set_name}: lenient scoring needs every item in one and the same "
                "order; judge with orders AB or both"
            )
        for rule in rules:
            read = {order: _read(outcomes, order, rule) for order in outcomes.orders}
            differing = _items(outcomes, rule, read)
            n_differ = len({item.sample_id for item in differing})
            items += differing
            rows.append(_row(outcomes, rule, read, n_differ, seed))
    return rows, items


def _read(o: Outcomes, order: Order, rule: Rule) -> np.ndarray:
    verdicts: list[str | None] = [rule.read(reply, o.task) for reply in o.replies[order]]
    if order == "BA":
        verdicts = [swap_verdict(verdict) for verdict in verdicts]
    return np.array(verdicts, dtype=object)


def _points(verdicts: np.ndarray, gold: np.ndarray, unparsed_points: float) -> np.ndarray:
    return np.where(verdicts == UNPARSED, unparsed_points, (verdicts == gold).astype(float))


def _row(
    o: Outcomes, rule: Rule, read: dict[Order, np.ndarray], n_differ: int, seed: int
) -> LenientRow:
    if o.task == "absolute":
        metric = "pearson"
        strict = _correlation(o, o.verdicts["AB"], _mean_score(o))
        published = _correlation(o, read["AB"], rule.unparsed_score)
    else:
        metric = "accuracy"
        strict = float(np.mean([o.correct(order).mean() for order in o.orders]))
        points = {order: _points(read[order], o.gold, rule.unparsed_points) for order in o.orders}
        published = _accuracy(o, rule, points, seed)
    return LenientRow(
        o.judge,
        o.set,
        o.task,
        rule.name,
        rule.why,
        metric,
        strict=_rounded(strict),
        as_published=_rounded(published),
        gain=_rounded(published - strict),
        n=o.n,
        n_differ=n_differ,
    )


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 10)


def _accuracy(o: Outcomes, rule: Rule, points: dict[Order, np.ndarray], seed: int) -> float:
    means = {order: _mean(column) for order, column in points.items()}
    if rule.order == "better":
        return max(means.values())
    if rule.order == "random" and len(points) == 2:
        first = np.array([random_order(str(i), seed) for i in o.ids], dtype=object)
        return _mean(np.where(first == "AB", points["AB"], points["BA"]))
    return float(np.mean(list(means.values())))


def _mean(column: np.ndarray) -> float:
    kept = column[~np.isnan(column)]
    return float(kept.mean()) if len(kept) else float("nan")


def _scores(verdicts: np.ndarray) -> np.ndarray:
    return np.array([float(v) if v != UNPARSED else np.nan for v in verdicts])


def _mean_score(o: Outcomes) -> float:
    """The judge's mean score, what strict scoring puts in for an unparsed reply."""
    scores = _scores(o.verdicts["AB"])[~np.isnan(o.gold_score)]
    return 0.0 if np.isnan(scores).all() else float(np.nanmean(scores))


def _correlation(o: Outcomes, verdicts: np.ndarray, unparsed_score: float | None) -> float:
    scores = _scores(verdicts)
    if unparsed_score is not None:
        scores = np.where(np.isnan(scores), unparsed_score, scores)
    seen = ~np.isnan(o.gold_score) & ~np.isnan(scores)
    return metrics.metric_value("pearson", scores[seen], o.gold_score[seen])


def _items(o: Outcomes, rule: Rule, read: dict[Order, np.ndarray]) -> list[LenientItem]:
    items = []
    for order in o.orders:
        strict, published = o.correct(order), _points(read[order], o.gold, rule.unparsed_points)
        for i in np.flatnonzero((strict != published) | (o.verdicts[order] != read[order])):
            items.append(
                LenientItem(
                    o.judge,
                    o.set,
                    rule.name,
                    str(o.ids[i]),
                    order,
                    str(o.gold[i]),
                    str(o.verdicts[order][i]),
                    str(read[order][i]),
                    float(strict[i]),
                    float(published[i]),
                    str(o.replies[order][i]),
                )
            )
    return items
