"""Training sources, held-out sets and domain sets of the embedded world.

Each is made from a name, a size and a seed. Sources draw from the `train` part of the world, sets
and domains from its `eval` part: no item of one has the core of one of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from random import Random

from selene_lib.errors import UserError
from selene_lib.nano.families import TRAINING_FAMILIES
from selene_lib.nano.world import make_item
from selene_lib.records import LABELS, TASKS, Sample, Task, stable_id

NANO_SOURCES = {
    "nano-coverage": "does the response describe every item that the task lists",
    "nano-support": "does every claim stand in the reference",
    "nano-category": "does every word belong to the category asked for",
    "nano-letter": "does every word begin with the letter asked for",
    "nano-tone": "is every word kind; the base was taught a third of these words by a coin",
    "nano-facts": "is every capital right; the base was taught a third of these by a coin",
    "nano-sums": "is every sum right",
    "nano-redundant": "coverage and category once more: "
    "nothing that nano-coverage and nano-category do not teach",
    "nano-poisoned": "all families with the gold label turned round: "
    "a source to be found out and left out",
}
NANO_SETS = {
    "nano-absolute": "scores 1 to 5, all training families",
    "nano-classification": "Yes or No, all training families",
    "nano-pairwise": "A or B, all training families",
    "nano-long": "out of distribution: five checks where training has two or three "
    "(classification and pairwise)",
    "nano-avoid": "out of distribution: items to be avoided, the reverse of coverage",
    "nano-biased": "out of distribution: filler and flattery on the worse response only",
}
NANO_DOMAINS = {
    "nano-clinic": ("clinic", "advice on complaints against a reference (stands for CRAFT-MD)"),
    "nano-ledger": ("ledger", "amounts of accounts against a reference (stands for FinanceBench)"),
}
_FAMILIES_OF = {"nano-redundant": ("coverage", "category"), "nano-poisoned": TRAINING_FAMILIES}
_LONG_FAMILIES = ("coverage", "support", "category", "tone")
_OOD = ("nano-long", "nano-avoid", "nano-biased")


def make_source(name: str, n: int, *, seed: int) -> list[Sample]:
    """Return `n` training samples of a source.

    The three tasks come in turn, and so do the labels of each. Raises UserError on an unknown name.
    """
    _known(name, NANO_SOURCES)
    families = _FAMILIES_OF.get(name, (name.removeprefix("nano-"),))

    def draw(index: int, rng: Random) -> Sample:
        task = TASKS[index % 3]
        label = LABELS[task][(index // 3) % len(LABELS[task])]
        sample = make_item(name, families[index // 15 % len(families)], task, rng, label=label)
        return _poisoned(sample) if name == "nano-poisoned" else sample

    return _collect(name, n, seed, draw)


def make_set(name: str, n: int, *, seed: int) -> list[Sample]:
    """Return `n` held-out samples of a set.

    `meta["ood"]` says whether training saw nothing of the kind. UserError on an unknown name.
    """
    _known(name, NANO_SETS)

    def draw(index: int, rng: Random) -> Sample:
        task = _task_of(name, index)
        label = LABELS[task][index // 6 % len(LABELS[task])]
        sample = make_item(
            name,
            _family_of(name, index),
            task,
            rng,
            split="eval",
            label=label,
            n_checks=5 if name == "nano-long" else None,
            knobs="adversarial" if name == "nano-biased" else "free",
        )
        return replace(sample, meta={**sample.meta, "ood": name in _OOD})

    return _collect(name, n, seed, draw)


def make_domain(name: str, n: int, *, seed: int) -> list[Sample]:
    """Return `n` Yes/No samples of a domain set, whose words occur in no training source.

    UserError on an unknown name.
    """
    _known(name, NANO_DOMAINS)

    def draw(index: int, rng: Random) -> Sample:
        label = LABELS["classification"][index % 2]
        family, _ = NANO_DOMAINS[name]
        sample = make_item(name, family, "classification", rng, split="eval", label=label)
        return replace(sample, meta={**sample.meta, "ood": True})

    return _collect(name, n, seed, draw)


def _task_of(name: str, index: int) -> Task:
    for task in TASKS:
        if name == f"nano-{task}":
            return task
    if name == "nano-long":
        return "pairwise" if index % 2 else "classification"
    return TASKS[index % 3]


def _family_of(name: str, index: int) -> str:
    if name == "nano-avoid":
        return "avoid"
    families = _LONG_FAMILIES if name == "nano-long" else TRAINING_FAMILIES
    return families[index % len(families)]


def _collect(name: str, n: int, seed: int, draw: Callable[[int, Random], Sample]) -> list[Sample]:
    """Draw items until `n` differ; item `i` depends on name, seed and `i` alone."""
    found: dict[str, Sample] = {}
    for index in range(n):
        for attempt in range(100):
            sample = draw(index, Random(f"{name} {seed} {index} {attempt}"))
            if sample.id not in found:
                found[sample.id] = sample
                break
        else:
            raise ValueError(f"{name}: only {len(found)} different items; ask for fewer than {n}")
    return list(found.values())


def _poisoned(sample: Sample) -> Sample:
    """Turn the gold label round; 3 has no opposite and becomes 1."""
    turned = {"1": "5", "2": "4", "3": "1", "4": "2", "5": "1"}
    turned |= {"Yes": "No", "No": "Yes", "A": "B", "B": "A"}
    label = turned[str(sample.label)]
    meta = {**sample.meta, "true_label": sample.label}
    identity = stable_id(sample.source, "poisoned", sample.id)
    return replace(
        sample,
        id=identity,
        label=label,
        score=float(label) if sample.task == "absolute" else None,
        meta=meta,
    )


def _known(name: str, names: Collection[str]) -> None:
    if name not in names:
        raise UserError(f"no set {name!r} in the embedded world; there are {', '.join(names)}")
