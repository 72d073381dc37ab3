"""Who is who among a run's judges: the base, the arms (a loss and a seed), and the main one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.paper.values import BASE_MODEL

BASE = "base"
ARM = re.compile(r"^(?P<loss>[a-z_]+)-seed(?P<seed>\d+)$")


def arm_names(losses: str, seeds: str, other_seeds: str) -> list[tuple[str, int]]:
    """Return `(loss, seed)` of each arm: the first loss takes `seeds`, any other `other_seeds`."""
    kinds = [part.strip() for part in losses.split(",") if part.strip()]
    if not kinds or not any(part.strip() for part in seeds.split(",")):
        raise UserError(
            f"losses {losses!r} with seeds {seeds!r} name no arm to train: "
            "give at least one of each"
        )
    arms = [(kinds[0], seed) for seed in _numbers(seeds)]
    for kind in kinds[1:]:
        arms += [(kind, seed) for seed in _numbers(other_seeds)]
    return arms


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part.strip()]


def loss_of(judge: str) -> str:
    """Return the loss of an arm (`dpo_nll-seed0` -> `dpo_nll`), of any other judge its name."""
    found = ARM.match(judge)
    return found["loss"] if found else judge


MAIN_LOSS = "dpo_nll"


def adapters_of(folder: Path) -> dict[str, Path | None]:
    """Return the judges of a run by name: `base` without adapter, then every trained arm."""
    trained = sorted((path for path in folder.iterdir() if path.is_dir()), key=_arm_order)
    return {BASE: None, **{path.name: path for path in trained}}


def _arm_order(path: Path) -> tuple[str, int, str]:
    """By loss, then seed as a number: seed 10 comes after seed 2."""
    found = ARM.match(path.name)
    return (found["loss"], int(found["seed"]), "") if found else (path.name, 0, path.name)


def is_base(judge: str) -> bool:
    """Whether a judge is the untrained model of a run, or the published base."""
    return judge == BASE_MODEL or judge.split("-")[0].split(":")[0] == BASE


def main_judge(judges: Iterable[str]) -> str | None:
    """Return the trained judge that stands for a run, the same in scores, figures and report.

    That is DPO+NLL of the lowest seed, else the arm of the lowest seed, else any other judge that
    is no base; None where there is none.
    """
    names = list(dict.fromkeys(judges))
    arms = []
    for name in names:
        found = ARM.match(name)
        if found:
            arms.append((found["loss"] != MAIN_LOSS, int(found["seed"]), name))
    if arms:
        return min(arms)[2]
    return next((name for name in names if not is_base(name)), None)


def main_arm(names: Iterable[str]) -> str:
    """Return `main_judge`; a run without a trained judge is a UserError."""
    found = main_judge(names)
    if found is None:
        raise UserError(
            "there is no trained judge: run notebook 04 first, with at least one loss and seed"
        )
    return found


def main_pair(adapters: Mapping[str, Path | None]) -> dict[str, Path | None]:
    """Return base and the main arm alone."""
    return {BASE: None, main_arm(adapters): adapters[main_arm(adapters)]}
