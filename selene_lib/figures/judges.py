"""Who is who in a figure: one colour a method, the same in every figure.

DPO+NLL and Selene Mini are black, the base is orange, DPO alone blue, NLL alone green. In grey they
stay apart: their luminances are 0, .31, .48 and .64.
"""

from __future__ import annotations

from collections.abc import Iterable

from selene_lib.figures.drawing import BASE, PALE, TRAINED
from selene_lib.judges.names import ARM, is_base, loss_of, main_judge
from selene_lib.paper.values import SELENE_MINI

LOSS_NAMES = {"dpo_nll": "DPO+NLL", "dpo": "DPO alone", "nll": "NLL alone"}
TASK_NAMES = {
    "pairwise": "Pairwise",
    "classification": "Classification",
    "absolute": "Absolute scoring",
}
METHODS = {"dpo_nll": TRAINED, "dpo": "#0C5A99", "nll": "#009E73", SELENE_MINI: TRAINED}
MARKERS = {"dpo_nll": "o", "dpo": "^", "nll": "D", SELENE_MINI: "o"}
YARDSTICK = PALE
OTHER, OTHER_MARKER = "#7A94A6", "P"
"""Of a judge that is no method of ours: one of a votes file, or of other people's tables."""


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
    """Return the colour of each judge, which depends on its method alone."""
    found = {}
    for name in judges:
        found[name] = BASE if is_base(name) else METHODS.get(loss_of(name), OTHER)
    return found


def marker_of(judge: str) -> str:
    """Return the mark of a judge's method, so that none depends on its colour alone."""
    return "s" if is_base(judge) else MARKERS.get(loss_of(judge), OTHER_MARKER)


def method_label(judge: str) -> str:
    """Return a judge's method in words, whatever its seed: `DPO+NLL`, `base, untrained`."""
    if judge == "base":
        return "base, untrained"
    loss = loss_of(judge)
    return LOSS_NAMES.get(loss, loss)


def judge_label(judge: str) -> str:
    """Return how a judge is written in a figure: `dpo_nll-seed0` as `trained, DPO+NLL, seed 0`."""
    if judge == "base":
        return "base (untrained)"
    found = ARM.match(judge)
    if found is None:
        return judge
    loss = LOSS_NAMES.get(found["loss"], found["loss"])
    return f"trained, {loss}, seed {found['seed']}"


def short_label(judge: str) -> str:
    """Return the same for a narrow figure: `DPO+NLL, seed 0`."""
    return method_label(judge) if judge == "base" else judge_label(judge).removeprefix("trained, ")
