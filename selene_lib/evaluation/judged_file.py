"""What judging a file came to: counts, mean with interval, costs, scores, agreement of a panel."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from selene_lib.errors import tell
from selene_lib.evaluation.agreement.panel import disagreement_share, kappas_between
from selene_lib.evaluation.metrics.estimates import Estimate, estimate
from selene_lib.judges.file_job import FileJob
from selene_lib.judges.protocol import JudgeBackend, Priced
from selene_lib.judges.results import INCONSISTENT, TIED
from selene_lib.prompts.additions import CANNOT_TELL
from selene_lib.prompts.rubrics import is_scored
from selene_lib.records import Score, labels_of

MANY_UNREADABLE = 0.01
_READABLE = ("value", INCONSISTENT, TIED, CANNOT_TELL)
_REMEDIES = {
    "truncated": "give the replies more room (--max-new-tokens)",
    "malformed": "ask for the verdict alone (--reply verdict), or with a local model read its "
    "probabilities (--read logprob), or take a larger model",
    "abstained": "let the judge say so (--may-abstain), or ask for the verdict alone",
    "refused": "take a model that does not refuse these texts",
    "failed": "see the column reason; --retry-failed asks again",
}


@dataclass(frozen=True)
class MemberResult:
    """What one judge of a panel said and cost."""

    name: str
    n_unreadable: int
    usage: Mapping[str, float]


@dataclass(frozen=True)
class FileResult:
    """What `judge_file` did.

    `n_unparsed` rows have no verdict that can be read, the `n_failed` without a reply among them;
    rows of other statuses (`inconsistent`, `tied`, `cannot tell`) are in `statuses`. `distribution`
    counts the verdicts, `mean` is that of the scores (Yes and A are 1), with a 95 % interval over
    groups. `usage` holds prompt and reply tokens of all stored replies, and `usd` where a price is
    known; `scores` only with a label column. Of a panel, `members` says each judge's share,
    `kappas` their agreement two by two, `disagreement` the share of rows on which they differ.
    """

    output: Path
    store: Path
    n: int
    n_unparsed: int
    n_inconsistent: int
    n_failed: int
    usage: Mapping[str, float]
    scores: Sequence[Score]
    judge: str = ""
    task: str = ""
    statuses: Mapping[str, int] = field(default_factory=dict)
    distribution: Mapping[str, int] = field(default_factory=dict)
    mean: Estimate | None = None
    members: Sequence[MemberResult] = ()
    kappas: Mapping[tuple[str, str], float] = field(default_factory=dict)
    disagreement: float | None = None

    def lines(self) -> Iterator[str]:
        """Say it in lines: n, distribution, mean with interval, unreadable, cost."""
        yield (
            f"{self.n} rows judged by {self.judge}, {self.n_unparsed} without a readable verdict, "
            f"{self.n_inconsistent} with two orders that disagree"
        )
        others = {name: self.statuses.get(name, 0) for name in (TIED, CANNOT_TELL)}
        if any(others.values()):
            yield ", ".join(f"{n} {name}" for name, n in others.items() if n)
        yield "verdicts: " + ", ".join(f"{label} {n}" for label, n in self.distribution.items())
        if self.mean is not None:
            low, high = self.mean.low, self.mean.high
            width = "no interval" if math.isnan(low) else f"95 % interval {low:.3f} to {high:.3f}"
            yield f"mean {self.mean.value:.3f}, {width}"
        if self.n_failed:
            yield (
                f"{self.n_failed} of them failed (see the columns status and reason): those that "
                "the server refused are asked again with --retry-failed, the others by the same "
                "command"
            )
        for member in self.members:
            yield f"{member.name}: {member.n_unreadable} unreadable, {_said(member.usage)}"
        for (one, other), kappa in self.kappas.items():
            yield f"kappa between {one} and {other}: {kappa:.3f}"
        if self.disagreement is not None:
            yield f"the judges differ on {self.disagreement:.1%} of the rows"
        yield _said(self.usage)


def _said(usage: Mapping[str, float]) -> str:
    return ", ".join(f"{what.replace('_', ' ')} {value:,.6g}" for what, value in usage.items())


def result_of(
    job: FileJob,
    judges: Sequence[JudgeBackend],
    n_tokens: Sequence[tuple[int, int]],
    store: Path,
) -> FileResult:
    """Sum up a job that is done; `n_tokens` are prompt and reply tokens of each judge's replies."""
    statuses, labels = job.whole.statuses, job.whole.labels
    usages = [_usage(judge, mine) for judge, mine in zip(judges, n_tokens, strict=True)]
    counts = Counter(labels)
    is_panel = len(judges) > 1
    said = {member.name: member.labels for member in job.members}
    return FileResult(
        job.shape.path,
        store,
        job.n,
        sum(n for status, n in statuses.items() if status not in _READABLE),
        statuses[INCONSISTENT],
        statuses["failed"],
        _sum(usages),
        _scores(job),
        job.whole.name,
        job.rows.kind,
        dict(statuses),
        {label: counts[label] for label in labels_of(job.rows.kind)},
        _mean(job),
        [
            MemberResult(
                member.name,
                sum(n for status, n in member.statuses.items() if status not in _READABLE),
                usage,
            )
            for member, usage in zip(job.members, usages, strict=True)
            if is_panel
        ],
        kappas_between(said) if is_panel else {},
        disagreement_share(said) if is_panel else None,
    )


def _usage(judge: JudgeBackend, n_tokens: tuple[int, int]) -> dict[str, float]:
    usage: dict[str, float] = {"prompt_tokens": n_tokens[0], "reply_tokens": n_tokens[1]}
    usd = judge.usd(*n_tokens) if isinstance(judge, Priced) else None
    return usage if usd is None else {**usage, "usd": usd}


def _sum(usages: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: Counter[str] = Counter()
    for usage in usages:
        total.update(usage)
    return dict(total)


def _mean(job: FileJob) -> Estimate | None:
    if not job.numbers:
        return None
    numbers = {name: i for i, name in enumerate(dict.fromkeys(job.groups))}
    groups, values = np.array([numbers[name] for name in job.groups]), np.array(job.numbers)
    found = estimate("mean", values, groups=groups)
    if is_scored(job.rows.kind) and len(set(job.numbers)) == 1:  # no share of anything
        return replace(found, low=math.nan, high=math.nan)
    return found


def _scores(job: FileJob) -> list[Score]:
    if not job.gold:
        return []
    from selene_lib.evaluation.scoring import score_set

    judges = dict.fromkeys(judgement.judge for judgement in job.found)
    return [
        score
        for judge in judges
        for score in score_set(job.gold, job.found, judge=judge, set_name=job.set_name)
    ]


def warn_of_unreadable(result: FileResult) -> None:
    """Tell where more than one row in a hundred has no readable verdict, and what may help."""
    if result.n_unparsed <= MANY_UNREADABLE * result.n:
        return
    why = Counter({s: n for s, n in result.statuses.items() if n and s not in _READABLE})
    told = ", ".join(f"{n} {status}" for status, n in why.most_common())
    remedies = "; ".join(_REMEDIES[status] for status, _ in why.most_common(2))
    tell(f"{result.n_unparsed} of {result.n} rows have no readable verdict ({told}): {remedies}")
