"""Verdicts beside labels: a confusion matrix a set, and how often each verdict was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from selene_lib.figures.judges import judge_label
from selene_lib.records import LABELS, TIE
from selene_lib.report.judged import Judged

NO_VERDICT = "none"


@dataclass(frozen=True)
class Confusion:
    """Counts of replies by gold label (rows) and verdict (columns, last `none`).

    Of a pair judged in both orders both replies count, in the words of the sample.
    """

    judge: str
    counts: Mapping[tuple[str, str], int]

    def of(self, label: str, verdict: str) -> int:
        return self.counts.get((label, verdict), 0)

    def total(self, label: str) -> int:
        """How many replies there are to items with this label."""
        return sum(n for (gold, _), n in self.counts.items() if gold == label)

    def given(self, verdict: str) -> int:
        """How often the judge gave this verdict."""
        return sum(n for (_, said), n in self.counts.items() if said == verdict)

    @property
    def n(self) -> int:
        return sum(self.counts.values())

    @property
    def n_right(self) -> int:
        return sum(n for (gold, said), n in self.counts.items() if gold == said)

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa over the replies; None where one label is all there is and all that was
        said.
        """
        words = {word for pair in self.counts for word in pair}
        by_chance = sum(self.total(word) * self.given(word) for word in words) / self.n**2
        return None if by_chance == 1 else (self.n_right / self.n - by_chance) / (1 - by_chance)


@dataclass(frozen=True)
class SetAgreement:
    """One set and task: its labels, the verdicts that can be given, one matrix a judge."""

    set: str
    task: str
    labels: tuple[str, ...]
    verdicts: tuple[str, ...]
    judges: tuple[Confusion, ...]


def set_agreements(judged: Judged) -> list[SetAgreement]:
    """Return a confusion matrix of the trained judge and of the base for each set and task."""
    counts: dict[tuple[str, str], dict[str, Counter[tuple[str, str]]]] = {}
    for name, sample, judgements in judged.items():
        mine = counts.setdefault((name, sample.task), {})
        for judgement in judgements:
            said = judgement.verdict_of_sample or NO_VERDICT
            mine.setdefault(judgement.judge, Counter())[str(sample.label), said] += 1
    return [_agreement(name, task, found, judged.main) for (name, task), found in counts.items()]


def _agreement(
    name: str, task: str, found: Mapping[str, Counter[tuple[str, str]]], main: str | None
) -> SetAgreement:
    seen = {word for counts in found.values() for pair in counts for word in pair}
    ties = (TIE,) if TIE in seen else ()
    labels = (*LABELS[task], *ties)
    others = sorted(seen - {*labels, NO_VERDICT})
    judges = sorted(found, key=lambda judge: judge != main)
    return SetAgreement(
        name,
        task,
        labels,
        (*labels, *others, NO_VERDICT),
        tuple(Confusion(judge_label(judge), found[judge]) for judge in judges),
    )
