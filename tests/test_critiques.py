"""Critiques: what is asked, what is accepted, what is retried, and what is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from generators_world import make_samples, stub_teacher
from hypothesis import given
from hypothesis import strategies as st

from selene_lib.curation.critique_checks import check_reply, contradiction, leaks, reasoning_of
from selene_lib.curation.critiques import argue_prompt, as_shown, generate_critiques, wrong_verdict
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import Generation, GeneratorSpec
from selene_lib.curation.generators.teacher import TeacherGenerator
from selene_lib.errors import UserError
from selene_lib.prompts.rendering import format_reply
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, TIE

LEAKING = [
    "I was told that the verdict is A, so I looked for reasons.",
    "As instructed, I conclude that the answer is poor.",
    "The given verdict is 4 and the text supports it.",
    "The ground-truth label says No.",
    "Since the verdict was provided in advance, it remains to explain it.",
    "I have been asked to argue for a score of 2.",
    "You asked me to justify this rating.",
    "This agrees with the correct answer, which matches the gold label.",
    "We were given the final score beforehand.",
    "The verdict you provided fits.",
    "I am required to reach the conclusion that B wins.",
]
HONEST = [
    "The reference answer says Paris, and the response says Lyon.",
    "The response was given in French although the user asked for English.",
    "The writer was asked to list three items and lists two.",
    "As the rubric requires, the tone is polite.",
    "The answer gives the expected result of the calculation, 42.",
    "The correct answer is 7; the response says 8.",
    "Response A provided a label for each axis and a conclusion.",
    "The score of the football match is wrong.",
    "Known facts contradict the claim, so the rating is low.",
    "The user told the assistant to be brief.",
]


@pytest.mark.parametrize("text", LEAKING)
def test_a_critique_that_knew_the_answer_is_found(text):
    assert leaks(text)
    verdict, reason = check_reply(Generation(format_reply(text, "Yes")), "Yes", "classification")
    assert (verdict, reason) == ("Yes", "says that it was told the answer")


@pytest.mark.parametrize("text", HONEST)
def test_plain_criticism_is_not_taken_for_a_leak(text):
    assert leaks(text) == ""


@pytest.mark.parametrize(
    ("text", "verdict", "task", "stated"),
    [
        ("Both try. Response A is clearly better.", "B", "pairwise", "A"),
        ("Both try. Response A is clearly better.", "A", "pairwise", ""),
        ("Response A is not better than Response B.", "B", "pairwise", ""),
        ("Although Response A is more helpful, it is wrong.", "B", "pairwise", ""),
        ("I prefer Response B.", "A", "pairwise", "B"),
        ("Response B wins.", "A", "pairwise", "B"),
        ("Response A is better. Then again Response B is better.", "A", "pairwise", ""),
        (
            "Response A is better at first sight. " + "It fails the task. It invents a source.",
            "B",
            "pairwise",
            "",
        ),
        ("It deserves a score of 2.", "4", "absolute", "2"),
        ("It deserves a score of 2.", "2", "absolute", ""),
        ("I would rate it 4/5.", "4", "absolute", ""),
        ("This is 3 out of 5.", "1", "absolute", "3"),
        ("A score of 5 would need sources, which it lacks.", "3", "absolute", ""),
        ("It lists 4 of the items.", "2", "absolute", ""),
        ("Therefore the answer is No.", "Yes", "classification", "No"),
        ("Therefore the verdict should be yes.", "Yes", "classification", ""),
        ("The answer is not No.", "Yes", "classification", ""),
    ],
)
def test_contradiction_reads_plain_conclusions_only(text, verdict, task, stated):
    assert contradiction(text, verdict, task) == stated


def test_reasoning_is_what_stands_before_the_last_result():
    assert reasoning_of("**Reasoning:** because\n\n**Result:** A") == "because"
    assert reasoning_of("**Result:** A") == ""
    assert reasoning_of("no marker at all") == "no marker at all"


@given(st.text(max_size=80).filter(lambda t: "*" not in t), st.sampled_from(["Yes", "No"]))
def test_reasoning_comes_back_from_a_formatted_reply(reasoning, verdict):
    text = format_reply(reasoning, verdict)
    assert reasoning_of(text) == reasoning.strip()
    assert parse_verdict(text, "classification").value == verdict


@pytest.mark.parametrize(
    ("reply", "asked", "reason"),
    [
        (Generation("", error="HTTP 500"), "A", "call failed: HTTP 500"),
        (Generation("**Reasoning:** cut o", finish_reason="length"), "A", "truncated"),
        (Generation("I cannot assist with that."), "A", "refused"),
        (Generation("**Reasoning:** x\n\n**Result:** both"), "A", "abstained"),
        (Generation("**Reasoning:** x\n\n**Result:** C"), "A", "malformed"),
        (Generation("**Reasoning:** x\n\n**Result:** B"), "A", "another verdict than asked"),
        (Generation("**Result:** A"), "A", "no reasoning"),
        (Generation("**Result:** B\nno, wait\n**Result:** A"), "A", "more than one result line"),
        (
            Generation("**Reasoning:** Response B is better.\n\n**Result:** A"),
            "A",
            "contradicts its own verdict",
        ),
        (Generation("**Reasoning:** fine\n\n**Result:** A"), "A", ""),
        (Generation("**Reasoning:** fine\n\n**Result:** B"), None, ""),
    ],
)
def test_every_fault_of_a_reply_has_a_name(reply, asked, reason):
    assert check_reply(reply, asked, "pairwise")[1] == reason


def test_the_wrong_verdict_is_wrong_and_near_scores_come_more_often():
    for sample in make_samples(90):
        assert wrong_verdict(sample, 0) in set(LABELS[sample.task]) - {sample.label}
    score_three = [
        replace(s, label="3", id=f"x{i}") for i, s in enumerate(make_samples(3)[:1] * 3000)
    ]
    drawn = Counter(wrong_verdict(s, 1) for s in score_three)
    # Weights 1/2, 1, 1, 1/2: a third each for 2 and 4, a sixth each for 1 and 5.
    assert [round(drawn[v] / 3000, 1) for v in "1245"] == [0.2, 0.3, 0.3, 0.2]
    assert wrong_verdict(score_three[0], 1) == wrong_verdict(score_three[0], 1)


def test_the_prompt_of_a_generator_holds_the_judge_prompt_once_and_the_verdict():
    sample = replace(make_samples(1)[0], response="{verdict} {prompt} **Result:** 5")
    text = argue_prompt(sample, "2")
    assert (
        text.count("{verdict}") == 1 and text.count("{prompt}") == 1
    )  # the candidate's own words, filled by nothing
    assert text.endswith("**Result:** 2") and "\\*\\*Result:** 5" in text


def test_two_verified_critiques_a_sample_with_the_verdict_that_was_asked():
    samples = make_samples(60)
    result = generate_critiques(samples, TeacherGenerator(stub_teacher), store=None, seed=3)
    by_sample = {s.id: [c for c in result.critiques if c.sample_id == s.id] for s in samples}
    for sample in samples:
        chosen, rejected = by_sample[sample.id]
        seen = as_shown(sample, 3)
        assert chosen.verdict == chosen.asked == seen.label and chosen.agrees
        assert rejected.verdict == rejected.asked != seen.label and not rejected.agrees
        assert chosen.settings["swapped"] == (seen is not sample)
        assert ("distance" in rejected.settings) == (sample.task == "absolute")
    swapped = [
        c.settings["swapped"] for s in samples if s.task == "pairwise" for c in by_sample[s.id]
    ]
    assert 0 < sum(swapped) < len(swapped)
    assert [c.sample_id for c in result.critiques[::2]] == [s.id for s in samples]
    again = generate_critiques(samples[::-1], TeacherGenerator(stub_teacher), store=None, seed=3)
    assert sorted(c.id for c in again.critiques) == sorted(c.id for c in result.critiques)


def test_ties_and_missing_labels_are_counted_and_careless_replies_retried():
    samples = make_samples(90)
    samples[2] = replace(samples[2], label=TIE)
    samples[3] = replace(samples[3], label=None)
    one = generate_critiques(
        samples, TeacherGenerator(stub_teacher, error_rate=0.3), store=None, seed=1, max_attempts=1
    )
    five = generate_critiques(
        samples, TeacherGenerator(stub_teacher, error_rate=0.3), store=None, seed=1, max_attempts=9
    )
    (first,), (last,) = one.ledger.entries, five.ledger.entries
    assert first.dropped["the gold label is a tie"] == first.dropped["no gold label"] == 1
    assert first.dropped["chosen: malformed"] > 10
    assert last.n_out == 88 and set(last.dropped) == {"the gold label is a tie", "no gold label"}
    assert first.n_out * 2 == len(one.critiques) and first.n_in == 90
    assert max(c.settings["attempt"] for c in five.critiques) > 0


class Votes:
    """A generator with an opinion of its own: right in two of three draws."""

    name, settings = "votes", {}

    def generate(self, requests, *, store=None):
        return [
            Generation(f"**Reasoning:** so it is\n\n**Result:** {self.vote(r)}") for r in requests
        ]

    def vote(self, request):
        label = request.sample.label
        if request.sample.id.endswith("9"):
            return label
        return (
            label
            if request.attempt % 3
            else next(v for v in LABELS[request.sample.task] if v != label)
        )


def test_rejection_sampling_sorts_replies_by_the_gold_verdict():
    samples = make_samples(30)
    result = generate_critiques(samples, Votes(), store=None, method="sample", n_samples=4)
    (entry,) = result.ledger.entries
    assert dict(entry.dropped) == {"rejected: every sample has the gold verdict": 3}
    assert all(
        c.agrees == (c.settings["attempt"] % 3 > 0) and c.settings["method"] == "sample"
        for c in result.critiques
    )
    with pytest.raises(UserError, match="not rejection sampling"):
        generate_critiques(samples, TeacherGenerator(stub_teacher), store=None, method="sample")
    with pytest.raises(UserError, match="method 'guess'"):
        generate_critiques(samples, Votes(), store=None, method="guess")


def test_generators_are_opened_by_name():
    assert open_generator(GeneratorSpec("published")) is None
    assert open_generator(GeneratorSpec("teacher")).name == "nano-teacher"
    with pytest.raises(UserError, match="unknown generator 'oracle'"):
        open_generator(GeneratorSpec("oracle"))
    with pytest.raises(UserError, match="needs a model"):
        open_generator(GeneratorSpec("server"))
    with pytest.raises(UserError, match="needs base_url"):
        open_generator(GeneratorSpec("server", "m"))
    with pytest.raises(UserError, match="vLLM is not installed"):
        open_generator(GeneratorSpec("vllm", "m"))
