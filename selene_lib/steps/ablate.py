"""Notebook 03: the thresholds to try, and the ablation or the decision not to run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selene_lib.records import PreferencePair


def reward_thresholds(pairs: Sequence[PreferencePair], drop_shares: str) -> list[float | None]:
    """Return the thresholds that drop the given shares of lowest rewards; none where the pairs were
    not scored.
    """
    from selene_lib.curation.rewards.thresholds import threshold_grid

    shares = [float(part) for part in drop_shares.split(",") if part.strip()]
    scored = all(p.chosen_reward is not None for p in pairs)
    return threshold_grid(pairs, shares) if scored and shares else []


def ablate_or_keep_all(
    pairs: Sequence[PreferencePair],
    train_arm: Any,
    margin_arm: Any,
    spec: Any,
    thresholds: Sequence[float | None],
    *,
    skip: bool,
) -> Any:
    """Run the ablation; with `skip`, or where there is one source only, keep every source and say
    that nothing was tried.
    """
    from selene_lib.ablation.race import COLUMNS, AblationResult, run_ablation

    sources = sorted({p.source for p in pairs})
    if not skip and len(sources) > 1:
        return run_ablation(
            pairs,
            train_arm,
            spec,
            margin_arm=margin_arm if spec.only else None,
            thresholds=thresholds,
        )
    import pandas as pd

    table = pd.DataFrame(columns=list(COLUMNS))
    telemetry = pd.DataFrame(columns=["arm", "seed", "n_steps", "seconds"])
    kept = {source: {"keep": True, "finding": "not tried"} for source in sources}
    return AblationResult(
        table, telemetry, {"sources": kept, "reward_threshold": None, "made_with": None}
    )
