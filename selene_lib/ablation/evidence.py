"""What the runs of an ablation show so far: the effect of every mix, and which of them count.

The evidence is the difference of per-item outcomes, averaged over seeds: a paired bootstrap over
items, widened by the spread between seeds of one mix beyond what items explain (else a lucky seed
passes for an effect), with Benjamini-Hochberg over all decisions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from selene_lib.ablation.effects import PairedEffect, SeedVariance, effect_between, run_variance
from selene_lib.ablation.mixes import Mix
from selene_lib.ablation.spec import AblationSpec
from selene_lib.evaluation.metrics import benjamini_hochberg


@dataclass(frozen=True)
class Evidence:
    """What the outcomes show.

    `effects` are by name, of every mix but `full`; `q`, adjusted together, of those that decide
    something; `seed_variance` is what a difference of single runs was widened by.
    """

    effects: dict[str, PairedEffect]
    q: dict[str, float]
    seed_variance: SeedVariance


@dataclass
class Runs:
    """The mixes of an ablation, `full` first, with their outcomes, and what these say.

    `groups` are cluster names of the items; `base_margins` the trusted pairs' margins of the
    untrained base, in nats (None: one-source mixes are judged by accuracy, for information).
    """

    mixes: list[Mix]
    spec: AblationSpec
    groups: np.ndarray | None = None
    base_margins: np.ndarray | None = None
    _known: tuple[int, Evidence] | None = field(default=None, init=False, repr=False)

    def by_margin(self, mix: Mix) -> bool:
        """Whether a mix's outcomes are margins in nats, to be compared with the base's."""
        return mix.kind == "only" and self.base_margins is not None

    def evidence(self) -> Evidence:
        """What the outcomes show; computed once for every number of runs."""
        n_runs = sum(len(mix.outcomes) for mix in self.mixes)
        if self._known is None or self._known[0] != n_runs:
            self._known = (n_runs, self._weigh())
        return self._known[1]

    def _weigh(self) -> Evidence:
        by_accuracy = [mix for mix in self.mixes if not self.by_margin(mix)]
        alone = [mix for mix in self.mixes if self.by_margin(mix)]
        deciding = [mix for mix in by_accuracy if mix.kind in ("leave_out", "threshold")] + alone
        seed_variance = self._seed_variance(by_accuracy)
        effects = {}
        for mix in by_accuracy:
            if mix.kind != "full":
                effects[mix.name] = self._against_full(mix, seed_variance, len(deciding))
        if self.base_margins is not None:
            # One or two mixes have a second seed, so the variance is taken as known; what guards
            # against a lucky one is `min_harm_nats`.
            margin_variance = SeedVariance(run_variance([list(m.outcomes.values()) for m in alone]))
            for mix in alone:
                effects[mix.name] = self._against_base(
                    mix, self.base_margins, margin_variance, len(deciding)
                )
        q = benjamini_hochberg(np.array([effects[mix.name].p for mix in deciding]))
        return Evidence(effects, {mix.name: float(x) for mix, x in zip(deciding, q)}, seed_variance)

    def _seed_variance(self, mixes: Sequence[Mix]) -> SeedVariance:
        """Variance, for one seed, of `mix less full` beyond what items explain.

        Mixes of one seed start alike, and what they share cancels. So the change from one seed to
        the next is compared between mixes: two such changes differ by the deviations of four single
        runs, half of which variance is that of a difference of two runs.
        """
        changes = []
        for seed, later in pairwise(sorted(self.mixes[0].outcomes)):
            both = [m.outcomes for m in mixes if seed in m.outcomes and later in m.outcomes]
            changes.append([outcomes[later] - outcomes[seed] for outcomes in both])
        df = max(1, sum(len(change) - 1 for change in changes))
        return SeedVariance(run_variance(changes, self.groups), df)

    def _against_full(self, mix: Mix, variance: SeedVariance, n_decisions: int) -> PairedEffect:
        """The effect of a mix on the seeds that it and `full` both have.

        Full less mix for `leave_out` (what the source adds), mix less full for the others.
        """
        full = self.mixes[0]
        seeds = sorted(set(mix.outcomes) & set(full.outcomes))
        mine, whole = (np.mean([m.outcomes[s] for s in seeds], axis=0) for m in (mix, full))
        first, second = (whole, mine) if mix.kind == "leave_out" else (mine, whole)
        return self._between(first, second, variance.of_mean(len(seeds)), n_decisions, self.groups)

    def _against_base(
        self, mix: Mix, base_margins: np.ndarray, variance: SeedVariance, n_decisions: int
    ) -> PairedEffect:
        of_mean = variance.of_mean(len(mix.outcomes))
        return self._between(mix.mean_outcome, base_margins, of_mean, n_decisions, None)

    def _between(
        self,
        first: np.ndarray,
        second: np.ndarray,
        variance: SeedVariance,
        n_decisions: int,
        groups: np.ndarray | None,
    ) -> PairedEffect:
        return effect_between(
            first,
            second,
            seed_variance=variance,
            n_decisions=n_decisions,
            level=self.spec.level,
            n_resamples=self.spec.n_resamples,
            seed=self.spec.seed,
            groups=groups,
        )
