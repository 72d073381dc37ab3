"""The mixes of an ablation: all pairs, all but one source, one source, or the best rewarded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from selene_lib.ablation.spec import AblationSpec
from selene_lib.curation.filters import filter_reward
from selene_lib.errors import UserError
from selene_lib.records import PreferencePair

Threshold = float | Mapping[str, float]
Kind = Literal["full", "leave_out", "only", "threshold"]


@dataclass
class Mix:
    """One mix: what it trains on, its outcomes by round, and why it was closed.

    Outcomes are margins in nats for an `only` mix that has them. `threshold` is one limit for all
    sources; with limits `by_source` it is their mean over the sources, for table and figure.
    """

    name: str
    kind: Kind
    pairs: list[PreferencePair]
    source: str = ""
    threshold: float | None = None
    by_source: Mapping[str, float] | None = None
    outcomes: dict[int, np.ndarray] = field(default_factory=dict)
    closed: str = ""

    @property
    def mean_outcome(self) -> np.ndarray:
        """Outcomes averaged over the rounds so far, [n_items]."""
        return np.mean(list(self.outcomes.values()), axis=0)


def plan_mixes(
    pairs: Sequence[PreferencePair], thresholds: Sequence[Threshold | None], spec: AblationSpec
) -> list[Mix]:
    """The mixes of an ablation, `full` first.

    A threshold of None is the full mix; a mapping is one limit a source; one that keeps nothing is
    a UserError.
    """
    sources = sorted({p.source for p in pairs})
    if len(sources) < 2:
        raise UserError(f"an ablation needs at least two sources; these pairs have {len(sources)}")
    mixes = [Mix("full", "full", list(pairs))]
    for source in sources:
        others = [p for p in pairs if p.source != source]
        mixes.append(Mix(f"without {source}", "leave_out", others, source))
    if spec.only:
        for source in sources:
            mine = [p for p in pairs if p.source == source]
            mixes.append(Mix(f"only {source}", "only", mine, source))
    for limit in sorted({t for t in thresholds if isinstance(t, int | float)}):
        mixes.append(_threshold_mix(pairs, limit, f"reward >= {limit:.4g}", spec))
    by_source = [t for t in thresholds if isinstance(t, Mapping)]
    for limits in by_source:
        mean = sum(limits.values()) / len(limits)
        mixes.append(_threshold_mix(pairs, limits, f"reward a source, mean {mean:.4g}", spec))
    return mixes


def _threshold_mix(
    pairs: Sequence[PreferencePair], limit: Threshold, name: str, spec: AblationSpec
) -> Mix:
    kept = filter_reward(pairs, limit, by=spec.reward_by).kept
    if not kept:
        raise UserError(f"reward threshold {limit} keeps no pair; lower it")
    if isinstance(limit, Mapping):
        mean = sum(limit.values()) / len(limit)
        return Mix(name, "threshold", kept, threshold=mean, by_source=dict(limit))
    return Mix(name, "threshold", kept, threshold=limit)
