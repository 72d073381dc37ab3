"""Judgements laid beside gold labels: one row an item, one column an order, nothing decided yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

import numpy as np

from selene_lib.records import LABELS, TIE, Judgement, Order, Sample, Task

UNPARSED = ""
_NO_META: dict[str, Any] = {}  # one for all samples without any


@dataclass(frozen=True)
class Outcomes:
    """One judge on the items of one task of one set; all arrays are [n_items], in sample order.

    `verdicts[order]` are labels in the words of the sample as it stands (a verdict under `BA` is
    already turned round), `""` where the reply had none. `subsets` are the parts with a score of
    their own (`meta["subset"]`, `""` without), `metas` the samples' `meta`. `groups` numbers the
    clusters. `gold` is the gold label (`tie` possible), `""` where there is none; `gold_score` is
    NaN where there is no number. `probs[order]` is [n_items, n_labels] in the sample's words, NaN
    where unknown.
    """

    judge: str
    set: str
    task: Task
    ids: np.ndarray
    groups: np.ndarray
    subsets: np.ndarray
    metas: np.ndarray
    gold: np.ndarray
    gold_score: np.ndarray
    verdicts: dict[Order, np.ndarray]
    statuses: dict[Order, np.ndarray]
    replies: dict[Order, np.ndarray]
    probs: dict[Order, np.ndarray]

    @property
    def n(self) -> int:
        return len(self.ids)

    @property
    def orders(self) -> tuple[Order, ...]:
        """The orders that every item was judged in."""
        both: tuple[Order, ...] = ("AB", "BA")
        return tuple(order for order in both if order in self.verdicts and self.complete(order))

    def complete(self, order: Order) -> bool:
        """Whether every item was judged in this order."""
        return not (self.statuses[order] == "absent").any()

    def correct(self, order: Order) -> np.ndarray:
        """1.0 where the verdict is the gold label, else 0.0.

        Unparsed is wrong; on a gold tie only the verdict `tie` is right.
        """
        return ((self.verdicts[order] == self.gold) & (self.gold != UNPARSED)).astype(float)

    def unparsed(self, order: Order) -> np.ndarray:
        return self.verdicts[order] == UNPARSED

    def n_unparsed(self, orders: Sequence[Order]) -> int:
        return int(sum(self.unparsed(order).sum() for order in orders))

    def status_counts(self) -> dict[str, int]:
        """How many replies have which status, values apart."""
        counts = Counter(str(s) for order in self.orders for s in self.statuses[order])
        return {name: n for name, n in sorted(counts.items()) if name != "value"}


def align_judgements(
    samples: Sequence[Sample], judgements: Sequence[Judgement], *, judge: str, set_name: str
) -> list[Outcomes]:
    """Align judgements with samples, one `Outcomes` a task that occurs.

    Raises ValueError for a sample nobody judged, naming it.
    """
    mine = {(j.sample_id, j.order): j for j in judgements if j.judge == judge and j.set == set_name}
    judged = {sample_id for sample_id, _ in mine}
    missing = next((s.id for s in samples if s.id not in judged), None)
    if missing is not None:
        raise ValueError(
            f"{judge} on {set_name}: no judgement of sample {missing}; "
            "judge the set to its end before scoring"
        )
    tasks = sorted({s.task for s in samples})
    return [
        _one_task([s for s in samples if s.task == task], mine, task, judge, set_name)
        for task in tasks
    ]


# Of a block, by task: a 64-bit hash of the group of each sample.
Groups = Mapping[str, np.ndarray]


def join_outcomes(parts: Sequence[tuple[Groups, list[Outcomes]]]) -> list[Outcomes]:
    """Join what was aligned block by block: one `Outcomes` a task, as all at once would give."""
    tasks = sorted({outcomes.task for _, block in parts for outcomes in block})
    return [
        _join([(g[task], o) for g, block in parts for o in block if o.task == task])
        for task in tasks
    ]


def _join(parts: Sequence[tuple[np.ndarray, Outcomes]]) -> Outcomes:
    blocks = [outcomes for _, outcomes in parts]
    both: tuple[Order, ...] = ("AB", "BA")
    orders = [order for order in both if any(order in block.verdicts for block in blocks)]
    hashes = np.concatenate([groups for groups, _ in parts])

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) for block in blocks])

    def by_order(name: str) -> dict[Order, np.ndarray]:
        return {o: np.concatenate([_of_order(b, name, o) for b in blocks]) for o in orders}

    return replace(
        blocks[0],
        ids=joined("ids"),
        groups=_numbered_hashes(hashes),
        subsets=joined("subsets"),
        metas=joined("metas"),
        gold=joined("gold"),
        gold_score=joined("gold_score"),
        verdicts=by_order("verdicts"),
        statuses=by_order("statuses"),
        replies=by_order("replies"),
        probs=by_order("probs"),
    )


def _of_order(block: Outcomes, name: str, order: Order) -> np.ndarray:
    """A column of a block; as nobody answered, where it was not judged in this order."""
    column = getattr(block, name).get(order)
    if column is not None:
        return column
    if name == "probs":
        return np.full((block.n, len(LABELS[block.task])), np.nan)
    return np.full(block.n, "absent" if name == "statuses" else "", dtype=object)


Judged = dict[Order, list[Judgement | None]]


def _one_task(
    samples: list[Sample],
    mine: dict[tuple[str, Order], Judgement],
    task: Task,
    judge: str,
    set_name: str,
) -> Outcomes:
    orders: tuple[Order, ...] = ("AB", "BA") if task == "pairwise" else ("AB",)
    judged: Judged = {}
    for order in orders:
        found = [mine.get((s.id, order)) for s in samples]
        if any(found):
            judged[order] = found
    return Outcomes(
        judge=judge,
        set=set_name,
        task=task,
        ids=np.array([s.id for s in samples], dtype=object),
        groups=_numbered([s.group or s.id for s in samples]),
        subsets=np.array([intern(str(s.meta.get("subset", ""))) for s in samples], dtype=object),
        metas=np.array([dict(s.meta) if s.meta else _NO_META for s in samples], dtype=object),
        gold=np.array([intern(s.label or UNPARSED) for s in samples], dtype=object),
        gold_score=np.array([_gold_score(s) for s in samples], dtype=float),
        verdicts=_texts(judged, lambda j: intern(_verdict(j))),
        statuses=_texts(judged, lambda j: intern(j.status if j else "absent")),
        replies=_texts(judged, lambda j: j.reply if j else ""),
        probs={order: _probs(found, LABELS[task]) for order, found in judged.items()},
    )


def _texts(judged: Judged, read: Callable[[Judgement | None], str]) -> dict[Order, np.ndarray]:
    return {
        order: np.array([read(judgement) for judgement in found], dtype=object)
        for order, found in judged.items()
    }


def _numbered(names: list[str]) -> np.ndarray:
    """Names as numbers in the order in which they first occur.

    Sorting numbers instead of names is what makes resampling fast.
    """
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names])


def _numbered_hashes(hashes: np.ndarray) -> np.ndarray:
    """As `_numbered`, of hashes."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _verdict(judgement: Judgement | None) -> str:
    if judgement is None or judgement.status != "value" or judgement.verdict is None:
        return UNPARSED
    return judgement.verdict_of_sample or UNPARSED


def _probs(found: list[Judgement | None], labels: tuple[str, ...]) -> np.ndarray:
    """Verdict probabilities in the sample's words, [n_items, n_labels]."""
    rows = [_probs_of_item(judgement, labels) for judgement in found]
    return np.array(rows, dtype=float).reshape(len(found), len(labels))


def _probs_of_item(judgement: Judgement | None, labels: tuple[str, ...]) -> list[float]:
    if judgement is None or judgement.verdict_probs is None or judgement.status != "value":
        return [float("nan")] * len(labels)
    probs = [float(judgement.verdict_probs.get(label, float("nan"))) for label in labels]
    return probs[::-1] if judgement.order == "BA" else probs


def _gold_score(sample: Sample) -> float:
    if sample.score is not None:
        return float(sample.score)
    if sample.task == "absolute" and sample.label:
        return float(sample.label)
    return float("nan")


def tie_share(outcomes: Outcomes) -> float:
    """Share of items whose gold label is a tie: a judge that must name a winner gets none right."""
    return float((outcomes.gold == TIE).mean()) if outcomes.n else 0.0
