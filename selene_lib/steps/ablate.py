"""Notebook 03: the thresholds to try, and the ablation or the decision not to run it."""

from __future__ import annotations

from collections.abc import Sequence

from selene_lib.ablation.race import AblationResult, RunMix, keep_all, run_ablation
from selene_lib.ablation.spec import AblationSpec
from selene_lib.curation.rewards.thresholds import threshold_grid
from selene_lib.records import PreferencePair


def reward_thresholds(pairs: Sequence[PreferencePair], drop_shares: str) -> list[float | None]:
    """Return the thresholds that drop the given shares of lowest rewards.

    None where the pairs were not scored.
    """
    shares = [float(part) for part in drop_shares.split(",") if part.strip()]
    scored = all(p.chosen_reward is not None for p in pairs)
    return threshold_grid(pairs, shares) if scored and shares else []


def ablate_or_keep_all(
    pairs: Sequence[PreferencePair],
    judge_mix: RunMix,
    measure_mix: RunMix,
    spec: AblationSpec,
    thresholds: Sequence[float | None],
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
