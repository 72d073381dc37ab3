"""The rule-based teacher.

Its critique enumerates the evidence and leads to the verdict it was asked for. Asked for the gold
verdict, every line is true. Asked for another one, the fewest lines that lead there hold a definite
error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from selene_lib.nano import lexicon as lex
from selene_lib.nano.families import FAMILIES, NONE, EvidenceCheck
from selene_lib.nano.world import text_hash
from selene_lib.prompts.rendering import format_reply
from selene_lib.records import LABELS, Sample, Task

_POOLS = {
    "support": lex.ADJECTIVES,
    "facts": tuple(lex.CAPITALS.values()),
    "sums": tuple(str(n) for n in range(2, 19)),
    "clinic": lex.REMEDIES,
    "ledger": lex.AMOUNTS,
    "category": tuple(lex.CATEGORIES),
    "letter": lex.LETTERS,
    "tone": ("kind", "rude"),
}


def teacher_critique(sample: Sample, verdict: str, *, seed: int) -> str:
    """Return a full reply that argues for `verdict`.

    The same for the same sample, verdict and seed. Raises ValueError where the sample is not of the
    embedded world, or `verdict` is no label of its task.
    """
    if "checks" not in sample.meta:
        raise ValueError(
            f"sample {sample.id}: the rule-based teacher knows the embedded world only; "
            f"{sample.source} needs a model"
        )
    if verdict not in LABELS[sample.task]:
        raise ValueError(
            f"sample {sample.id}: {verdict!r} is not one of {', '.join(LABELS[sample.task])}"
        )
    rng = Random(f"teacher {seed} {sample.id} {verdict}")
    family = str(sample.meta["family"])
    wanted = argue(sample.task, family, checks_of(sample), verdict, rng)
    return format_reply(write_reasoning(sample.task, family, wanted), verdict)


def checks_of(sample: Sample) -> list[list[EvidenceCheck]]:
    """Return the checks of each response in the order in which the sample shows them.

    A swapped sample keeps its meta.
    """
    checks = [[EvidenceCheck(**check) for check in each] for each in sample.meta["checks"]]
    return checks if text_hash(sample.response) == sample.meta["first"] else checks[::-1]


def argue(
    task: Task, family: str, checks: Sequence[Sequence[EvidenceCheck]], verdict: str, rng: Random
) -> list[list[EvidenceCheck]]:
    """Return the checks with as few lines falsified as `verdict` needs.

    Untouched where they lead there anyway.
    """
    n_pass_now = [sum(check.ok for check in each) for each in checks]
    target = _targets(task, n_pass_now, len(checks[0]), verdict, rng)
    return [_reach(family, each, n_pass, rng) for each, n_pass in zip(checks, target, strict=True)]


def _targets(task: Task, n_pass: list[int], n: int, verdict: str, rng: Random) -> list[int]:
    """How many checks each response must seem to pass for `verdict`."""
    if task == "absolute":
        return [int(verdict) - 1]
    if task == "classification":
        return [n] if verdict == "Yes" else [min(n_pass[0], n - 1)]
    a, b = n_pass
    while (a <= b) if verdict == "A" else (b <= a):
        raise_a = rng.random() < 0.5
        if verdict == "A":
            a, b = (a + 1, b) if (raise_a and a < n) or b == 0 else (a, b - 1)
        else:
            a, b = (a - 1, b) if (raise_a and a > 0) or b == n else (a, b + 1)
    return [a, b]


def _reach(
    family: str, checks: Sequence[EvidenceCheck], n_pass: int, rng: Random
) -> list[EvidenceCheck]:
    wanted = list(checks)
    surplus = sum(c.ok for c in checks) - n_pass
    candidates = [i for i, c in enumerate(checks) if c.ok == (surplus > 0)]
    for i in rng.sample(candidates, abs(surplus)):
        wanted[i] = _falsify(family, wanted[i], rng)
    return wanted


def _falsify(family: str, check: EvidenceCheck, rng: Random) -> EvidenceCheck:
    """Turn the outcome of a check by misreporting what is due or what is said."""
    if family in ("coverage", "avoid"):
        found = rng.choice(lex.ADJECTIVES) if check.found == NONE else NONE
        return replace(check, found=found, ok=not check.ok)
    if family in ("category", "letter", "tone"):
        found = _wrong_value(family, check, rng) if check.ok else check.expected
        return replace(check, found=found, ok=not check.ok)
    side = rng.choice(("expected", "found"))
    if side == "expected":
        expected = _wrong_value(family, check, rng) if check.ok else check.found
        return replace(check, expected=expected, ok=not check.ok)
    found = _wrong_value(family, check, rng) if check.ok else check.expected
    return replace(check, found=found, ok=not check.ok)


def _wrong_value(family: str, check: EvidenceCheck, rng: Random) -> str:
    return rng.choice([value for value in _POOLS[family] if value != check.expected])


def write_reasoning(task: Task, family: str, checks: Sequence[Sequence[EvidenceCheck]]) -> str:
    """Write checks as the careful critique does.

    One line of evidence each, a running count, the conclusion.
    """
    opening = FAMILIES[family].opening
    if task == "classification":
        lines = ", ".join(_line(family, c) for c in checks[0])
        return f"{opening} {lines}. So {'Yes' if all(c.ok for c in checks[0]) else 'No'}"
    if task == "absolute":
        lines, count = _counted(family, checks[0], 1)
        return f"{opening} {lines}. So {count}"
    (lines_a, count_a), (lines_b, count_b) = (_counted(family, each, 0) for each in checks)
    return f"{opening} A: {lines_a}. B: {lines_b}. So A {count_a}, B {count_b}"


def _line(family: str, check: EvidenceCheck) -> str:
    return f"{FAMILIES[family].line(check)} {'yes' if check.ok else 'no'}"


def _counted(family: str, checks: Sequence[EvidenceCheck], start: int) -> tuple[str, int]:
    lines, count = [], start
    for check in checks:
        count += check.ok
        lines.append(f"{_line(family, check)} {count}")
    return ", ".join(lines), count
