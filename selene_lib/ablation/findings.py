"""What an ablation says in the end, as a table and as the decision file.

A mix helps, harms or does neither; a source goes or stays; a threshold is used or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from selene_lib.ablation.evidence import Runs
from selene_lib.ablation.mixes import Mix
from selene_lib.evaluation.metrics import bootstrap_ci

COLUMNS = (
    "arm",
    "kind",
    "source",
    "threshold",
    "n_pairs",
    "n_seeds",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "effect",
    "ci95_low",
    "ci95_high",
    "margin",
    "margin_effect",
    "margin_low",
    "margin_high",
    "p",
    "q",
    "finding",
    "decision",
    "closed",
)


@dataclass(frozen=True)
class Findings:
    """What is said of each deciding mix, and what follows.

    The sources that go, and the threshold mix that is used (None: no filter).
    """

    said: dict[str, str]
    dropped: frozenset[str]
    chosen: Mix | None

    def decision(self, mix: Mix) -> str:
        """The decision that a mix stands for: keep or drop, chosen, or nothing."""
        if mix.kind == "leave_out":
            return "drop" if mix.source in self.dropped else "keep"
        is_chosen = mix is self.chosen or (mix.kind == "full" and self.chosen is None)
        return "chosen" if is_chosen else ""


def find(runs: Runs) -> Findings:
    """Return what the runs say.

    Of a mix by accuracy: helps, harms or no effect shown; of a one-source mix by margins: harms or
    no harm shown. A source goes where leaving it out helps, or where training on it alone turns the
    judge against sound evaluations. Among the thresholds that beat no filter the one with the best
    accuracy is chosen.
    """
    by_name = {mix.name: mix for mix in runs.mixes}
    said = {name: _said(runs, by_name[name]) for name in runs.evidence().q}
    dropped = frozenset(
        by_name[name].source
        for name, finding in said.items()
        if finding == "harms" and by_name[name].kind in ("leave_out", "only")
    )
    helping = [m for m in runs.mixes if m.kind == "threshold" and said[m.name] == "helps"]
    chosen = max(helping, key=_accuracy_over_runs, default=None)
    return Findings(said, dropped, chosen)


def _accuracy_over_runs(mix: Mix) -> float:
    return float(np.mean(list(mix.outcomes.values())))


def _said(runs: Runs, mix: Mix) -> str:
    evidence = runs.evidence()
    effect = evidence.effects[mix.name]
    counts = evidence.q[mix.name] < runs.spec.level
    if runs.by_margin(mix):
        harms = counts and effect.ci95_high < -runs.spec.min_harm_nats
        return "harms" if harms else "no harm shown"
    if not counts:
        return "no effect shown"
    return "helps" if effect.value > 0 else "harms"


def to_table(runs: Runs) -> pd.DataFrame:
    """One row a mix, `COLUMNS`; the column `arm` is the mix's name."""
    findings = find(runs)
    rows = [_row(runs, mix, findings) for mix in runs.mixes]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(runs: Runs, mix: Mix, findings: Findings) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "arm": mix.name,
        "kind": mix.kind,
        "source": mix.source,
        "threshold": mix.threshold,
        "n_pairs": len(mix.pairs),
        "n_seeds": len(mix.outcomes),
        "q": runs.evidence().q.get(mix.name),
        "finding": findings.said.get(mix.name, ""),
        "decision": findings.decision(mix),
        "closed": mix.closed,
    }
    effect = runs.evidence().effects.get(mix.name)
    if runs.by_margin(mix):
        row["margin"] = float(mix.mean_outcome.mean())
        names = ("margin_effect", "margin_low", "margin_high")
    else:
        row |= _accuracy(runs, mix.mean_outcome)
        names = ("effect", "ci95_low", "ci95_high")
    if effect is not None:
        row |= dict(zip(names, (effect.value, effect.ci95_low, effect.ci95_high)))
        row["p"] = effect.p
    return row


def _accuracy(runs: Runs, mean_outcome: np.ndarray) -> dict[str, float]:
    spec = runs.spec
    about = bootstrap_ci(
        mean_outcome, groups=runs.groups, n_resamples=spec.n_resamples, rng=spec.seed
    )
    return {
        "accuracy": float(mean_outcome.mean()),
        "accuracy_low": about.low,
        "accuracy_high": about.high,
    }


def to_decisions(runs: Runs) -> dict[str, Any]:
    """What `write_decisions` writes: keep or drop with the reasons, and the reward threshold."""
    findings = find(runs)
    left_out = [mix for mix in runs.mixes if mix.kind == "leave_out"]
    spec = runs.spec
    return {
        "sources": {mix.source: _choice(runs, mix, findings) for mix in left_out},
        "reward_threshold": _limit(findings.chosen),
        "reward_by": spec.reward_by,
        "made_with": {
            "n_steps": spec.n_steps,
            "n_rounds": spec.n_rounds,
            "alpha": spec.alpha,
            "seed_sd": round(runs.evidence().seed_variance.value ** 0.5, 4),
        },
    }


def _limit(mix: Mix | None) -> float | dict[str, float] | None:
    """The threshold that is used: none, one for all sources, or one a source."""
    if mix is None:
        return None
    if mix.by_source is None:
        return mix.threshold
    return {name: round(value, 6) for name, value in mix.by_source.items()}


def _choice(runs: Runs, mix: Mix, findings: Findings) -> dict[str, Any]:
    """One source: keep or not, and what was found with it left out and alone."""
    evidence = runs.evidence()
    effect, alone = evidence.effects[mix.name], f"only {mix.source}"
    choice = {
        "keep": mix.source not in findings.dropped,
        "finding": findings.said[mix.name],
        "effect": round(effect.value, 4),
        "ci95": [round(effect.ci95_low, 4), round(effect.ci95_high, 4)],
        "q": round(evidence.q[mix.name], 4),
        "n_seeds": len(mix.outcomes),
    }
    if alone in findings.said:
        choice |= {
            "alone": findings.said[alone],
            "alone_margin_nats": round(evidence.effects[alone].value, 3),
            "alone_q": round(evidence.q[alone], 4),
        }
    return choice
