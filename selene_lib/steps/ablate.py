"""Notebook 03: the thresholds to try, and the ablation or the decision not to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from selene_lib.ablation.mixes import Threshold
from selene_lib.ablation.race import AblationResult, RunMix, keep_all, run_ablation
from selene_lib.ablation.spec import AblationSpec
from selene_lib.curation.rewards.thresholds import default_thresholds, threshold_grid
from selene_lib.errors import UserError
from selene_lib.records import PreferencePair


def reward_thresholds(
    pairs: Sequence[PreferencePair], drop_shares: str, by: str = "all"
) -> list[Threshold | None]:
    """Return the thresholds that drop the given shares of lowest rewards.

    One for all sources (`by="all"`), or one a source (`by="source"`), so that a source whose texts
    score low as a whole is not emptied; both with `by="both"`. None where the pairs were not
    scored. Another `by` is a UserError.
    """
    if by not in ("all", "source", "both"):
        raise UserError(f"threshold_by {by!r} is not one of all, source, both")
    shares = [float(part) for part in drop_shares.split(",") if part.strip()]
    if not shares or any(p.chosen_reward is None for p in pairs):
        return []
    found: list[Threshold | None] = []
    if by in ("all", "both"):
        found += threshold_grid(pairs, shares)
    if by in ("source", "both"):
        found += [default_thresholds(pairs, share) for share in shares if share > 0]
    return found


def decision_rules(table: pd.DataFrame, decisions: Mapping[str, Any]) -> pd.DataFrame:
    """Return both rules of a source side by side, and what they decide together.

    Columns: source, effect with its interval and q (rule 1: accuracy lost without it), alone_margin
    (nats less the base's) with its interval and q (rule 2: what it teaches alone), rule_1, rule_2,
    keep.
    """
    rows = []
    for source, choice in decisions["sources"].items():
        row: dict[str, Any] = {"source": source}
        for kind, names in _RULES.items():
            mine = table[table["kind"].eq(kind) & table["source"].eq(source)]
            for column, shown in names.items():
                row[shown] = None if mine.empty else mine.iloc[0][column]
        rows.append({**row, "keep": choice["keep"]})
    return pd.DataFrame(rows)


_RULES = {
    "leave_out": {
        "effect": "effect",
        "ci95_low": "effect_low",
        "ci95_high": "effect_high",
        "q": "effect_q",
        "finding": "rule_1",
    },
    "only": {
        "margin_effect": "alone_margin",
        "margin_low": "alone_low",
        "margin_high": "alone_high",
        "q": "alone_q",
        "finding": "rule_2",
    },
}


def ablate_or_keep_all(
    pairs: Sequence[PreferencePair],
    judge_mix: RunMix,
    measure_mix: RunMix,
    spec: AblationSpec,
    thresholds: Sequence[Threshold | None],
    *,
    skip: bool,
) -> AblationResult:
    """Run the ablation, or keep every source and say that nothing was tried.

    The latter with `skip`, and where there is one source only.
    """
    sources = sorted({p.source for p in pairs})
    if skip or len(sources) < 2:
        return keep_all(sources)
    return run_ablation(
        pairs,
        judge_mix,
        spec,
        measure_mix=measure_mix if spec.only else None,
        thresholds=thresholds,
    )
