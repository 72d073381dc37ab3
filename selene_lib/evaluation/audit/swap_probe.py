"""The second order at the price of a verdict, in full only where that leaves a doubt.

Judging every pair twice with a critique costs two critiques. Here the order `AB` is judged in full;
`BA` is asked for the verdict alone (a handful of tokens), and judged in full only where that
verdict names the other response or its probability is low.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.judges.judging import DEFAULT, Asking, judge_samples
from selene_lib.judges.protocol import JudgeBackend
from selene_lib.records import Judgement, Sample, swap_verdict


@dataclass(frozen=True)
class ProbedSet:
    """Judgements of pairs in three rounds.

    `first` are AB in full, `probes` BA by verdict only, `second` BA in full of the doubtful pairs.
    """

    first: tuple[Judgement, ...]
    probes: tuple[Judgement, ...]
    second: tuple[Judgement, ...]

    @property
    def judgements(self) -> list[Judgement]:
        """One judgement per pair and order, as scoring wants them.

        Under `BA` the full one where there is one, else the probe.
        """
        full = {j.sample_id: j for j in self.second}
        return [*self.first, *(full.get(probe.sample_id, probe) for probe in self.probes)]


@dataclass(frozen=True)
class ProbeRow:
    """What a threshold buys.

    A flip is a pair whose two full judgements name different responses; it is caught when it was
    asked again. `reply_token_ratio` and `total_token_ratio` are tokens spent over those of one full
    order; judging both in full is near 2.
    """

    threshold: float
    n_pairs: int
    n_flips: int
    n_caught: int
    share_caught: float | None
    n_asked_again: int
    reply_token_ratio: float
    total_token_ratio: float
    reply_token_ratio_both: float
    total_token_ratio_both: float


def is_doubtful(first: Judgement, probe: Judgement, threshold: float) -> bool:
    """Whether a pair needs its second order in full.

    It does without a verdict, where another response is named, or for a probability below
    `threshold`. A judge without probabilities is doubted only for the verdict itself.
    """
    winner = swap_verdict(probe.verdict)
    if first.status != "value" or probe.status != "value" or winner != first.verdict:
        return True
    probability = probe.verdict_probability
    return probability is not None and probability < threshold


def judge_with_swap_probe(
    judge: JudgeBackend,
    set_name: str,
    samples: Sequence[Sample],
    *,
    store: str | Path,
    threshold: float = 0.9,
    asking: Asking = DEFAULT,
    progress: bool = True,
) -> ProbedSet:
    """Judge pairs in both orders, the second by its verdict alone unless in doubt.

    `asking` says how; its `orders` and `critique` are those of each round. All three rounds share
    the append-only store, so a broken run goes on where it stopped.
    """
    if any(s.task != "pairwise" for s in samples):
        raise UserError("the swap probe is for pairwise samples only")

    def judge_round(pairs: Sequence[Sample], how: Asking) -> list[Judgement]:
        return judge_samples(judge, set_name, pairs, how, store=store, progress=progress)

    in_full = replace(asking, critique=True)
    second_order = replace(in_full, orders="BA")
    first = judge_round(samples, replace(in_full, orders="AB"))
    probes = judge_round(samples, replace(second_order, critique=False))
    doubtful = [s for s, a, b in zip(samples, first, probes) if is_doubtful(a, b, threshold)]
    second = judge_round(doubtful, second_order)
    return ProbedSet(tuple(first), tuple(probes), tuple(second))


def measure_swap_probe(
    first: Sequence[Judgement],
    probes: Sequence[Judgement],
    second: Sequence[Judgement],
    thresholds: Sequence[float] = (0.0, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
) -> list[ProbeRow]:
    """Flips caught against tokens spent for each threshold.

    Needs full judgements of both orders of all pairs; raises ValueError where `second` lacks one.
    """
    again = {j.sample_id: j for j in second}
    probe_of = {j.sample_id: j for j in probes}
    for j in first:
        if j.sample_id not in again or j.sample_id not in probe_of:
            raise ValueError(
                f"pair {j.sample_id} lacks its second order; "
                "to measure the probe judge both orders of every pair in full"
            )
    flips = {j.sample_id for j in first if swap_verdict(again[j.sample_id].verdict) != j.verdict}
    return [_row(first, probe_of, again, flips, threshold) for threshold in thresholds]


def _row(
    first: Sequence[Judgement],
    probe_of: Mapping[str, Judgement],
    again: Mapping[str, Judgement],
    flips: set[str],
    threshold: float,
) -> ProbeRow:
    asked = {j.sample_id for j in first if is_doubtful(j, probe_of[j.sample_id], threshold)}
    spent = [*first, *probe_of.values(), *(again[i] for i in asked)]
    both = [*first, *again.values()]
    n_caught = len(flips & asked)
    return ProbeRow(
        threshold,
        n_pairs=len(first),
        n_flips=len(flips),
        n_caught=n_caught,
        share_caught=n_caught / len(flips) if flips else None,
        n_asked_again=len(asked),
        reply_token_ratio=_reply_tokens(spent) / max(_reply_tokens(first), 1),
        total_token_ratio=_total_tokens(spent) / max(_total_tokens(first), 1),
        reply_token_ratio_both=_reply_tokens(both) / max(_reply_tokens(first), 1),
        total_token_ratio_both=_total_tokens(both) / max(_total_tokens(first), 1),
    )


def _reply_tokens(judgements: Sequence[Judgement]) -> int:
    return sum(j.n_reply_tokens for j in judgements)


def _total_tokens(judgements: Sequence[Judgement]) -> int:
    return sum(j.n_prompt_tokens + j.n_reply_tokens for j in judgements)
