"""Which sources, which reward threshold: short training runs from one base, compared item by item,
raced, decided with known error rates.

Arms: `full` (all pairs), `without <source>`, `only <source>` and one per reward threshold. A round
trains the arms that are still open with one more seed. After each round an arm is closed when its
effect is clear, or when no remaining round could make it clear (hopeless). The evidence is the
difference of per-item outcomes, averaged over seeds: a paired bootstrap over items, widened by the
spread between seeds of one arm beyond what items explain (else the luck of a seed passes for an
effect), with Benjamini-Hochberg over all decisions.

A source that is a small part of the mix hardly moves its accuracy, however bad it is. So each
source is also trained on alone, and the judge is asked which of two evaluations of trusted items it
prefers: by how many nats the sound one is likelier than the unsound one. A source after which the
sound one is preferred less than before any training harms. This is used against a source only,
never for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from selene_lib.ablation.effects import Effect, effect_between, power_left, run_variance
from selene_lib.curation.decisions import read_decisions, write_decisions
from selene_lib.curation.filters import filter_reward
from selene_lib.errors import UserError
from selene_lib.evaluation.metrics import benjamini_hochberg, bootstrap_ci
from selene_lib.records import PreferencePair

TrainArm = Callable[[Sequence[PreferencePair], int, int], np.ndarray]
Kind = Literal["full", "leave_out", "only", "threshold"]
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
_MANY = 1_000_000
__all__ = [
    "COLUMNS",
    "AblationResult",
    "AblationSpec",
    "Arm",
    "plan_arms",
    "read_decisions",
    "run_ablation",
    "write_decisions",
]


@dataclass(frozen=True)
class AblationSpec:
    """How long and how strictly: `n_rounds` seeds at most, and an effect counts at q < `alpha` /
    `n_rounds` (Bonferroni over the looks).

    `hopeless_power`: an arm is closed when the chance that its effect ever counts falls below this.
    `only` adds the one-source runs; one of them harms only where its whole interval lies more than
    `min_harm_nats` below the base. Defaults are our choice.
    """

    n_steps: int = 60
    n_rounds: int = 3
    alpha: float = 0.05
    hopeless_power: float = 0.1
    only: bool = True
    min_harm_nats: float = 1.0
    n_resamples: int = 2000
    seed: int = 0
    reward_by: str = "chosen"

    def __post_init__(self) -> None:
        if self.n_rounds < 1 or self.n_steps < 1 or not 0 < self.alpha < 1:
            raise UserError(
                f"n_rounds and n_steps must be at least 1 and alpha in (0, 1); got {self}"
            )

    @property
    def level(self) -> float:
        """The q below which an effect counts."""
        return self.alpha / self.n_rounds


@dataclass
class Arm:
    """One arm: what it trains on, its outcomes by round (margins in nats for an `only` arm that has
    them), and why it was closed.
    """

    name: str
    kind: Kind
    pairs: list[PreferencePair]
    source: str = ""
    threshold: float | None = None
    outcomes: dict[int, np.ndarray] = field(default_factory=dict)
    closed: str = ""


@dataclass(frozen=True)
class AblationResult:
    """`table`: one row an arm (`COLUMNS`); `telemetry`: seconds an arm and seed; `decisions`: what
    `write_decisions` writes.
    """

    table: Any
    telemetry: Any
    decisions: dict[str, Any]

    @property
    def sweep(self) -> Any:
        """The threshold sweep: threshold (NaN: no filter), n_pairs, accuracy with its interval,
        effect against no filter, q, chosen.
        """
        rows = self.table[self.table["kind"].isin(["full", "threshold"])]
        columns = [
            "threshold",
            "n_pairs",
            "accuracy",
            "accuracy_low",
            "accuracy_high",
            "effect",
            "q",
            "decision",
        ]
        return (
            rows[columns]
            .rename(columns={"accuracy_low": "ci95_low", "accuracy_high": "ci95_high"})
            .reset_index(drop=True)
        )


def run_ablation(
    pairs: Sequence[PreferencePair],
    train_arm: TrainArm,
    spec: AblationSpec | None = None,
    *,
    margin_arm: TrainArm | None = None,
    thresholds: Sequence[float | None] = (),
    groups: np.ndarray | None = None,
    progress: bool = True,
) -> AblationResult:
    """Race the arms and decide. `train_arm(pairs, seed, n_steps)` trains from the base and returns
    one outcome in [0, 1] an item.

    `margin_arm`, of the same form, returns the preference margin of each trusted pair in nats, of
    the base itself for `n_steps=0`; with it (and `spec.only`) the one-source runs decide on harm,
    without it they are for information. `groups` are cluster names of the items of `train_arm`
    (items of one prompt are drawn together). Raises UserError for fewer than two sources.
    """
    spec = spec or AblationSpec()
    race = Race(plan_arms(pairs, thresholds, spec), spec, groups)
    if spec.only and margin_arm is not None:
        race.base_margins = np.asarray(margin_arm([], spec.seed, 0), dtype=float)
    telemetry = []
    for round_ in range(spec.n_rounds):
        todo = [arm for arm in race.arms if not arm.closed]
        if all(arm.kind == "full" for arm in todo):
            break
        telemetry += _train_round(
            [arm for arm in todo if not race.by_margin(arm)], round_, train_arm, spec, progress
        )
        if margin_arm is not None:
            telemetry += _train_round(
                [arm for arm in todo if race.by_margin(arm)], round_, margin_arm, spec, progress
            )
        race.close(round_)
    return AblationResult(race.table(), _frame(telemetry), race.decisions())


def _frame(rows: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(rows, columns=["arm", "seed", "n_steps", "seconds"])


def plan_arms(
    pairs: Sequence[PreferencePair], thresholds: Sequence[float | None], spec: AblationSpec
) -> list[Arm]:
    """The arms of an ablation, `full` first. A threshold of None is the full arm; one that keeps
    nothing is a UserError.
    """
    sources = sorted({p.source for p in pairs})
    if len(sources) < 2:
        raise UserError(f"an ablation needs at least two sources; these pairs have {len(sources)}")
    arms = [Arm("full", "full", list(pairs))]
    arms += [
        Arm(f"without {s}", "leave_out", [p for p in pairs if p.source != s], s) for s in sources
    ]
    if spec.only:
        arms += [Arm(f"only {s}", "only", [p for p in pairs if p.source == s], s) for s in sources]
    for limit in sorted({t for t in thresholds if t is not None}):
        kept = filter_reward(pairs, limit, by=spec.reward_by).kept
        if not kept:
            raise UserError(f"reward threshold {limit} keeps no pair; lower it")
        arms.append(Arm(f"reward >= {limit:.4g}", "threshold", kept, threshold=limit))
    return arms


def _train_round(
    arms: Sequence[Arm], round_: int, train_arm: TrainArm, spec: AblationSpec, progress: bool
) -> list[dict[str, Any]]:
    rows, seed = [], spec.seed + round_
    for arm, (outcome, seconds) in zip(arms, _outcomes(arms, seed, train_arm, spec, progress)):
        expected = next((len(o) for a in arms for o in a.outcomes.values()), len(outcome))
        if outcome.ndim != 1 or len(outcome) != expected or not np.isfinite(outcome).all():
            raise ValueError(
                f"arm {arm.name!r}: outcomes of shape {outcome.shape}, expected {expected} finite numbers, one an item"
            )
        arm.outcomes[round_] = outcome
        rows.append({"arm": arm.name, "seed": seed, "n_steps": spec.n_steps, "seconds": seconds})
    return rows


def _outcomes(
    arms: Sequence[Arm], seed: int, train_arm: TrainArm, spec: AblationSpec, progress: bool
) -> list[tuple[np.ndarray, float]]:
    """Train the arms of a round: all at once where `train_arm` has a `many` for that (then seconds
    are the mean), else one by one.
    """
    from tqdm.auto import tqdm

    begin = time.perf_counter()
    many = getattr(train_arm, "many", None)
    if many is not None:
        outcomes = many([(arm.pairs, seed, spec.n_steps) for arm in arms])
        return [
            (np.asarray(o, dtype=float), (time.perf_counter() - begin) / len(arms))
            for o in outcomes
        ]
    found = []
    for arm in tqdm(arms, desc=f"ablation, seed {seed}", disable=not progress):
        begin = time.perf_counter()
        found.append(
            (
                np.asarray(train_arm(arm.pairs, seed, spec.n_steps), dtype=float),
                time.perf_counter() - begin,
            )
        )
    return found


@dataclass
class Race:
    """The arms (`full` first), what is known of them, and the rules that close them and decide."""

    arms: list[Arm]
    spec: AblationSpec
    groups: np.ndarray | None = None
    base_margins: np.ndarray | None = None
    _known: tuple[int, Any] = field(default=(-1, None), init=False, repr=False)

    def close(self, round_: int) -> None:
        """Close what is decided after a round: clear effects (from the second seed on), hopeless
        arms, one-source arms without harm.
        """
        last = round_ + 1 == self.spec.n_rounds
        effects, q = self.evidence()
        noise, _ = self._luck()
        for arm in [a for a in self.arms if not a.closed]:
            after = f"after {round_ + 1}"
            if arm.kind == "full" or arm.name not in q:
                arm.closed = f"done {after}" if last or arm.kind == "only" else ""
            elif (
                q[arm.name] < self.spec.level
                and (round_ > 0 or last)
                and (not self.by_margin(arm) or effects[arm.name].value < 0)
            ):
                arm.closed = f"clear {after}"
            elif last:
                arm.closed = f"not clear {after}"
            elif self._is_hopeless(arm, effects[arm.name], round_ + 1, noise):
                arm.closed = f"hopeless {after}"

    def _is_hopeless(self, arm: Arm, effect: Effect, n_seeds: int, noise: float) -> bool:
        if self.by_margin(arm):
            return effect.value >= 0 or effect.p >= self.spec.alpha
        left = power_left(
            effect,
            n_seeds=n_seeds,
            n_seeds_last=self.spec.n_rounds,
            luck_variance=noise,
            level=self.spec.level,
        )
        return left < self.spec.hopeless_power

    def by_margin(self, arm: Arm) -> bool:
        """Whether an arm's outcomes are margins in nats, to be held against the base's."""
        return arm.kind == "only" and self.base_margins is not None

    def evidence(self) -> tuple[dict[str, Effect], dict[str, float]]:
        """Return the effect of every arm but `full`, and q of those that decide something, adjusted
        together.
        """
        n_runs = sum(len(a.outcomes) for a in self.arms)
        if self._known[0] != n_runs:
            self._known = (n_runs, self._evidence())
        return self._known[1]

    def _evidence(self) -> tuple[dict[str, Effect], dict[str, float]]:
        accuracy = [a for a in self.arms if not self.by_margin(a)]
        alone = [a for a in self.arms if self.by_margin(a)]
        deciding = [a for a in accuracy if a.kind in ("leave_out", "threshold")] + alone
        luck, again = self._luck(), [list(a.outcomes.values()) for a in alone]
        margin_luck = (
            run_variance(again),
            _MANY,
        )  # one or two arms have a second seed; `min_harm_nats` is the guard
        effects = {
            a.name: self._against_full(a, luck, len(deciding)) for a in accuracy if a.kind != "full"
        }
        effects |= {a.name: self._against_base(a, margin_luck, len(deciding)) for a in alone}
        q = benjamini_hochberg(np.array([effects[a.name].p for a in deciding]))
        return effects, {a.name: float(x) for a, x in zip(deciding, q)}

    def _luck(self) -> tuple[float, int]:
        """Variance, for one seed, of `arm less full` beyond what items explain, and the degrees of
        freedom of that estimate.

        Arms of one seed start alike, and what they share cancels. So the change from one seed to
        the next is compared between arms: two such changes differ by four lucks of single runs,
        half of which variance is that of a difference of two runs.
        """
        runs = [a.outcomes for a in self.arms if not self.by_margin(a)]
        seeds = sorted(self.arms[0].outcomes)
        changes = [
            [o[later] - o[seed] for o in runs if seed in o and later in o]
            for seed, later in pairwise(seeds)
        ]
        return run_variance(changes, self.groups), max(1, sum(len(c) - 1 for c in changes))

    def _against_full(self, arm: Arm, luck: tuple[float, int], n_decisions: int) -> Effect:
        """On the seeds that both have: full less arm for `leave_out` (what the source adds), arm
        less full for the others.
        """
        seeds = sorted(set(arm.outcomes) & set(self.arms[0].outcomes))
        mine, full = (np.mean([a.outcomes[s] for s in seeds], axis=0) for a in (arm, self.arms[0]))
        first, second = (full, mine) if arm.kind == "leave_out" else (mine, full)
        return self._between(
            first, second, (luck[0] / len(seeds), luck[1]), n_decisions, self.groups
        )

    def _against_base(self, arm: Arm, luck: tuple[float, int], n_decisions: int) -> Effect:
        mine = np.mean(list(arm.outcomes.values()), axis=0)
        return self._between(
            mine, self.base_margins, (luck[0] / len(arm.outcomes), luck[1]), n_decisions, None
        )  # type: ignore[arg-type]

    def _between(
        self,
        first: np.ndarray,
        second: np.ndarray,
        luck: tuple[float, int],
        n_decisions: int,
        groups: np.ndarray | None,
    ) -> Effect:
        sizes = {
            "n_decisions": n_decisions,
            "level": self.spec.level,
            "n_resamples": self.spec.n_resamples,
            "seed": self.spec.seed,
        }
        return effect_between(
            first, second, luck_variance=luck[0], luck_df=luck[1], groups=groups, **sizes
        )  # type: ignore[arg-type]

    def findings(self) -> dict[str, str]:
        """What is said of each deciding arm: helps, harms, or no effect shown; of a one-source run
        by margins only harm or no harm.
        """
        effects, q = self.evidence()
        by_margin = {a.name for a in self.arms if self.by_margin(a)}
        said = {}
        for name, value in q.items():
            counts = value < self.spec.level
            if name in by_margin:
                said[name] = (
                    "harms"
                    if counts and effects[name].ci95_high < -self.spec.min_harm_nats
                    else "no harm shown"
                )
            else:
                said[name] = (
                    "no effect shown"
                    if not counts
                    else "helps"
                    if effects[name].value > 0
                    else "harms"
                )
        return said

    def is_dropped(self, source: str, findings: dict[str, str]) -> bool:
        """A source goes where leaving it out helps, or where training on it alone turns the judge
        against sound evaluations.
        """
        return "harms" in (findings.get(f"without {source}"), findings.get(f"only {source}"))

    def chosen(self, findings: dict[str, str]) -> Arm | None:
        """Among the thresholds that beat no filter, the one with the best accuracy; None if none
        does.
        """
        helping = [a for a in self.arms if a.kind == "threshold" and findings[a.name] == "helps"]
        return max(helping, key=lambda a: float(np.mean(list(a.outcomes.values()))), default=None)

    def table(self) -> Any:
        """One row an arm, `COLUMNS`."""
        import pandas as pd

        effects, q = self.evidence()
        findings = self.findings()
        return pd.DataFrame(
            [self._row(a, effects.get(a.name), q.get(a.name), findings) for a in self.arms],
            columns=list(COLUMNS),
        )

    def _row(
        self, arm: Arm, effect: Effect | None, q: float | None, findings: dict[str, str]
    ) -> dict[str, Any]:
        mean = np.mean(list(arm.outcomes.values()), axis=0)
        row: dict[str, Any] = dict.fromkeys(COLUMNS)
        row |= {
            "arm": arm.name,
            "kind": arm.kind,
            "source": arm.source,
            "threshold": arm.threshold,
            "n_pairs": len(arm.pairs),
        }
        row |= {
            "n_seeds": len(arm.outcomes),
            "q": q,
            "finding": findings.get(arm.name, ""),
            "closed": arm.closed,
        }
        row["decision"] = self._decision(arm, findings)
        if self.by_margin(arm):
            row["margin"] = float(mean.mean())
        else:
            about = bootstrap_ci(
                mean, groups=self.groups, n_resamples=self.spec.n_resamples, rng=self.spec.seed
            )
            row |= {
                "accuracy": float(mean.mean()),
                "accuracy_low": about.low,
                "accuracy_high": about.high,
            }
        if effect is not None:
            names = (
                ("margin_effect", "margin_low", "margin_high")
                if self.by_margin(arm)
                else ("effect", "ci95_low", "ci95_high")
            )
            row |= dict(zip(names, (effect.value, effect.ci95_low, effect.ci95_high))) | {
                "p": effect.p
            }
        return row

    def _decision(self, arm: Arm, findings: dict[str, str]) -> str:
        chosen = self.chosen(findings)
        if arm.kind == "leave_out":
            return "drop" if self.is_dropped(arm.source, findings) else "keep"
        is_chosen = arm is chosen or (arm.kind == "full" and chosen is None)
        return "chosen" if is_chosen else ""

    def decisions(self) -> dict[str, Any]:
        """What `write_decisions` writes: keep or drop with the reasons, and the reward threshold."""
        effects, q = self.evidence()
        findings = self.findings()
        sources = {}
        for arm in [a for a in self.arms if a.kind == "leave_out"]:
            effect, alone = effects[arm.name], f"only {arm.source}"
            sources[arm.source] = {
                "keep": not self.is_dropped(arm.source, findings),
                "finding": findings[arm.name],
                "effect": round(effect.value, 4),
                "ci95": [round(effect.ci95_low, 4), round(effect.ci95_high, 4)],
                "q": round(q[arm.name], 4),
                "n_seeds": len(arm.outcomes),
            }
            if alone in findings:
                margin = effects[alone]
                sources[arm.source] |= {
                    "alone": findings[alone],
                    "alone_margin_nats": round(margin.value, 3),
                    "alone_q": round(q[alone], 4),
                }
        chosen = self.chosen(findings)
        made = {
            "n_steps": self.spec.n_steps,
            "n_rounds": self.spec.n_rounds,
            "alpha": self.spec.alpha,
            "luck_sd": round(self._luck()[0] ** 0.5, 4),
        }
        threshold = chosen.threshold if chosen is not None else None
        return {
            "sources": sources,
            "reward_threshold": threshold,
            "reward_by": self.spec.reward_by,
            "made_with": made,
        }
