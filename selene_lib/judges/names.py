"""Who is who among the judges of a run: the base, the arms (a loss and a seed), and the one that
stands for the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from selene_lib.errors import UserError

BASE = "base"
ARM = re.compile(r"^(?P<loss>[a-z_]+)-seed(?P<seed>\d+)$")


def arm_names(losses: str, seeds: str, other_seeds: str) -> list[tuple[str, int]]:
    """Return `(loss, seed)` of each arm: the first loss with `seeds`, every other one with
    `other_seeds`.
    """
    kinds = [part.strip() for part in losses.split(",") if part.strip()]
    if not kinds or not any(part.strip() for part in seeds.split(",")):
        raise UserError(
            f"losses {losses!r} with seeds {seeds!r} name no arm to train: give at least one of each"
        )
    main, other = (
        [int(part) for part in text.split(",") if part.strip()] for text in (seeds, other_seeds)
    )
    return [
        *((kinds[0], seed) for seed in main),
        *((kind, seed) for kind in kinds[1:] for seed in other),
    ]


def loss_of(judge: str) -> str:
    """Return the loss of an arm (`dpo_nll-seed0` -> `dpo_nll`); any other judge is of a kind of its
    own.
    """
    found = ARM.match(judge)
    return found["loss"] if found else judge


MAIN_LOSS = "dpo_nll"


def adapters_of(folder: Path) -> dict[str, Path | None]:
    """Return the judges of a run by name: `base` without adapter, then every trained arm."""
    return {BASE: None, **{path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}}


def main_arm(names: Iterable[str]) -> str:
    """Return the arm that stands for the run: the first of the main loss, else the first trained
    one.
    """
    trained = [name for name in names if name != BASE]
    if not trained:
        raise UserError(
            "there is no trained judge: run notebook 04 first, with at least one loss and seed"
        )
    return next((name for name in trained if name.startswith(MAIN_LOSS)), trained[0])


def main_pair(adapters: Mapping[str, Path | None]) -> dict[str, Path | None]:
    """Return base and the main arm alone."""
    return {BASE: None, main_arm(adapters): adapters[main_arm(adapters)]}
