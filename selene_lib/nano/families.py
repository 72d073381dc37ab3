"""Families of evidence: how an item of the embedded world is asked, answered and checked.

The truth is known by construction. A task holds a few checks. Each check is one line of evidence
that a careful judge can verify from the prompt (coverage, support, ledger, clinic, category,
letter, avoid) or from knowledge (tone, facts, sums). What passes is decided first, the text is
written to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from selene_lib.nano import lexicon as lex

NONE = "none"


@dataclass(frozen=True)
class EvidenceCheck:
    """One line of evidence.

    What it is about, what was due, what the response says, and whether that passes.
    """

    subject: str
    expected: str
    found: str
    ok: bool


@dataclass(frozen=True)
class Frame:
    """What both responses of a task share.

    Instruction, reference (None for most), and the due value of each subject.
    """

    instruction: str
    reference: str | None
    subjects: tuple[str, ...]
    expected: tuple[str, ...]


MakeFrame = Callable[[Random, int], Frame]
Respond = Callable[[Frame, Sequence[bool], Random], tuple[list[str], list[EvidenceCheck]]]


@dataclass(frozen=True)
class Family:
    """A family of evidence.

    `frame(rng, n)` makes the task of n checks; `respond(frame, passes, rng)` the response's parts
    and checks.
    """

    name: str
    rubric: str
    opening: str
    frame: MakeFrame
    respond: Respond
    line: Callable[[EvidenceCheck], str]


def _other(rng: Random, pool: Sequence[str], *banned: str) -> str:
    return rng.choice([word for word in pool if word not in banned])


def _frame_coverage(rng: Random, n: int) -> Frame:
    items = tuple(rng.sample(lex.ITEMS, n))
    return Frame(f"Describe {', '.join(items)}.", None, items, ("",) * n)


def _respond_coverage(
    frame: Frame, passes: Sequence[bool], rng: Random
) -> tuple[list[str], list[EvidenceCheck]]:
    strangers = rng.sample([word for word in lex.ITEMS if word not in frame.subjects], len(passes))
    parts, checks = [], []
    for item, ok, stranger in zip(frame.subjects, passes, strangers, strict=True):
        found = rng.choice(lex.ADJECTIVES)
        parts.append(f"{item if ok else stranger} {found}")
        checks.append(EvidenceCheck(item, "", found if ok else NONE, ok))
    return parts, checks


def _frame_avoid(rng: Random, n: int) -> Frame:
    items = tuple(rng.sample(lex.ITEMS, n))
    return Frame(f"Avoid {', '.join(items)}.", None, items, ("",) * n)


def _respond_avoid(
    frame: Frame, passes: Sequence[bool], rng: Random
) -> tuple[list[str], list[EvidenceCheck]]:
    parts, checks = _respond_coverage(frame, [not ok for ok in passes], rng)
    return parts, [EvidenceCheck(c.subject, "", c.found, not c.ok) for c in checks]


def _table(verb: str, subjects: Sequence[str], values: Sequence[str], n_spare: int) -> MakeFrame:
    def frame(rng: Random, n: int) -> Frame:
        names = rng.sample(subjects, n + n_spare)
        told = {name: rng.choice(values) for name in names}
        lines = [f"{value} {name}" for name, value in told.items()]
        rng.shuffle(lines)
        chosen = tuple(names[:n])
        due = tuple(told[name] for name in chosen)
        return Frame(f"{verb} {', '.join(chosen)}.", f"{', '.join(lines)}.", chosen, due)

    return frame


def _respond_table(values: Sequence[str]) -> Respond:
    def respond(
        frame: Frame, passes: Sequence[bool], rng: Random
    ) -> tuple[list[str], list[EvidenceCheck]]:
        checks = []
        for subject, expected, ok in zip(frame.subjects, frame.expected, passes, strict=True):
            found = expected if ok else _other(rng, values, expected)
            checks.append(EvidenceCheck(subject, expected, found, ok))
        return [f"{check.subject} {check.found}" for check in checks], checks

    return respond


def _frame_category(rng: Random, n: int) -> Frame:
    category = rng.choice(list(lex.CATEGORIES))
    return Frame(f"Name only {category}.", None, (), (category,) * n)


def _frame_letter(rng: Random, n: int) -> Frame:
    letter = rng.choice(lex.LETTERS)
    return Frame(f"Use only letter {letter}.", None, (), (letter,) * n)


def _frame_tone(rng: Random, n: int) -> Frame:
    return Frame("Write kind words.", None, (), ("kind",) * n)


def _respond_words(value_of: Callable[[str], str], pool: Sequence[str]) -> Respond:
    def respond(
        frame: Frame, passes: Sequence[bool], rng: Random
    ) -> tuple[list[str], list[EvidenceCheck]]:
        due = frame.expected[0]
        fitting = [word for word in pool if value_of(word) == due]
        others = [word for word in pool if value_of(word) != due]
        good = rng.sample(fitting, sum(passes))
        bad = rng.sample(others, len(passes) - sum(passes))
        words = [good.pop() if ok else bad.pop() for ok in passes]
        checks = [EvidenceCheck(word, due, value_of(word), ok) for word, ok in zip(words, passes)]
        return words, checks

    return respond


def _frame_facts(rng: Random, n: int) -> Frame:
    countries = tuple(rng.sample(list(lex.CAPITALS), n))
    capitals = tuple(lex.CAPITALS[country] for country in countries)
    return Frame(f"Name the capital of {', '.join(countries)}.", None, countries, capitals)


def _frame_sums(rng: Random, n: int) -> Frame:
    terms = rng.sample([(a, b) for a in range(1, 10) for b in range(1, 10)], n)
    asked = ", ".join(f"{a} + {b}" for a, b in terms)
    subjects = tuple(f"{a} + {b} =" for a, b in terms)
    return Frame(f"Add {asked}.", None, subjects, tuple(str(a + b) for a, b in terms))


def _compare(check: EvidenceCheck) -> str:
    return f"{check.subject} {check.found} is {check.expected}"


def _name_and_value(check: EvidenceCheck) -> str:
    return f"{check.subject} {check.found}"


_SUMS = tuple(str(number) for number in range(2, 19))
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "coverage",
            "each item described",
            "Items:",
            _frame_coverage,
            _respond_coverage,
            _name_and_value,
        ),
        Family(
            "support",
            "each claim supported",
            "Source:",
            _table("Report", lex.ITEMS, lex.ADJECTIVES, 1),
            _respond_table(lex.ADJECTIVES),
            _compare,
        ),
        Family(
            "category",
            "each word fits",
            "Kinds:",
            _frame_category,
            _respond_words(lex.CATEGORY_OF.__getitem__, lex.ITEMS),
            _name_and_value,
        ),
        Family(
            "letter",
            "each letter fits",
            "Letters:",
            _frame_letter,
            _respond_words(lambda word: word[0], lex.ITEMS),
            _name_and_value,
        ),
        Family(
            "tone",
            "each word kind",
            "Words:",
            _frame_tone,
            _respond_words(lex.TONE_OF.__getitem__, lex.KIND_WORDS + lex.RUDE_WORDS),
            _name_and_value,
        ),
        Family(
            "facts",
            "each claim true",
            "Facts:",
            _frame_facts,
            _respond_table(tuple(lex.CAPITALS.values())),
            _compare,
        ),
        Family("sums", "each sum right", "Sums:", _frame_sums, _respond_table(_SUMS), _compare),
        Family(
            "avoid", "each item avoided", "Items:", _frame_avoid, _respond_avoid, _name_and_value
        ),
        Family(
            "clinic",
            "each claim supported",
            "Source:",
            _table("Advise on", lex.COMPLAINTS, lex.REMEDIES, 1),
            _respond_table(lex.REMEDIES),
            _compare,
        ),
        Family(
            "ledger",
            "each claim supported",
            "Source:",
            _table("Audit", lex.ACCOUNTS, lex.AMOUNTS, 1),
            _respond_table(lex.AMOUNTS),
            _compare,
        ),
    )
}
TRAINING_FAMILIES = ("coverage", "support", "category", "letter", "tone", "facts", "sums")
