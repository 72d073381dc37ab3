"""Which sources, which reward threshold: short training runs from one base, compared item by item, raced, decided with known error rates.

Arms: `full` (all pairs), `without <source>`, `only <source>` and one per reward threshold. A round trains the arms that are still open with
one more seed. After each round an arm is closed when its effect is clear, or when no remaining round could make it clear (hopeless).
The evidence is the difference of per-item outcomes, averaged over seeds: a paired bootstrap over items, widened by the spread between
seeds of one arm beyond what items explain (else the luck of a seed passes for an effect), with Benjamini-Hochberg over all decisions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from selene_lib.errors import UserError
from selene_lib.files import write_text
from selene_lib.filters import filter_reward
from selene_lib.metrics import benjamini_hochberg, bootstrap_ci, paired_bootstrap
from selene_lib.records import PreferencePair

TrainArm = Callable[[Sequence[PreferencePair], int, int], np.ndarray]
Kind = Literal["full", "leave_out", "only", "threshold"]
_NORMAL = NormalDist()
COLUMNS = ("arm", "kind", "source", "threshold", "n_pairs", "n_seeds", "accuracy", "effect", "ci95_low", "ci95_high", "p", "q", "finding",
           "decision", "closed")  # fmt: skip


@dataclass(frozen=True)
class AblationSpec:
    """How long and how strictly: `n_rounds` seeds at most, and an effect counts at q < `alpha` / `n_rounds` (Bonferroni over the looks).

    `hopeless_power`: an arm is closed when the chance that its effect ever counts falls below this. `only` adds the one-source runs
    (one seed, for information). Defaults are our choice.
    """

    n_steps: int = 60
    n_rounds: int = 3
    alpha: float = 0.05
    hopeless_power: float = 0.1
    only: bool = True
    n_resamples: int = 2000
    seed: int = 0
    reward_by: str = "chosen"

    def __post_init__(self) -> None:
        if self.n_rounds < 1 or self.n_steps < 1 or not 0 < self.alpha < 1:
            raise UserError(f"n_rounds and n_steps must be at least 1 and alpha in (0, 1); got {self}")


@dataclass
class Arm:
    """One arm: what it trains on, its outcomes by seed, and why it was closed."""

    name: str
    kind: Kind
    pairs: list[PreferencePair]
    source: str = ""
    threshold: float | None = None
    outcomes: dict[int, np.ndarray] = field(default_factory=dict)
    closed: str = ""


@dataclass(frozen=True)
class AblationResult:
    """`table`: one row an arm (`COLUMNS`); `telemetry`: seconds an arm and seed; `decisions`: what `write_decisions` writes."""

    table: Any
    telemetry: Any
    decisions: dict[str, Any]

    @property
    def sweep(self) -> Any:
        """The threshold sweep: threshold (NaN: no filter), n_pairs, accuracy with its interval, effect against no filter, q, chosen."""
        rows = self.table[self.table["kind"].isin(["full", "threshold"])]
        columns = ["threshold", "n_pairs", "accuracy", "accuracy_low", "accuracy_high", "effect", "q", "decision"]
        return rows[columns].rename(columns={"accuracy_low": "ci95_low", "accuracy_high": "ci95_high"}).reset_index(drop=True)


def run_ablation(
    pairs: Sequence[PreferencePair],
    train_arm: TrainArm,
    spec: AblationSpec | None = None,
    *,
    thresholds: Sequence[float | None] = (),
    groups: np.ndarray | None = None,
    progress: bool = True,
) -> AblationResult:
    """Race the arms and decide. `train_arm(pairs, seed, n_steps)` trains from the base and returns one outcome in [0, 1] an item.

    `groups` are cluster names of the items (items of one prompt are drawn together). Raises UserError for fewer than two sources.
    """
    spec = spec or AblationSpec()
    arms = plan_arms(pairs, thresholds, spec)
    telemetry = []
    for round_ in range(spec.n_rounds):
        todo = [arm for arm in arms if not arm.closed]
        if all(arm.kind == "full" for arm in todo):
            break
        telemetry += _train_round(todo, round_, train_arm, spec, progress)
        close_arms(arms, round_, spec, groups)
    return _result(arms, telemetry, spec, groups)


def plan_arms(pairs: Sequence[PreferencePair], thresholds: Sequence[float | None], spec: AblationSpec) -> list[Arm]:
    """The arms of an ablation, `full` first. A threshold of None is the full arm; one that keeps nothing is a UserError."""
    sources = sorted({p.source for p in pairs})
    if len(sources) < 2:
        raise UserError(f"an ablation needs at least two sources; these pairs have {len(sources)}")
    arms = [Arm("full", "full", list(pairs))]
    arms += [Arm(f"without {s}", "leave_out", [p for p in pairs if p.source != s], s) for s in sources]
    if spec.only:
        arms += [Arm(f"only {s}", "only", [p for p in pairs if p.source == s], s) for s in sources]
    for limit in sorted({t for t in thresholds if t is not None}):
        kept = filter_reward(pairs, limit, by=spec.reward_by).kept
        if not kept:
            raise UserError(f"reward threshold {limit} keeps no pair; lower it")
        arms.append(Arm(f"reward >= {limit:.4g}", "threshold", kept, threshold=limit))
    return arms


def _train_round(arms: Sequence[Arm], round_: int, train_arm: TrainArm, spec: AblationSpec, progress: bool) -> list[dict[str, Any]]:
    rows, seed = [], spec.seed + round_
    for arm, (outcome, seconds) in zip(arms, _outcomes(arms, seed, train_arm, spec, progress)):
        expected = next((len(o) for a in arms for o in a.outcomes.values()), len(outcome))
        if outcome.ndim != 1 or len(outcome) != expected or not np.isfinite(outcome).all():
            raise ValueError(f"arm {arm.name!r}: outcomes of shape {outcome.shape}, expected {expected} finite numbers, one an item")
        arm.outcomes[round_] = outcome
        rows.append({"arm": arm.name, "seed": seed, "n_steps": spec.n_steps, "seconds": seconds})
    return rows


def _outcomes(arms: Sequence[Arm], seed: int, train_arm: TrainArm, spec: AblationSpec, progress: bool) -> list[tuple[np.ndarray, float]]:
    """Train the arms of a round: all at once where `train_arm` has a `many` for that (then seconds are the mean), else one by one."""
    from tqdm.auto import tqdm

    begin = time.perf_counter()
    many = getattr(train_arm, "many", None)
    if many is not None:
        outcomes = many([(arm.pairs, seed, spec.n_steps) for arm in arms])
        return [(np.asarray(o, dtype=float), (time.perf_counter() - begin) / len(arms)) for o in outcomes]
    found = []
    for arm in tqdm(arms, desc=f"ablation, seed {seed}", disable=not progress):
        begin = time.perf_counter()
        found.append((np.asarray(train_arm(arm.pairs, seed, spec.n_steps), dtype=float), time.perf_counter() - begin))
    return found


@dataclass(frozen=True)
class Effect:
    """Accuracy with less accuracy without: `value` > 0 means that what the arm changes (a source, a filter) helps."""

    value: float
    ci95_low: float
    ci95_high: float
    p: float
    se_items: float
    se: float


def effect_of(arm: Arm, full: Arm, run_variance: float, n_decisions: int, spec: AblationSpec, groups: np.ndarray | None) -> Effect:
    """Compare an arm with the full one on the seeds both have, item by item.

    For `leave_out` the effect is that of the source (full less arm), for the others that of the arm (arm less full). The variance of the
    mean of k seeds is that of the items plus `2 * run_variance / k`; p is the larger of the bootstrap's and the normal one.
    """
    # The smallest p of a bootstrap is 2 / (n + 1): it must be able to pass the first step of Benjamini-Hochberg.
    n_resamples = max(spec.n_resamples, int(8 * n_decisions * spec.n_rounds / spec.alpha))
    seeds = sorted(set(arm.outcomes) & set(full.outcomes))
    mine, theirs = (np.mean([a.outcomes[s] for s in seeds], axis=0) for a in (arm, full))
    first, second = (theirs, mine) if arm.kind == "leave_out" else (mine, theirs)
    found = paired_bootstrap(first, second, groups=groups, n_resamples=n_resamples, rng=spec.seed)
    se = float(np.hypot(found.standard_error, np.sqrt(2 * run_variance / len(seeds))))
    p = max(found.p, _p_normal(found.value, se)) if se > 0 else 1.0
    low, high = min(found.ci95_low, found.value - 1.96 * se), max(found.ci95_high, found.value + 1.96 * se)
    return Effect(found.value, low, high, p, found.standard_error, se)


def _p_normal(value: float, se: float) -> float:
    return 2 * (1 - _NORMAL.cdf(abs(value) / se))


def run_variance(arms: Sequence[Arm], groups: np.ndarray | None = None) -> float:
    """Variance of an arm's accuracy between seeds beyond what independent flips of single items explain; pooled over all arms, at least 0.

    Two seeds of one arm differ by d; independent flips alone would give E[d^2] = sum of squared item (or cluster) differences / n^2,
    a correlated shift adds twice its variance.
    """
    excess = []
    for arm in arms:
        runs = [arm.outcomes[s] for s in sorted(arm.outcomes)]
        for i, first in enumerate(runs):
            for second in runs[i + 1 :]:
                difference = first - second
                if groups is not None:
                    difference = np.bincount(np.unique(groups, return_inverse=True)[1], weights=difference)
                n = len(first)
                excess.append(((difference.sum() / n) ** 2 - (difference**2).sum() / n**2) / 2)
    return max(0.0, float(np.mean(excess))) if excess else 0.0


def close_arms(arms: Sequence[Arm], round_: int, spec: AblationSpec, groups: np.ndarray | None) -> None:
    """Close what is decided after a round: one-source arms (one seed), clear effects (from the second seed on), hopeless arms."""
    full = arms[0]
    racing = [a for a in arms if a.kind in ("leave_out", "threshold")]
    noise = run_variance(arms, groups)
    effects = [effect_of(a, full, noise, len(racing), spec, groups) for a in racing]
    q = benjamini_hochberg(np.array([e.p for e in effects]))
    last = round_ + 1 == spec.n_rounds
    for arm, effect, q_value in zip(racing, effects, q):
        if arm.closed:
            continue
        if q_value < spec.alpha / spec.n_rounds and (round_ > 0 or last):
            arm.closed = f"clear after {round_ + 1}"
        elif last:
            arm.closed = f"not clear after {round_ + 1}"
        elif _power_left(effect, round_ + 1, noise, spec) < spec.hopeless_power:
            arm.closed = f"hopeless after {round_ + 1}"
    for arm in arms:
        if arm.kind == "only" or (arm.kind == "full" and last):
            arm.closed = arm.closed or f"done after {round_ + 1}"


def _power_left(effect: Effect, n_seeds: int, noise: float, spec: AblationSpec) -> float:
    """The chance that the effect counts after the last round if the truth is what was seen; the final variance is foreseen, not known.

    Item noise is taken to stay (it is the items', not the seeds'); the looser single-test level is used, so that this errs on going on.
    """
    se_final = float(np.hypot(effect.se_items, np.sqrt(2 * noise / spec.n_rounds)))
    if se_final == 0:
        return 0.0
    drift = np.sqrt(max(effect.se_items**2 / 2 + noise, 1e-12) * (1 / n_seeds - 1 / spec.n_rounds))
    needed = _NORMAL.inv_cdf(1 - spec.alpha / spec.n_rounds / 2) * se_final
    return 1 - _NORMAL.cdf((needed - abs(effect.value)) / drift) if drift > 0 else float(abs(effect.value) > needed)


def _result(arms: Sequence[Arm], telemetry: list[dict[str, Any]], spec: AblationSpec, groups: np.ndarray | None) -> AblationResult:
    import pandas as pd

    noise = run_variance(arms, groups)
    racing = [a for a in arms if a.kind in ("leave_out", "threshold")]
    effects = {a.name: effect_of(a, arms[0], noise, len(racing), spec, groups) for a in arms if a.kind != "full"}
    q = dict(zip([a.name for a in racing], benjamini_hochberg(np.array([effects[a.name].p for a in racing]))))
    findings = {a.name: _finding(effects[a.name], q[a.name], spec) for a in racing}
    chosen = _best_threshold([a for a in racing if a.kind == "threshold" and findings[a.name] == "helps"])
    rows = []
    for arm in arms:
        accuracy = np.mean(list(arm.outcomes.values()), axis=0)
        about = bootstrap_ci(accuracy, groups=groups, n_resamples=spec.n_resamples, rng=spec.seed)
        rows.append(
            {
                "arm": arm.name,
                "kind": arm.kind,
                "source": arm.source,
                "threshold": arm.threshold,
                "n_pairs": len(arm.pairs),
                "n_seeds": len(arm.outcomes),
                "accuracy": float(accuracy.mean()),
                "accuracy_low": about.low,
                "accuracy_high": about.high,
                **_effect_columns(effects.get(arm.name)),
                "q": q.get(arm.name),
                "finding": findings.get(arm.name, ""),
                "decision": _decision(arm, findings, chosen),
                "closed": arm.closed,
            }
        )
    table = pd.DataFrame(rows)
    return AblationResult(table, pd.DataFrame(telemetry), _decisions(table, chosen, noise, spec))


def _effect_columns(effect: Effect | None) -> dict[str, float | None]:
    if effect is None:
        return {"effect": None, "ci95_low": None, "ci95_high": None, "p": None}
    return {"effect": effect.value, "ci95_low": effect.ci95_low, "ci95_high": effect.ci95_high, "p": effect.p}


def _finding(effect: Effect, q: float, spec: AblationSpec) -> str:
    if q >= spec.alpha / spec.n_rounds:
        return "no effect shown"
    return "helps" if effect.value > 0 else "harms"


def _best_threshold(helping: Sequence[Arm]) -> Arm | None:
    """Among the thresholds that beat no filter, the one with the best accuracy; None if none does."""
    return max(helping, key=lambda a: float(np.mean(list(a.outcomes.values()))), default=None)


def _decision(arm: Arm, findings: Mapping[str, str], chosen: Arm | None) -> str:
    if arm.kind == "leave_out":
        return "drop" if findings[arm.name] == "harms" else "keep"
    if arm.kind == "full":
        return "chosen" if chosen is None else ""
    return "chosen" if arm is chosen else ""


def _decisions(table: Any, chosen: Arm | None, noise: float, spec: AblationSpec) -> dict[str, Any]:
    sources = {}
    for row in table[table["kind"] == "leave_out"].to_dict("records"):
        sources[row["source"]] = {
            "keep": row["decision"] == "keep",
            "finding": row["finding"],
            "effect": round(row["effect"], 4),
            "ci95": [round(row["ci95_low"], 4), round(row["ci95_high"], 4)],
            "q": round(row["q"], 4),
            "n_seeds": row["n_seeds"],
        }
    return {
        "sources": sources,
        "reward_threshold": chosen.threshold if chosen is not None else None,
        "reward_by": spec.reward_by,
        "made_with": {"n_steps": spec.n_steps, "n_rounds": spec.n_rounds, "alpha": spec.alpha, "run_sd": round(noise**0.5, 4)},
    }


def write_decisions(path: str | Path, decisions: Mapping[str, Any]) -> Path:
    """Write decisions as YAML; a reader may edit `keep` and `reward_threshold`, and git shows it."""
    import yaml

    return write_text(path, yaml.safe_dump(dict(decisions), sort_keys=False, allow_unicode=True))


def read_decisions(path: str | Path) -> dict[str, Any]:
    """Read decisions; a UserError names what is missing or is not a yes or no."""
    import yaml

    found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("sources"), dict):
        raise UserError(f"{path}: no 'sources' in it; run notebook 03 again, or restore the file")
    for name, choice in found["sources"].items():
        if not isinstance(choice, dict) or not isinstance(choice.get("keep"), bool):
            raise UserError(f"{path}: source {name!r} needs 'keep: true' or 'keep: false'")
    limit = found.get("reward_threshold")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float)):
        raise UserError(f"{path}: reward_threshold {limit!r} is not a number or null")
    return found
