"""Who is who in a figure: the trained judge black, the base orange, every other judge grey."""

from __future__ import annotations

from collections.abc import Iterable

from selene_lib.figures.drawing import BASE, OTHERS, TRAINED
from selene_lib.judges.names import ARM, is_base, loss_of, main_judge
from selene_lib.paper.values import SELENE_MINI

LOSS_NAMES = {"dpo_nll": "DPO+NLL", "dpo": "DPO alone", "nll": "NLL alone"}
TASK_NAMES = {
    "pairwise": "Pairwise",
    "classification": "Classification",
    "absolute": "Absolute scoring",
}


def order_judges(judges: Iterable[str]) -> list[str]:
    """Return the names once each: the main trained judge, the base, then the others as they came.

    The arms of one loss stand together.
    """
    names = list(dict.fromkeys(judges))
    main = SELENE_MINI if SELENE_MINI in names else main_judge(names)
    losses = dict.fromkeys([loss_of(main or ""), *map(loss_of, names)])
    place = {loss: i for i, loss in enumerate(losses)}
    return sorted(names, key=lambda n: (n != main, not is_base(n), place[loss_of(n)]))


def one_a_loss(judges: Iterable[str]) -> list[str]:
    """Return the judges with the first arm of each loss only: what a crowded plot shows."""
    kinds: dict[str, str] = {}
    for name in order_judges(judges):
        kinds.setdefault(loss_of(name), name)
    return list(kinds.values())


def colours(judges: Iterable[str]) -> dict[str, str]:
    """Return a colour for each judge.

    Black for the main trained one, orange for the base, greys for the others, one a loss.
    """
    ordered = order_judges(judges)
    main = ordered[0] if ordered and not is_base(ordered[0]) else None
    found: dict[str, str] = {}
    greys: dict[str, str] = {}
    for name in ordered:
        if name == main:
            found[name] = TRAINED
        elif is_base(name):
            found[name] = BASE
        else:
            next_grey = OTHERS[len(greys) % len(OTHERS)]
            found[name] = greys.setdefault(loss_of(name), next_grey)
    return found


def judge_label(judge: str) -> str:
    """Return how a judge is written in a figure: `dpo_nll-seed0` as `trained, DPO+NLL, seed 0`."""
    if judge == "base":
        return "base (untrained)"
    found = ARM.match(judge)
    if found is None:
        return judge
    loss = LOSS_NAMES.get(found["loss"], found["loss"])
    return f"trained, {loss}, seed {found['seed']}"
