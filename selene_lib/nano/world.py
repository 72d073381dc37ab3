"""One item of the embedded judge world.

A task, one response or two, and the gold label that follows from its checks.

Labels: absolute = 1 + number of passing checks of four; classification = Yes exactly when all
checks pass; pairwise = the response with more passing checks. Labels are drawn first, so they are
balanced; filler, flattery, order and side are drawn apart from them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from random import Random
from typing import Any

from selene_lib.nano import lexicon as lex
from selene_lib.nano.families import FAMILIES, EvidenceCheck, Family, Frame
from selene_lib.records import Sample, Task, stable_id

LICENCE = "Apache-2.0 (generated)"
_SPLITS = {"train": (0, 8), "eval": (8, 10)}


def make_item(
    source: str,
    family: str,
    task: Task,
    rng: Random,
    *,
    split: str = "train",
    n_checks: int | None = None,
    knobs: str = "free",
    label: str | None = None,
) -> Sample:
    """Return one item whose core text belongs to `split` (`train` and `eval` never share one).

    `knobs`: `free` draws filler and flattery for each response by itself, `none` leaves them out,
    `adversarial` puts them on the worse response only. Raises ValueError where a family cannot fill
    a split.
    """
    for _ in range(200):
        sample = _draw(source, FAMILIES[family], task, rng, n_checks, knobs, label)
        low, high = _SPLITS[split]
        if low <= int(sample.meta["core"][:8], 16) % 10 < high:
            return sample
    raise ValueError(
        f"{family}/{task}: no item of split {split!r} in 200 draws; give the family more words"
    )


def _draw(
    source: str,
    family: Family,
    task: Task,
    rng: Random,
    n_checks: int | None,
    knobs: str,
    label: str | None,
) -> Sample:
    n = n_checks or (4 if task == "absolute" else rng.choice((2, 3)))
    frame = family.frame(rng, n)
    label, passes = _passes(task, n, rng, label)
    texts, checks = [], []
    for i, wanted in enumerate(passes):
        text, found = _answer(family, frame, wanted, rng, _knob(knobs, i, label, task))
        texts.append(text)
        checks.append(found)
    core = _core_hash(task, frame, checks)
    return Sample(
        id=stable_id(source, task, frame.instruction, frame.reference, *texts),
        source=source,
        task=task,
        instruction=frame.instruction,
        response=texts[0],
        response_b=texts[1] if task == "pairwise" else None,
        rubric=family.rubric,
        reference=frame.reference,
        label=label,
        score=float(label) if task == "absolute" else None,
        licence=LICENCE,
        group=f"{source}-{core}",
        meta={
            "family": family.name,
            "core": core,
            "first": text_hash(texts[0]),
            "checks": [[asdict(c) for c in each] for each in checks],
        },
    )


def _passes(task: Task, n: int, rng: Random, label: str | None) -> tuple[str, list[list[bool]]]:
    """Draw the label, then which checks pass: one list for each response."""
    if task == "absolute":
        n_pass = int(label) - 1 if label else rng.randrange(n + 1)
        return str(n_pass + 1), [_flags(n, n_pass, rng)]
    if task == "classification":
        label = label or rng.choice(("Yes", "No"))
        return label, [_flags(n, n if label == "Yes" else rng.randrange(n), rng)]
    label = label or rng.choice("AB")
    low, high = sorted(rng.sample(range(n + 1), 2))
    return label, [_flags(n, high if side == label else low, rng) for side in "AB"]


def _flags(n: int, n_pass: int, rng: Random) -> list[bool]:
    flags = [True] * n_pass + [False] * (n - n_pass)
    rng.shuffle(flags)
    return flags


def _knob(knobs: str, index: int, label: str, task: Task) -> str:
    if knobs != "adversarial":
        return knobs
    worse = "AB"[index] != label if task == "pairwise" else label in ("No", "1", "2")
    return "full" if worse else "none"


def _answer(
    family: Family, frame: Frame, passes: Sequence[bool], rng: Random, knob: str
) -> tuple[str, list[EvidenceCheck]]:
    parts, checks = family.respond(frame, passes, rng)
    if frame.subjects:
        rng.shuffle(parts)
    text = ", ".join(parts) + "."
    if knob == "full" or (knob == "free" and rng.random() < 0.25):
        text = f"{rng.choice(lex.FILLERS)} {text}"
    if knob == "full" or (knob == "free" and rng.random() < 0.25):
        text = f"{text} {rng.choice(lex.FLATTERIES)}"
    return text, checks


def text_hash(text: str) -> str:
    """Return a short name of a text.

    It tells which response stood first when the item was made, so that a swap shows.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _core_hash(task: Task, frame: Frame, checks: Sequence[Sequence[EvidenceCheck]]) -> str:
    """Name what an item is about apart from its wording.

    Items of one core are the same item with other filler.
    """
    due: list[Any] = sorted(set(frame.expected))
    if frame.subjects:
        due = sorted(zip(frame.subjects, frame.expected, strict=True))
    said = sorted(str(sorted((check.subject, check.found) for check in each)) for each in checks)
    about = repr((task, frame.instruction.split()[0], due, said))
    return hashlib.sha256(about.encode()).hexdigest()[:16]
