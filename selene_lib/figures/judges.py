"""Who is who in a figure: the trained judge is black, the base orange, every other judge grey, in
every plot.
"""

from __future__ import annotations

from collections.abc import Iterable

from selene_lib.figures.drawing import BASE, OTHERS, TRAINED
from selene_lib.judges.names import ARM, is_base, loss_of, main_judge
from selene_lib.paper.values import BASE_MODEL, SELENE_MINI

LOSS_NAMES = {"dpo_nll": "DPO+NLL", "dpo": "DPO alone", "nll": "NLL alone"}
TASK_NAMES = {
    "pairwise": "Pairwise",
    "classification": "Classification",
    "absolute": "Absolute scoring",
}
PUBLISHED_TRAINED, PUBLISHED_BASE = SELENE_MINI, BASE_MODEL


def order_judges(judges: Iterable[str]) -> list[str]:
    """Return the names once each: the main trained judge, the base, then the others as they came,
    but the arms of one loss together.
    """
    names = list(dict.fromkeys(judges))
    main = PUBLISHED_TRAINED if PUBLISHED_TRAINED in names else main_judge(names)
    place = {
        loss: i for i, loss in enumerate(dict.fromkeys([loss_of(main or ""), *map(loss_of, names)]))
    }
    return sorted(names, key=lambda n: (n != main, not is_base(n), place[loss_of(n)]))


def one_a_loss(judges: Iterable[str]) -> list[str]:
    """Return the judges with the first arm of each loss only, in the order of `order_judges`: what
    a crowded plot shows.
    """
    kinds: dict[str, str] = {}
    for name in order_judges(judges):
        kinds.setdefault(loss_of(name), name)
    return list(kinds.values())


def colours(judges: Iterable[str]) -> dict[str, str]:
    """Return a colour for each judge: black for the main trained one, orange for the base, greys
    for the others, one a loss.
    """
    ordered = order_judges(judges)
    main = ordered[0] if ordered and not is_base(ordered[0]) else None
    kinds = dict.fromkeys(loss_of(name) for name in ordered if name != main and not is_base(name))
    grey = dict(zip(kinds, OTHERS * (1 + len(kinds) // len(OTHERS))))
    return {
        name: TRAINED if name == main else BASE if is_base(name) else grey[loss_of(name)]
        for name in ordered
    }


def judge_label(judge: str) -> str:
    """Return how a judge is written in a figure: `dpo_nll-seed0` as `trained, DPO+NLL, seed 0`."""
    found = ARM.match(judge)
    if judge == "base":
        return "base (untrained)"
    return (
        f"trained, {LOSS_NAMES.get(found['loss'], found['loss'])}, seed {found['seed']}"
        if found
        else judge
    )
