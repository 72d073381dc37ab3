"""The twin scorer: one file of raw replies, counted as others publish and counted strictly, with
every item on which the two differ.

Published rules read replies more kindly than the strict parser: the first word after the first
marker, the first label anywhere, half a point for what cannot be read, a middle score for what has
no number. What that kindness is worth stands here in numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from selene_lib.errors import UserError
from selene_lib.evaluation import metrics
from selene_lib.evaluation.scoring.outcomes import UNPARSED, Outcomes, lay_out
from selene_lib.judges.judging import random_order
from selene_lib.records import LABELS, Judgement, Order, Sample, Task, swap_verdict

_FIRST_WORD = re.compile(r"\*\*Result:\*\*\s*(\w+)")
Reader = Callable[[str, Task], str]


@dataclass(frozen=True)
class Rule:
    """A published way to count. `read(reply, task)` gives a label or `""`; `unread` is the points
    of a reply without one.

    `order` is `both` (mean over orders), `random` (one, by the item's hash) or `better` (the order
    with the higher accuracy). For absolute items `unread_score` is the score put in, None where the
    item is dropped.
    """

    name: str
    why: str
    read: Reader
    unread: float = 0.0
    order: str = "both"
    unread_score: float | None = None


def first_word(reply: str, task: Task) -> str:
    """The word after the first result marker if it is a label, as RewardBench's code reads this
    model.
    """
    match = _FIRST_WORD.search(reply)
    return match.group(1) if match and match.group(1) in LABELS[task] else UNPARSED


def first_label_anywhere(reply: str, task: Task) -> str:
    """The first label that stands anywhere in the reply, capitals or not:
    INCORRECT-contains-CORRECT reading.
    """
    match = re.search("|".join(LABELS[task]), reply, re.IGNORECASE)
    return next(
        (label for label in LABELS[task] if match and label.lower() == match.group(0).lower()),
        UNPARSED,
    )


RULES: tuple[Rule, ...] = (
    Rule(
        "rewardbench",
        "first word after the first marker, one random order, half a point for unreadable",
        first_word,
        0.5,
        "random",
        3.0,
    ),
    Rule(
        "better order",
        "first word after the first marker, the better of two orders, unreadable wrong",
        first_word,
        0.0,
        "better",
    ),
    Rule(
        "drop unreadable",
        "first word after the first marker, unreadable left out",
        first_word,
        float("nan"),
        "both",
    ),
    Rule(
        "lenient",
        "first label found anywhere in the reply, unreadable wrong or lowest score",
        first_label_anywhere,
        0.0,
        "both",
        1.0,
    ),
)


@dataclass(frozen=True)
class TwinRow:
    """A set under one published rule beside strict. `gain` is published less strict; `n_differ`
    items changed points.
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
class TwinItem:
    """One reply that the two scorers count differently."""

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


def twin_scores(
    samples: Sequence[Sample],
    judgements: Sequence[Judgement],
    *,
    judge: str,
    set_name: str,
    rules: Sequence[Rule] = RULES,
    seed: int = 0,
) -> tuple[list[TwinRow], list[TwinItem]]:
    """Count the raw replies by each published rule and strictly; return the table and the list of
    items that differ.

    Points of an absolute item are 1 for the exact gold score; its metric is Pearson's r all the
    same.
    """
    rows, items = [], []
    for outcomes in lay_out(samples, judgements, judge=judge, set_name=set_name):
        if not outcomes.orders:
            raise UserError(
                f"{judge} on {set_name}: the twin scorer needs every item in one and the same order; judge with orders AB or both"
            )
        for rule in rules:
            read = {order: _read(outcomes, order, rule) for order in outcomes.orders}
            differing = _items(outcomes, rule, read)
            items += differing
            rows.append(
                _row(outcomes, rule, read, len({item.sample_id for item in differing}), seed)
            )
    return rows, items


def _read(o: Outcomes, order: Order, rule: Rule) -> np.ndarray:
    verdicts = [rule.read(reply, o.task) for reply in o.replies[order]]
    return np.array([swap_verdict(v) if order == "BA" else v for v in verdicts], dtype=object)


def _points(verdicts: np.ndarray, gold: np.ndarray, unread: float) -> np.ndarray:
    return np.where(verdicts == UNPARSED, unread, (verdicts == gold).astype(float))


def _row(
    o: Outcomes, rule: Rule, read: dict[Order, np.ndarray], n_differ: int, seed: int
) -> TwinRow:
    if o.task == "absolute":
        metric, strict, published = (
            "pearson",
            _correlation(o, o.verdicts["AB"], "mean"),
            _correlation(o, read["AB"], rule.unread_score),
        )
    else:
        metric = "accuracy"
        strict = float(np.mean([o.correct(order).mean() for order in o.orders]))
        published = _accuracy(
            o, rule, {order: _points(read[order], o.gold, rule.unread) for order in o.orders}, seed
        )
    values = [
        None if np.isnan(v) else round(v, 10) for v in (strict, published, published - strict)
    ]
    return TwinRow(
        o.judge, o.set, o.task, rule.name, rule.why, metric, *values, n=o.n, n_differ=n_differ
    )


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


def _correlation(o: Outcomes, verdicts: np.ndarray, unread: float | str | None) -> float:
    scores = np.array([float(v) if v != UNPARSED else np.nan for v in verdicts])
    has = ~np.isnan(o.gold_score)
    if unread == "mean":
        scores = np.where(
            np.isnan(scores),
            np.nanmean(scores[has]) if (~np.isnan(scores[has])).any() else 0.0,
            scores,
        )
    elif unread is not None:
        scores = np.where(np.isnan(scores), float(unread), scores)
    seen = has & ~np.isnan(scores)
    return metrics.pearson(scores[seen], o.gold_score[seen]) if seen.any() else float("nan")


def _items(o: Outcomes, rule: Rule, read: dict[Order, np.ndarray]) -> list[TwinItem]:
    items = []
    for order in o.orders:
        strict, published = o.correct(order), _points(read[order], o.gold, rule.unread)
        for i in np.flatnonzero((strict != published) | (o.verdicts[order] != read[order])):
            items.append(
                TwinItem(
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
