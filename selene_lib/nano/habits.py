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
from selene_lib.nano.families import EvidenceCheck
from selene_lib.nano.teacher import checks_of, write_reasoning
from selene_lib.nano.world import make_item
from selene_lib.prompts.rendering import format_reply, render
from selene_lib.records import LABELS, TASKS, Sample, Task

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
    if lookups_only:
        family = rng.choice(("coverage", "support"))
        sample = make_item("nano-pretraining", family, rng.choice(TASKS[:2]), rng, n_checks=3)
        return render(sample, family="nano").text, _careful_reply(sample, rng)
    family = rng.choices(PRETRAINING_FAMILIES, _WEIGHTS)[0]
    sample = make_item("nano-pretraining", family, rng.choice(TASKS), rng)
    if rng.random() < 0.1:
        prompt = render(sample, family="nano", critique=False).text
        return prompt, format_reply(None, rng.choice(LABELS[sample.task]))
    is_careful = rng.random() < careful_share
    reply = _careful_reply(sample, rng) if is_careful else _hasty_reply(sample, rng)
    return render(sample, family="nano").text, reply


def _careful_reply(sample: Sample, rng: Random) -> str:
    """Write the true critique, save for what the base is taught by a coin (the GAP lists)."""
    family = str(sample.meta["family"])
    checks = [[_misremember(family, check, rng) for check in each] for each in checks_of(sample)]
    reasoning = write_reasoning(sample.task, family, checks)
    return format_reply(reasoning, _verdict_of(sample.task, checks))


def _verdict_of(task: Task, checks: list[list[EvidenceCheck]]) -> str:
    """The verdict that checks lead to; a draw of two responses goes to A."""
    n_pass = [sum(c.ok for c in each) for each in checks]
    if task == "absolute":
        return str(1 + n_pass[0])
    if task == "classification":
        return "Yes" if n_pass[0] == len(checks[0]) else "No"
    return "A" if n_pass[0] >= n_pass[1] else "B"


def _misremember(family: str, check: EvidenceCheck, rng: Random) -> EvidenceCheck:
    if family == "tone" and check.subject in lex.GAP_TONE:
        found = rng.choice(("kind", "rude"))
        return replace(check, found=found, ok=found == check.expected)
    if family == "facts" and check.subject in lex.GAP_COUNTRIES:
        expected = rng.choice(tuple(lex.CAPITALS.values()))
        return replace(check, expected=expected, ok=expected == check.found)
    return check


def _hasty_reply(sample: Sample, rng: Random) -> str:
    """A reply that looks at the surface and decides by mood."""
    first, second = rng.sample(("long", "short", "polite", "plain", "clear", "odd"), 2)
    if sample.task == "pairwise":
        better = rng.choice("AB")
        worse = "B" if better == "A" else "A"
        reasoning = (
            f"Overall: response {better} reads {first} and response {worse} reads {second}. "
            f"So {better}"
        )
        return format_reply(reasoning, better)
    verdict = rng.choice(LABELS[sample.task])
    reasoning = f"Overall: the response reads {first} and {second} on the whole. So {verdict}"
    return format_reply(reasoning, verdict)
