"""Which sources, which reward threshold: short runs from one base, raced and decided.

They are compared item by item, and the decisions have known error rates. Mixes: `full` (all pairs),
`without <source>`, `only <source>` and one per reward threshold. A round trains the mixes that are
still open with one more seed. After each round a mix is closed when its effect is clear, or when no
remaining round could make it clear (hopeless).

A source that is a small part of the mix hardly moves its accuracy, however bad it is. So each
source is also trained on alone, and the judge is asked which of two evaluations of trusted items it
prefers: by how many nats the sound one is likelier than the unsound one. A source after which the
sound one is preferred less than before any training harms. This is used against a source only,
never for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from selene_lib.ablation.effects import PairedEffect, power_left
from selene_lib.ablation.evidence import Runs
from selene_lib.ablation.findings import COLUMNS, to_decisions, to_table
from selene_lib.ablation.mixes import Mix, Threshold, plan_mixes
from selene_lib.ablation.spec import AblationSpec
from selene_lib.records import PreferencePair

# (pairs, seed, n_steps) -> one number an item
RunMix = Callable[[Sequence[PreferencePair], int, int], np.ndarray]
TELEMETRY_COLUMNS = ("arm", "seed", "n_steps", "seconds")
SWEEP_COLUMNS = (
    "threshold",
    "n_pairs",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "effect",
    "q",
    "decision",
)


@dataclass(frozen=True)
class AblationResult:
    """What an ablation found.

    `table`: one row a mix (`COLUMNS`); `telemetry`: seconds a mix and seed; `decisions`: what
    `write_decisions` writes.
    """

    table: pd.DataFrame
    telemetry: pd.DataFrame
    decisions: dict[str, Any]

    @property
    def sweep(self) -> pd.DataFrame:
        """The threshold sweep, one row a threshold.

        threshold (NaN: no filter), n_pairs, accuracy with its interval, effect against no filter,
        q, decision.
        """
        rows = self.table[self.table["kind"].isin(["full", "threshold"])][list(SWEEP_COLUMNS)]
        renamed = rows.rename(columns={"accuracy_low": "ci95_low", "accuracy_high": "ci95_high"})
        return renamed.reset_index(drop=True)


def run_ablation(
    pairs: Sequence[PreferencePair],
    judge_mix: RunMix,
    spec: AblationSpec | None = None,
    *,
    measure_mix: RunMix | None = None,
    thresholds: Sequence[Threshold | None] = (),
    groups: np.ndarray | None = None,
    progress: bool = True,
) -> AblationResult:
    """Race the mixes and decide.

    `judge_mix(pairs, seed, n_steps)` trains from the base and returns one outcome in [0, 1] an
    item. `measure_mix`, of the same form, returns the preference margin of each trusted pair in
    nats, of the base itself for `n_steps=0`; with it (and `spec.only`) the one-source runs decide
    on harm, without it they are for information. `groups` are cluster names of the items of
    `judge_mix` (items of one prompt are drawn together). Raises UserError for fewer than two
    sources.
    """
    spec = spec or AblationSpec()
    runs = Runs(plan_mixes(pairs, thresholds, spec), spec, groups)
    if spec.only and measure_mix is not None:
        runs.base_margins = np.asarray(measure_mix([], spec.seed, 0), dtype=float)
    telemetry: list[dict[str, Any]] = []
    for round_ in range(spec.n_rounds):
        todo = [mix for mix in runs.mixes if not mix.closed]
        if all(mix.kind == "full" for mix in todo):
            break
        by_accuracy = [mix for mix in todo if not runs.by_margin(mix)]
        telemetry += _run_round(by_accuracy, round_, judge_mix, spec, progress)
        if measure_mix is not None:
            by_margin = [mix for mix in todo if runs.by_margin(mix)]
            telemetry += _run_round(by_margin, round_, measure_mix, spec, progress)
        close_mixes(runs, round_)
    times = pd.DataFrame(telemetry, columns=list(TELEMETRY_COLUMNS))
    return AblationResult(to_table(runs), times, to_decisions(runs))


def keep_all(sources: Sequence[str]) -> AblationResult:
    """The result of an ablation that was not run: every source is kept, and it says so."""
    kept = {source: {"keep": True, "finding": "not tried"} for source in sources}
    return AblationResult(
        pd.DataFrame(columns=list(COLUMNS)),
        pd.DataFrame(columns=list(TELEMETRY_COLUMNS)),
        {"sources": kept, "reward_threshold": None, "made_with": None},
    )


def _run_round(
    mixes: Sequence[Mix], round_: int, run_mix: RunMix, spec: AblationSpec, progress: bool
) -> list[dict[str, Any]]:
    rows, seed = [], spec.seed + round_
    for mix, (outcome, seconds) in zip(mixes, _outcomes(mixes, seed, run_mix, spec, progress)):
        expected = next((len(o) for m in mixes for o in m.outcomes.values()), len(outcome))
        if outcome.ndim != 1 or len(outcome) != expected or not np.isfinite(outcome).all():
            raise ValueError(
                f"mix {mix.name!r}: outcomes of shape {outcome.shape}, "
                f"expected {expected} finite numbers, one an item"
            )
        mix.outcomes[round_] = outcome
        rows.append({"arm": mix.name, "seed": seed, "n_steps": spec.n_steps, "seconds": seconds})
    return rows


def _outcomes(
    mixes: Sequence[Mix], seed: int, run_mix: RunMix, spec: AblationSpec, progress: bool
) -> list[tuple[np.ndarray, float]]:
    """Train the mixes of a round.

    All at once where `run_mix` has a `many` for that (then seconds are the mean), else one by one.
    """
    from tqdm.auto import tqdm

    begin = time.perf_counter()
    many = getattr(run_mix, "many", None)
    if many is not None:
        outcomes = many([(mix.pairs, seed, spec.n_steps) for mix in mixes])
        mean_seconds = (time.perf_counter() - begin) / max(1, len(mixes))
        return [(np.asarray(outcome, dtype=float), mean_seconds) for outcome in outcomes]
    found = []
    for mix in tqdm(mixes, desc=f"ablation, seed {seed}", disable=not progress):
        begin = time.perf_counter()
        outcome = np.asarray(run_mix(mix.pairs, seed, spec.n_steps), dtype=float)
        found.append((outcome, time.perf_counter() - begin))
    return found


def close_mixes(runs: Runs, round_: int) -> None:
    """Close what is decided after a round.

    Clear effects (from the second seed on), hopeless mixes, one-source mixes without harm.
    """
    evidence = runs.evidence()
    for mix in [mix for mix in runs.mixes if not mix.closed]:
        if mix.kind == "full" or mix.name not in evidence.q:
            ends = round_ + 1 == runs.spec.n_rounds or mix.kind == "only"
            mix.closed = f"done after {round_ + 1}" if ends else ""
        else:
            mix.closed = _why_closed(runs, mix, round_)


def _why_closed(runs: Runs, mix: Mix, round_: int) -> str:
    evidence, last = runs.evidence(), round_ + 1 == runs.spec.n_rounds
    effect, counts = evidence.effects[mix.name], evidence.q[mix.name] < runs.spec.level
    # a one-source mix is used against its source only, so that a gain decides nothing
    decides = counts and (not runs.by_margin(mix) or effect.value < 0)
    if decides and (round_ > 0 or last):
        return f"clear after {round_ + 1}"
    if last:
        return f"not clear after {round_ + 1}"
    return f"hopeless after {round_ + 1}" if _is_hopeless(runs, mix, effect, round_ + 1) else ""


def _is_hopeless(runs: Runs, mix: Mix, effect: PairedEffect, n_seeds: int) -> bool:
    if runs.by_margin(mix):
        return effect.value >= 0 or effect.p >= runs.spec.alpha
    left = power_left(
        effect,
        n_seeds=n_seeds,
        n_seeds_last=runs.spec.n_rounds,
        seed_variance=runs.evidence().seed_variance.value,
        level=runs.spec.level,
    )
    return left < runs.spec.hopeless_power
