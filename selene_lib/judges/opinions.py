"""One verdict from several: replies of one judge, criteria with weights and vetoes, judges of a
panel.

Every reply is stored like any other, so that all of this is worked out again without a model.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from selene_lib.errors import UserError
from selene_lib.judges.judging import Asking, plan_questions
from selene_lib.judges.protocol import Question
from selene_lib.judges.results import TIED, ItemResult, item_result
from selene_lib.records import Judgement, Sample, labels_of

Combine = Literal["majority", "mean"]
COMBINES: tuple[Combine, ...] = ("majority", "mean")


@dataclass(frozen=True)
class Criterion:
    """One of several things that a response is judged by.

    Its verdict counts `weight` times. With `veto`, the lowest verdict here (the lowest score, No)
    is the verdict of the whole; of a pair, the response that loses here loses.
    """

    name: str
    rubric: str
    weight: float = 1.0
    veto: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UserError("a criterion has no name: give it one")
        if not (0 <= self.weight < math.inf) or (self.weight == 0 and not self.veto):
            raise UserError(f"criterion {self.name!r}: the weight {self.weight} is not above 0")


@dataclass(frozen=True)
class Opinion:
    """How one judge comes to its verdict on an item: what it is asked, and how replies combine."""

    asking: Asking
    criteria: tuple[Criterion, ...] = ()
    combine: Combine = "majority"

    def __post_init__(self) -> None:
        if self.combine not in COMBINES:
            raise UserError(f"combine {self.combine!r} is not one of {', '.join(COMBINES)}")
        names = [criterion.name for criterion in self.criteria]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UserError(f"two criteria are called {twice!r}; give each a name of its own")

    @property
    def n_replies(self) -> int:
        """Replies to one item in one order."""
        return max(1, self.asking.n_samples) * max(1, len(self.criteria))

    def expand(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples that are asked about: one a criterion, where there are criteria."""
        if not self.criteria:
            return list(samples)
        return [_under(sample, criterion) for sample in samples for criterion in self.criteria]

    def questions(self, samples: Sequence[Sample]) -> list[Question]:
        """Every question about these samples."""
        return plan_questions(self.expand(samples), self.asking)

    def results(
        self, samples: Sequence[Sample], judgements: Sequence[Judgement]
    ) -> list[ItemResult]:
        """One result a sample, from the judgements of all its questions."""
        by_id: dict[str, dict[int, list[Judgement]]] = {}
        for judgement in judgements:
            mine = by_id.setdefault(judgement.sample_id, {})
            mine.setdefault(judgement.draw, []).append(judgement)
        return [self._result(sample, by_id) for sample in samples]

    def _result(
        self, sample: Sample, by_id: Mapping[str, Mapping[int, list[Judgement]]]
    ) -> ItemResult:
        if not self.criteria:
            return self._of_draws(sample.kind, by_id[sample.id])
        parts = {
            criterion.name: self._of_draws(sample.kind, by_id[_under(sample, criterion).id])
            for criterion in self.criteria
        }
        return weigh(parts, self.criteria)

    def _of_draws(self, kind: str, draws: Mapping[int, list[Judgement]]) -> ItemResult:
        found = {
            f"sample {number}": item_result(
                kind, sorted(mine, key=lambda j: j.order), self.asking.additions.may_abstain
            )
            for number, mine in sorted(draws.items())
        }
        return next(iter(found.values())) if len(found) == 1 else combine(found, self.combine)


def _under(sample: Sample, criterion: Criterion) -> Sample:
    """A sample as it is judged by one criterion; gold labels are of the whole."""
    name = f"{sample.id}#{criterion.name}"
    return replace(sample, id=name, rubric=criterion.rubric, label=None, score=None)


def combine(parts: Mapping[str, ItemResult], how: Combine = "majority") -> ItemResult:
    """One result from several on the same item: `majority` of the verdicts, or their `mean`.

    The mean of scores is rounded to a whole one, half up; that of Yes and No, or A and B, names the
    side that has more. Results without a verdict do not vote; a draw has the status `tied`, but
    among scores the one nearest to the mean wins, the lower of two.
    """
    found = list(parts.values())
    kind = found[0].kind
    voting = [result for result in found if result.label is not None]
    judgements = tuple(j for result in found for j in result.judgements)
    if not voting:
        first = found[0]
        return replace(first, judgements=judgements, parts=dict(parts))
    scores = [_score(result) for result in voting]
    mean = statistics.fmean(scores)
    label = _middle(kind, mean) if how == "mean" else _majority(kind, voting, mean)
    votes = Counter(result.label for result in voting)
    spread = statistics.pstdev(scores)
    if label is None:
        told = " and ".join(f"{votes[name]} for {name}" for name in labels_of(kind))
        return ItemResult(
            kind, None, TIED, f"the votes are even: {told}", voting[0].raw, None, None,
            mean, spread, judgements, dict(parts),
        )  # fmt: skip
    speaker = next((r for r in voting if r.label == label), voting[0])
    share = round(votes[label] / len(voting), 6)
    probabilities = {name: round(votes[name] / len(voting), 6) for name in labels_of(kind)}
    return ItemResult(
        kind, label, "value", "", speaker.raw, share, probabilities,
        mean, spread, judgements, dict(parts),
    )  # fmt: skip


def _score(result: ItemResult) -> float:
    if result.score is None:
        raise ValueError("a result with a verdict has a score")
    return result.score


def _majority(kind: str, voting: Sequence[ItemResult], mean: float) -> str | None:
    votes = Counter(str(result.label) for result in voting)
    most = max(votes.values())
    first = [label for label in labels_of(kind) if votes[label] == most]
    if len(first) == 1:
        return first[0]
    if kind in ("classification", "pairwise"):
        return None
    return min(first, key=lambda label: (abs(float(label) - mean), float(label)))


def _middle(kind: str, mean: float) -> str | None:
    """The label that a mean score stands for."""
    labels = labels_of(kind)
    if kind in ("classification", "pairwise"):
        return None if mean == 0.5 else labels[0] if mean > 0.5 else labels[1]
    return str(math.floor(mean + 0.5))


def weigh(parts: Mapping[str, ItemResult], criteria: Sequence[Criterion]) -> ItemResult:
    """One result from those of several criteria on one item, by weight and veto.

    Where a criterion has no verdict the whole has none, and its reason names the criterion.
    """
    first = next(iter(parts.values()))
    kind, labels = first.kind, labels_of(first.kind)
    judgements = tuple(j for result in parts.values() for j in result.judgements)
    for name, result in parts.items():
        if result.label is None:
            reason = f"{name}: {result.reason or result.status}"
            return replace(result, reason=reason, judgements=judgements, parts=dict(parts))
    weights = sum(c.weight for c in criteria) or 1.0
    mean = sum(c.weight * _score(parts[c.name]) for c in criteria) / weights
    label, reason = _middle(kind, mean), ""
    lowest = labels[-1] if kind == "classification" else labels[0]
    for criterion in criteria:
        said = parts[criterion.name].label
        if criterion.veto and (kind == "pairwise" or said == lowest):
            label, reason = said, f"{criterion.name} decides"
            break
    status = "value" if label is not None else TIED
    told = "\n".join(f"{name} ({r.label}): {r.reasoning}".strip() for name, r in parts.items())
    return ItemResult(
        kind, label, status, reason or ("" if label else "the criteria are even"), told, None,
        None, mean, None, judgements, dict(parts),
    )  # fmt: skip


def majority_of_draws(judgements: Sequence[Judgement]) -> list[Judgement]:
    """Return one judgement a question: of several replies to it, one that holds the majority's
    verdict; where the votes are even, one without a verdict.
    """
    by_question: dict[tuple[str, ...], list[Judgement]] = {}
    for j in judgements:
        question = (j.judge, j.set, j.sample_id, j.order, j.prompt_sha256)
        by_question.setdefault(question, []).append(j)
    return [_of_question(mine) for mine in by_question.values()]


def _of_question(mine: Sequence[Judgement]) -> Judgement:
    drawn = [j for j in mine if j.draw]
    if not drawn:
        return mine[-1]
    results = [item_result(j.kind, [j]) for j in drawn]
    voting = [result for result in results if result.label is not None]
    if not voting:
        return drawn[0]
    label = _majority(drawn[0].kind, voting, statistics.fmean(map(_score, voting)))
    for j, result in zip(drawn, results, strict=True):
        if label is not None and result.label == label:
            return j
    return replace(drawn[0], status="abstained", verdict=None)
