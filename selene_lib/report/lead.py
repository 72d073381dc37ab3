"""The first screen of a report: what was run, on what, what came out, and what beats it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.figures.judges import LOSS_NAMES
from selene_lib.judges.names import ARM, is_base, loss_of, main_judge
from selene_lib.models.names import EMBEDDED_MODEL
from selene_lib.models.packaged import PACKAGED
from selene_lib.report.cells import count, interval, share
from selene_lib.report.claims import Claim
from selene_lib.report.provenance import scale_sentences
from selene_lib.report.yes_no import RULES, YesNoRow

METRICS = {"pearson": "Pearson correlation", "accuracy": "accuracy (share right)"}


@dataclass(frozen=True)
class Fact:
    """One question of a first-time reader, and the sentences that answer it."""

    question: str
    answer: tuple[str, ...]


@dataclass(frozen=True)
class Lead:
    """The title in words and the facts below it."""

    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Overall:
    """The mean over task types of every judge of a run: `rows` by judge, `main` the trained one."""

    rows: Mapping[str, Mapping[str, Any]]
    main: str | None
    base: str | None

    @property
    def trained(self) -> Mapping[str, Any]:
        return self.rows[self.main or ""]

    @property
    def untrained(self) -> Mapping[str, Any]:
        return self.rows[self.base or ""]

    @property
    def is_whole(self) -> bool:
        return self.main is not None and self.base is not None

    def of_loss(self, loss: str) -> list[float]:
        """The values of a loss, seed by seed."""
        arms = [name for name in self.rows if ARM.match(name) and loss_of(name) == loss]
        return [float(self.rows[name]["value"]) for name in sorted(arms, key=_seed)]


def _seed(name: str) -> int:
    found = ARM.match(name)
    return int(found["seed"]) if found else 0


def overall(result_dir: Path) -> Overall:
    """Read the means over task types of a run; without rows where notebook 05 has not run."""
    means = files.run_table(result_dir, f"{files.EVALUATE}/task_means.csv")
    if means is None or means.empty:
        return Overall({}, None, None)
    rows = {str(r["judge"]): r for r in means[means["task"] == "overall"].to_dict("records")}
    return Overall(rows, main_judge(rows), next((name for name in rows if is_base(name)), None))


@dataclass(frozen=True)
class Material:
    """What the first screen is made of."""

    run: str
    model: str | None
    means: Overall
    rows: Sequence[Claim]
    yes_no: Sequence[YesNoRow]
    n_sources: int | None
    n_pairs: int | None
    in_means: Sequence[str]


def lead(made: Material) -> Lead:
    """Return title and facts; what was not run is said to be so."""
    judged = [row for row in made.rows if row.is_judged]
    facts = [
        Fact("What was run", (_what(made),)),
        Fact("On what", (_on_what(made, [row for row in made.rows if row.is_run]),)),
        Fact("Result", _result(made.means)),
        Fact("Metric", (_metric(made.means),)),
        Fact("Baseline", (_baseline(made.means),)),
        Fact("What beats it", tuple(_beats(made))),
        Fact("Where training hurt", tuple(_worse(judged))),
        Fact("The paper's scale?", tuple(scale_sentences(made.model, [r.set for r in judged]))),
    ]
    return Lead(_title(made), tuple(fact for fact in facts if fact.answer and fact.answer[0]))


def model_name(model: str | None) -> str:
    """Return how the text names a base model."""
    if model is None:
        return "a model that no step names"
    if model == EMBEDDED_MODEL:
        return "the tiny embedded model"
    if model in PACKAGED:
        model = PACKAGED[model].hub_id
    return model.rstrip("/").split("/")[-1]


def _loss_name(judge: str | None) -> str:
    loss = loss_of(judge or "")
    return LOSS_NAMES.get(loss, loss)


def _title(made: Material) -> str:
    means = made.means
    if not means.is_whole:
        return f"Run {made.run}: no judge was scored yet"
    before, after = float(means.untrained["value"]), float(means.trained["value"])
    apart = float(means.trained["ci95_low"]) > float(means.untrained["ci95_high"])
    hurt = float(means.trained["ci95_high"]) < float(means.untrained["ci95_low"])
    verb = "lifts" if apart else "lowers" if hurt else "does not clearly change"
    change = (
        f"from {before:.3f} to {after:.3f}" if apart or hurt else f"({before:.3f}, {after:.3f})"
    )
    title = f"{_loss_name(means.main)} {verb} {model_name(made.model)} {change}"
    best = max(_other_losses(means), key=lambda row: row[1][0], default=None)
    if best is not None and best[1][0] > after:
        title += f"; {LOSS_NAMES.get(best[0], best[0])} reaches {best[1][0]:.3f}"
    return title


def _other_losses(means: Overall) -> list[tuple[str, list[float]]]:
    mine = loss_of(means.main or "")
    losses = dict.fromkeys(loss_of(name) for name in means.rows if ARM.match(name))
    return [(loss, means.of_loss(loss)) for loss in losses if loss != mine]


def _what(made: Material) -> str:
    said = f"Run {made.run}: {model_name(made.model)}"
    if made.means.main is None:
        return f"{said}. No trained judge was scored."
    seeds = len(made.means.of_loss(loss_of(made.means.main)))
    said += f", trained with {_loss_name(made.means.main)}"
    if made.n_pairs is not None:
        said += f" on {count(made.n_pairs)} preference pairs"
    if made.n_sources is not None:
        said += f" from {count(made.n_sources)} sources"
    return f"{said}; " + ("one seed." if seeds == 1 else f"{seeds:,} seeds, the first is shown.")


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _on_what(made: Material, asked: Sequence[Claim]) -> str:
    if not asked:
        return "not run: no set was judged"
    names = list(dict.fromkeys(row.set.split(":")[0] for row in asked))
    inside = [name for name in names if name in made.in_means]
    further = len(names) - len(inside)
    listed = ", ".join(inside[:6]) + (f" and {len(inside) - 6} more" if len(inside) > 6 else "")
    n_items = f"{count(made.means.trained['n'])} items of " if made.means.is_whole else ""
    said = f"{n_items}{_plural(len(inside), 'set')} ({listed})" if inside else ""
    if all(name.startswith("nano-") for name in inside) and inside:
        said += ", all generated"
    if further:
        said += f"{'; ' if said else ''}{_plural(further, 'further set')} outside the mean"
    return f"{said}."


def _result(means: Overall) -> tuple[str, ...]:
    if not means.is_whole:
        return ("The benchmarks were not run: there is no mean for both base and trained judge.",)
    base, trained = means.untrained, means.trained
    gain = 100 * (float(trained["value"]) - float(base["value"]))
    first = (
        f"Trained {share(trained['value'])} {interval(trained['ci95_low'], trained['ci95_high'])}, "
        f"base {share(base['value'])} {interval(base['ci95_low'], base['ci95_high'])}: "
        f"{gain:+.1f} points, n = {count(trained['n'])}. Brackets are 95 % intervals."
    )
    unread = (
        f"Replies without a readable verdict: trained {count(trained['n_unparsed'])}, "
        f"base {count(base['n_unparsed'])}."
    )
    return first, unread


def _metric(means: Overall) -> str:
    if not means.is_whole:
        return ""
    metric = means.trained.get("metric")
    if not isinstance(metric, str) or not metric:
        return "Mean of the task types (absolute, classification, pairwise)."
    for short, long in METRICS.items():
        metric = metric.replace(short, long, 1)
    return f"Mean of the task types, each the mean of its sets: {metric}."


def _baseline(means: Overall) -> str:
    if not means.is_whole or pd.isna(means.trained.get("majority")):
        return ""
    return f"{share(means.trained['majority'])} for always giving each set's commonest label."


def _beats(made: Material) -> list[str]:
    """Losses with a higher mean over their seeds, the majority rule, and yardsticks."""
    means, said = made.means, []
    if not means.is_whole:
        return []
    mine = means.of_loss(loss_of(means.main or "")) or [float(means.trained["value"])]
    for loss, values in _other_losses(means):
        if sum(values) / len(values) > sum(mine) / len(mine):
            said.append(
                f"{LOSS_NAMES.get(loss, loss)}: {_each(values)} seed by seed, "
                f"against {_each(mine)} for {_loss_name(means.main)}."
            )
    majority = float(means.trained.get("majority", math.nan))
    if majority > float(means.trained["value"]):
        said.append(f"Always giving the commonest label: {share(majority)}.")
    said += _better_yardsticks(made.yes_no)
    return said or ["Nothing else that this run measured."]


def _each(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _better_yardsticks(rows: Sequence[YesNoRow], most: int = 4) -> list[str]:
    """A sentence a set on which a rule that was fitted, or the majority, is the better judge."""
    said = []
    for row in rows:
        better = [
            (rule.accuracy, name)
            for name, rule in zip(RULES, row.rules)
            if name != "random" and rule.accuracy > row.trained.accuracy
        ]
        if better:
            accuracy, name = max(better)
            against = f"against {row.trained.accuracy:.3f}"
            said.append(f"On {row.set} the yardstick {name}: {accuracy:.3f} {against}.")
    left = len(said) - most
    return said if left <= 0 else [*said[:most], f"A yardstick on {left} more Yes/No sets."]


def _worse(judged: Sequence[Claim]) -> list[str]:
    """Sets on which the trained judge scores below the base, in one sentence."""
    worse = [row for row in judged if row.is_worse]
    if not worse:
        return []
    return [f"Trained scores below the base on {', '.join(map(_loss_of_set, worse))}."]


def _loss_of_set(row: Claim) -> str:
    said = f"{row.task}: {share(row.trained.value)} against {share(row.base.value)}"
    if row.trained.n_unparsed:
        said += f", {count(row.trained.n_unparsed)} unread"
    return f"{row.set} ({said})"
