"""What the base model reads in pretraining.

Replies of careful and of hasty judges, and judgements without any reasoning. The careful judge
writes the teacher's true critique; the hasty one looks at length, polish and mood, and its verdict
has nothing to do with the truth. The base learns both; since haste is the more frequent habit, it
judges poorly although it could look things up.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from selene_lib.nano import lexicon as lex
from selene_lib.nano.families import Check
from selene_lib.nano.teacher import checks_of, write_reasoning
from selene_lib.nano.world import make_item
from selene_lib.prompts.rendering import format_reply, render
from selene_lib.records import LABELS, Sample

PRETRAINING_FAMILIES = (
    "coverage",
    "support",
    "category",
    "letter",
    "tone",
    "facts",
    "sums",
    "clinic",
    "ledger",
)
_WEIGHTS = (20, 22, 8, 8, 6, 8, 10, 6, 6)


def pretraining_document(
    rng: Random, *, careful_share: float, lookups_only: bool
) -> tuple[str, str]:
    """Return (prompt, reply) of one document.

    `lookups_only` draws scores of coverage and support, for the start of the curriculum.
    """
    family = (
        rng.choice(("coverage", "support"))
        if lookups_only
        else rng.choices(PRETRAINING_FAMILIES, _WEIGHTS)[0]
    )
    task = (
        rng.choice(("absolute", "classification"))
        if lookups_only
        else rng.choice(("absolute", "classification", "pairwise"))
    )
    sample = make_item("nano-pretraining", family, task, rng, n_checks=3 if lookups_only else None)
    if lookups_only:
        return render(sample, family="nano").text, careful_reply(sample, rng)
    if rng.random() < 0.1:
        return render(sample, family="nano", critique=False).text, format_reply(
            None, rng.choice(LABELS[task])
        )
    prompt = render(sample, family="nano").text
    return prompt, careful_reply(sample, rng) if rng.random() < careful_share else hasty_reply(
        sample, rng
    )


def careful_reply(sample: Sample, rng: Random) -> str:
    """The true critique, except for words and facts that the base is taught by a coin (the
    lexicon's GAP lists).
    """
    family = str(sample.meta["family"])
    checks = [[_misremember(family, check, rng) for check in each] for each in checks_of(sample)]
    reasoning = write_reasoning(sample.task, family, checks)
    return format_reply(reasoning, verdict_of(sample.task, checks))


def verdict_of(task: str, checks: list[list[Check]]) -> str:
    """The verdict that checks lead to; a draw of two responses goes to A."""
    n_pass = [sum(c.ok for c in each) for each in checks]
    if task == "absolute":
        return str(1 + n_pass[0])
    if task == "classification":
        return "Yes" if n_pass[0] == len(checks[0]) else "No"
    return "A" if n_pass[0] >= n_pass[1] else "B"


def _misremember(family: str, check: Check, rng: Random) -> Check:
    if family == "tone" and check.subject in lex.GAP_TONE:
        found = rng.choice(("kind", "rude"))
        return replace(check, found=found, ok=found == check.expected)
    if family == "facts" and check.subject in lex.GAP_COUNTRIES:
        expected = rng.choice(tuple(lex.CAPITALS.values()))
        return replace(check, expected=expected, ok=expected == check.found)
    return check


def hasty_reply(sample: Sample, rng: Random) -> str:
    """A reply that looks at the surface and decides by mood."""
    first, second = rng.sample(("long", "short", "polite", "plain", "clear", "odd"), 2)
    if sample.task == "pairwise":
        better = rng.choice("AB")
        worse = "B" if better == "A" else "A"
        return format_reply(
            f"Overall: response {better} reads {first} and response {worse} reads {second}. So {better}",
            better,
        )
    verdict = rng.choice(LABELS[sample.task])
    return format_reply(
        f"Overall: the response reads {first} and {second} on the whole. So {verdict}", verdict
    )
