"""One run on several GPU cards: hours with and without recomputation, and what would shorten it.

Each way under a number of hours says what it changes besides the time. All of it is
`planner.plan_training`, card by card; nothing here was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from selene_lib.training.cards import CARDS
from selene_lib.training.counting import fitting_tokens, longest_row_tokens
from selene_lib.training.planner import Plan, plan_training
from selene_lib.training.spec import TrainSpec

SHOWN_CARDS = ("T4", "L4", "A100-80GB", "H100-80GB")
# cards from this compute capability on multiply 8-bit floats, at twice their 16-bit rate
FP8_CAPABILITY = (8, 9)
# of a step's time, what a frozen base in FP8 leaves: only its products are twice as fast
ASSUMED_FP8_TIME = 0.65
# of the time, what each further card adds for exchanging gradients and uneven pairs
ASSUMED_CARD_LOSS = 0.05


@dataclass(frozen=True)
class CardPlan:
    """A run on one card: as it would be run, with every layer's activations recomputed in the
    backward pass, and with all of them kept (None where they do not fit).
    """

    card: str
    run: Plan
    recomputing: Plan | None
    keeping: Plan | None

    @property
    def fits(self) -> bool:
        """Whether one pair of mean length fits the card."""
        return bool(self.run.fits)

    def row(self) -> dict[str, object]:
        """The plan as a row of a table."""
        run, memory = self.run, CARDS[self.card].memory_bytes
        needed = f"{run.peak_memory_bytes / 1e9:.0f} of {memory / 1e9:.0f} GB"
        return {
            "card": self.card,
            "backend": run.backend,
            "attention": run.attention,
            "recomputed": _recomputed(run),
            "micro-batch, tokens": run.micro_batch_tokens if self.fits else None,
            "memory": needed if self.fits else f"does not fit: {needed}",
            "hours": _hours(run if self.fits else None),
            "hours, all recomputed": _hours(self.recomputing),
            "hours, all kept": _hours(self.keeping),
        }


def plan_on_cards(
    spec: TrainSpec,
    *,
    n_pairs: int | None = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    cards: Sequence[str] = SHOWN_CARDS,
) -> list[CardPlan]:
    """Plan a run on each card, as a machine with Unsloth.

    Arguments and errors are those of `plan_training`.
    """

    def planned(card: str, recompute: bool | None) -> Plan:
        return plan_training(
            replace(spec, gradient_checkpointing=recompute),
            n_pairs=n_pairs,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            device=card,
        )

    found = []
    for card in cards:
        as_run, recomputing, keeping = (
            planned(card, wish) for wish in (spec.gradient_checkpointing, True, False)
        )
        # one pair of mean length is not enough: the longest row must fit as well
        room = fitting_tokens(spec, "cuda", False, CARDS[card].memory_bytes)
        keeps = keeping.fits and room >= longest_row_tokens(spec)
        found.append(
            CardPlan(
                card, as_run, recomputing if recomputing.fits else None, keeping if keeps else None
            )
        )
    return found


def _recomputed(plan: Plan) -> str:
    if not plan.gradient_checkpointing:
        return "nothing"
    kept = plan.checkpoint_skip_layers
    return f"all but {kept} layers" if kept else "every layer"


def ways_under(plan: CardPlan, n_pairs_seen: int, *, hours: float = 24.0) -> list[str]:
    """What brings a run on a card under `hours`, and what each way changes; one line each.

    Empty where it does not fit; one line where it is under already.
    """
    if not plan.fits:
        return []
    alone = plan.run.hours
    if alone <= hours:
        return [f"{plan.card}: {alone:.1f} h, under {hours:.0f} h as it is"]
    n_cards = 2
    while alone / n_cards * (1 + ASSUMED_CARD_LOSS) > hours:
        n_cards += 1
    lines = [
        f"{n_cards} cards: {alone / n_cards * (1 + ASSUMED_CARD_LOSS):.1f} h; the same "
        "batches, so the same numbers to rounding",
        f"{math.floor(hours / alone * n_pairs_seen / 1000) * 1000:,} pairs seen instead of "
        f"{n_pairs_seen:,}: another, shorter training",
    ]
    if CARDS[plan.card].capability >= FP8_CAPABILITY:
        quick = ASSUMED_FP8_TIME * alone
        reach = "" if quick <= hours else ", not enough alone"
        lines.append(
            f"a base in FP8: about {quick:.1f} h{reach}; every number changes, since the base is "
            "rounded otherwise, and this library does not build it"
        )
    return [f"{plan.card}, {alone:.1f} h, under {hours:.0f} h by {line}" for line in lines]


def _hours(plan: Plan | None) -> str:
    return "does not fit" if plan is None else f"{plan.hours:.1f}"
