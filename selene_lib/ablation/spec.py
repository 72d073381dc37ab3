"""How long an ablation trains and how strictly it decides."""

from __future__ import annotations

from dataclasses import dataclass

from selene_lib.errors import UserError


@dataclass(frozen=True)
class AblationSpec:
    """How long and how strictly an ablation goes.

    `n_rounds` seeds at most, and an effect counts at q < `alpha` / `n_rounds` (Bonferroni over the
    looks). `hopeless_power`: a mix is closed when the chance that its effect ever counts falls
    below this. `only` adds the one-source runs; one of them harms only where its whole interval
    lies more than `min_harm_nats` below the base. Defaults are our choice.
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
