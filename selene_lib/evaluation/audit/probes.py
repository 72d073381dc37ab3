"""Probes: the items of a set as they are, and edited so that the gold label stays what it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from selene_lib.errors import UserError
from selene_lib.evaluation.audit.edits import ATTACKS, NUDGES, Edit, cut, lengthen, sign
from selene_lib.records import LABELS, TIE, Sample, unit_hash

BASE, REPEAT, SWAPPED, LONGER, CUT, SIGNATURE = (
    "base",
    "repeat",
    "swapped",
    "length_slope",
    "truncation",
    "signature",
)
TOP = {"absolute": "5", "classification": "Yes"}


@dataclass(frozen=True)
class Probe:
    """One question of the audit.

    `sample` is what is shown, with an id of its own, `item` the sample it comes from (as
    published). `target` is the verdict that favours the edited response, in the words of what is
    shown; `gold` the right one (None where the set has only a score). `flipped` says that A and B
    changed places against `item`.
    """

    name: str
    item: Sample
    sample: Sample
    target: str
    gold: str | None
    flipped: bool = False


def probe_names(own: Sequence[str] = ()) -> tuple[str, ...]:
    """All probes that edit an item, in the order of the card."""
    return (REPEAT, SWAPPED, LONGER, *NUDGES, *((SIGNATURE,) if own else ()), CUT, *ATTACKS)


def make_probes(
    samples: Sequence[Sample],
    *,
    n: int = 100,
    names: Iterable[str] | None = None,
    own: Sequence[str] = (),
    seed: int = 0,
) -> list[Probe]:
    """Return probes of at most `n` items: each as it is, then under every edit that fits it.

    What fits is a matter of task and label. Edited is the response that the gold label says is
    worse, so that the label holds; in absolute and classification sets the only one. Attacks leave
    out items whose gold label is the verdict that the attack wants. Items: those with the smallest
    `unit_hash(seed, id)`, at most one a group, no ties. Which response stands first is drawn from
    the id.
    """
    edits = _edits(own)
    wanted = probe_names(own) if names is None else tuple(names)
    for name in wanted:
        if name not in edits and name not in (REPEAT, SWAPPED):
            raise UserError(f"unknown probe {name!r}; known: {', '.join(probe_names(('x',)))}")
    probes: list[Probe] = []
    for item in choose_items(samples, n, seed):
        flipped = item.task == "pairwise" and unit_hash(seed, item.id, "audit side") < 0.5
        shown = item.swap() if flipped else item
        target = _worse(shown) if item.task == "pairwise" else TOP[item.task]
        base = Probe(
            BASE, item, replace(shown, id=f"{item.id}|{BASE}"), target, shown.label, flipped
        )
        probes.append(base)
        for name in wanted:
            edited = _edited(base, name, edits)
            if edited is not None:
                probes.append(edited)
    return probes


def choose_items(samples: Sequence[Sample], n: int, seed: int) -> list[Sample]:
    """The items an audit can use, by hash, one a group; a set without any is a UserError."""
    groups: set[str] = set()
    chosen: list[Sample] = []
    usable = filter(_is_usable, samples)
    for sample in sorted(usable, key=lambda s: unit_hash(seed, s.id, "audit")):
        group = sample.group or sample.id
        if group not in groups and len(chosen) < n:
            groups.add(group)
            chosen.append(sample)
    if not chosen:
        raise UserError(
            "the audit needs samples with a label other than tie (or a score); this set has none"
        )
    return chosen


def _is_usable(sample: Sample) -> bool:
    has_gold = sample.label is not None or sample.score is not None
    return has_gold and sample.label != TIE and bool(sample.response.strip())


def _edits(own: Sequence[str]) -> dict[str, Edit]:
    edits: dict[str, Edit] = {LONGER: lengthen, CUT: cut, **NUDGES, **ATTACKS}
    return {**edits, SIGNATURE: sign(own[0])} if own else edits


def _worse(shown: Sample) -> str:
    return next(label for label in LABELS["pairwise"] if label != shown.label)


def _edited(base: Probe, name: str, edits: dict[str, Edit]) -> Probe | None:
    """The probe of one edit, or None where it does not fit.

    There is no second place to swap in a single response, and an attack cannot change a label that
    is what it wants.
    """
    shown = replace(base.sample, id=f"{base.item.id}|{name}")
    if name == SWAPPED:
        return _swapped(base, shown.swap()) if shown.task == "pairwise" else None
    if name in ATTACKS and base.gold == base.target:
        return None
    if name != REPEAT:
        shown = _edit_worse(shown, edits[name], base.target)
    return replace(base, name=name, sample=shown)


def _swapped(base: Probe, shown: Sample) -> Probe:
    return replace(
        base,
        name=SWAPPED,
        sample=shown,
        target=_worse(shown),
        gold=shown.label,
        flipped=not base.flipped,
    )


def _edit_worse(shown: Sample, edit: Edit, target: str) -> Sample:
    """Edit the response that `target` would favour."""
    if target == "B":
        return replace(shown, response_b=edit(shown.response_b or "", target))
    return replace(shown, response=edit(shown.response, target))
