"""The generated world.

Labels recomputed from the text alone, balance, stable ids, swaps, and a wall between training and
evaluation.
"""

import re
from collections import Counter

import pytest

from selene_lib import nano
from selene_lib.errors import UserError
from selene_lib.nano import lexicon as lex
from selene_lib.nano.world import text_hash
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, TASKS, Sample, unit_hash

CLEAN = [name for name in nano.NANO_SOURCES if name != "nano-poisoned"]


def bare(text: str) -> str:
    """A response without filler and flattery."""
    for phrase in (*lex.FILLERS, *lex.FLATTERIES):
        text = text.replace(phrase, "")
    return text.strip().rstrip(".")


def outcomes(sample: Sample, response: str) -> list[bool]:
    """Which checks a response passes, read from the texts with rules written for this test."""
    verb, *_ = sample.instruction.split()
    parts = [part.strip() for part in bare(response).split(",")]
    if verb in ("Describe", "Avoid"):
        wanted = re.sub(r"^\w+ ", "", sample.instruction.rstrip(".")).split(", ")
        named = {part.split()[0] for part in parts}
        return [(item in named) == (verb == "Describe") for item in wanted]
    if verb in ("Report", "Advise", "Audit"):
        facts = {
            line.strip().split()[1]: line.split()[0]
            for line in sample.reference.rstrip(".").split(",")
        }
        return [facts[part.split()[0]] == part.split()[1] for part in parts]
    if verb == "Add":
        return [
            int(a) + int(b) == int(c)
            for a, b, c in (re.fullmatch(r"(\d) \+ (\d) = (\d+)", part).groups() for part in parts)
        ]
    if sample.instruction.startswith("Name the capital"):
        return [lex.CAPITALS[part.split()[0]] == part.split()[1] for part in parts]
    if verb == "Name":
        return [
            part in lex.CATEGORIES[sample.instruction.rstrip(".").split()[-1]] for part in parts
        ]
    if verb == "Use":
        return [part[0] == sample.instruction.rstrip(".")[-1] for part in parts]
    return [part in lex.KIND_WORDS for part in parts]


def gold(sample: Sample) -> str:
    first = outcomes(sample, sample.response)
    if sample.task == "absolute":
        return str(1 + sum(first))
    if sample.task == "classification":
        return "Yes" if all(first) else "No"
    return "A" if sum(first) > sum(outcomes(sample, sample.response_b)) else "B"


def everything(n: int = 90) -> list[Sample]:
    held_out = [s for name in nano.NANO_SETS for s in nano.make_set(name, n, seed=3)]
    return held_out + [s for name in nano.NANO_DOMAINS for s in nano.make_domain(name, n, seed=3)]


@pytest.mark.parametrize(
    ("task", "instruction", "reference", "a", "b", "label"),
    [
        (
            "absolute",
            "Describe tea, saw, moss, hat.",
            None,
            "In short, moss red, corn dry, tea hot, lily wet.",
            None,
            "3",
        ),
        (
            "classification",
            "Report tea, saw.",
            "hot tea, red saw, old hat.",
            "saw red, tea cold.",
            None,
            "No",
        ),
        ("classification", "Name only food.", None, "tea, plum.", None, "Yes"),
        ("pairwise", "Use only letter b.", None, "bear, tea.", "belt, boot.", "B"),
        (
            "pairwise",
            "Add 2 + 3, 9 + 9.",
            None,
            "2 + 3 = 5, 9 + 9 = 17.",
            "2 + 3 = 6, 9 + 9 = 17.",
            "A",
        ),
    ],
)
def test_the_rules_of_this_test_on_items_written_by_hand(task, instruction, reference, a, b, label):
    assert gold(Sample("x", "x", task, instruction, a, b, reference=reference)) == label


@pytest.mark.parametrize("name", CLEAN)
def test_source_labels_follow_from_the_text(name):
    for sample in nano.make_source(name, 120, seed=5):
        assert gold(sample) == sample.label, sample


def test_set_and_domain_labels_follow_from_the_text():
    for sample in everything():
        assert gold(sample) == sample.label, sample


def test_poisoned_labels_are_all_wrong():
    for sample in nano.make_source("nano-poisoned", 120, seed=5):
        assert sample.label != gold(sample) == sample.meta["true_label"]


@pytest.mark.parametrize("name", [*nano.NANO_SETS, *nano.NANO_DOMAINS])
def test_labels_are_balanced(name):
    make = nano.make_set if name in nano.NANO_SETS else nano.make_domain
    samples = make(name, 420, seed=1)
    for task in {s.task for s in samples}:
        counts = Counter(s.label for s in samples if s.task == task)
        assert set(counts) == set(LABELS[task])
        assert max(counts.values()) / sum(counts.values()) < 1 / len(LABELS[task]) + 0.02, (
            task,
            counts,
        )


def test_longer_response_and_first_response_say_nothing_about_the_winner():
    pairs = nano.make_set("nano-pairwise", 1000, seed=2)
    unequal = [s for s in pairs if len(s.response.split()) != len(s.response_b.split())]
    longer_wins = sum(
        (len(s.response.split()) > len(s.response_b.split())) == (s.label == "A") for s in unequal
    )
    assert len(unequal) > 300
    assert abs(longer_wins / len(unequal) - 0.5) < 3 * 0.5 / len(unequal) ** 0.5
    assert 490 <= sum(s.label == "A" for s in pairs) <= 510


def test_ids_are_stable_unique_and_prefixes_agree():
    samples = nano.make_source("nano-support", 60, seed=0)
    assert [s.id for s in samples[:20]] == [
        s.id for s in nano.make_source("nano-support", 20, seed=0)
    ]
    assert len({s.id for s in samples}) == 60
    assert samples[0].id == "nano-support-5c1b8b9d93b138eb"
    assert {s.id for s in samples}.isdisjoint(
        s.id for s in nano.make_source("nano-support", 60, seed=1)
    )


@pytest.mark.slow
def test_evaluation_shares_neither_core_nor_text_with_training():
    train = [
        s
        for name in nano.NANO_SOURCES
        for seed in (0, 1)
        for s in nano.make_source(name, 300, seed=seed)
    ]
    held_out = everything(300)
    assert {s.meta["core"] for s in train}.isdisjoint(s.meta["core"] for s in held_out)
    texts = {
        (s.instruction, s.reference, bare(s.response), bare(s.response_b or "")) for s in train
    }
    assert texts.isdisjoint(
        (s.instruction, s.reference, bare(s.response), bare(s.response_b or "")) for s in held_out
    )


def test_swap_turns_label_and_critique_round():
    for sample in nano.make_set("nano-pairwise", 40, seed=0):
        swapped = sample.swap()
        assert text_hash(swapped.response) != text_hash(sample.response)
        assert gold(swapped) == swapped.label != sample.label
        lines = re.search(
            r"A: (.*)\. B: (.*)\. So", nano.teacher_critique(sample, sample.label, seed=0)
        ).groups()
        assert (
            re.search(
                r"A: (.*)\. B: (.*)\. So", nano.teacher_critique(swapped, swapped.label, seed=0)
            ).groups()
            == lines[::-1]
        )


def test_teacher_says_what_it_was_asked_and_lies_only_where_asked():
    for sample in everything(60):
        true = nano.teacher_critique(sample, sample.label, seed=0)
        for label in LABELS[sample.task]:
            reply = nano.teacher_critique(sample, label, seed=0)
            verdict = parse_verdict(reply, sample.task)
            assert (verdict.status, verdict.value) == ("value", label)
            assert (reply == true) == (label == sample.label)
            assert reply.split("\n\n")[0].endswith(f"So {label}") or sample.task == "pairwise"


def test_teacher_counts_what_it_lists():
    for sample in nano.make_set("nano-absolute", 60, seed=0):
        for label in LABELS["absolute"]:
            reply = nano.teacher_critique(sample, label, seed=1)
            assert 1 + len(re.findall(r"\byes\b", reply)) == int(label)


def test_true_critique_of_a_support_item_written_out():
    checks = [
        [
            {"subject": "tea", "expected": "hot", "found": "cold", "ok": False},
            {"subject": "saw", "expected": "red", "found": "red", "ok": True},
        ]
    ]
    sample = Sample(
        "x",
        "x",
        "classification",
        "Report tea, saw.",
        "r",
        label="No",
        meta={"family": "support", "first": text_hash("r"), "checks": checks},
    )
    assert (
        nano.teacher_critique(sample, "No", seed=0)
        == "**Reasoning:** Source: tea cold is hot no, saw red is red yes. So No\n\n**Result:** No"
    )
    end = ", saw red is red yes. So Yes\n\n**Result:** Yes"
    assert nano.teacher_critique(sample, "Yes", seed=0) in (
        f"**Reasoning:** Source: tea hot is hot yes{end}",
        f"**Reasoning:** Source: tea cold is cold yes{end}",
    )


def test_unknown_names_and_foreign_samples_are_refused():
    with pytest.raises(UserError, match="nano-coverage"):
        nano.make_source("coverage", 3, seed=0)
    with pytest.raises(UserError, match="nano-absolute"):
        nano.make_set("absolute", 3, seed=0)
    with pytest.raises(UserError, match="nano-clinic"):
        nano.make_domain("clinic", 3, seed=0)
    with pytest.raises(ValueError, match="embedded world only"):
        nano.teacher_critique(Sample("x", "hub", "absolute", "i", "r"), "3", seed=0)
    with pytest.raises(ValueError, match="not one of"):
        nano.teacher_critique(nano.make_set("nano-absolute", 1, seed=0)[0], "Yes", seed=0)


def test_every_source_holds_all_tasks_and_every_set_says_whether_it_is_out_of_distribution():
    for name in nano.NANO_SOURCES:
        assert {s.task for s in nano.make_source(name, 30, seed=0)} == set(TASKS)
    assert {s.source: s.meta["ood"] for s in everything(6)} == {
        **dict.fromkeys(nano.NANO_SETS, False),
        **dict.fromkeys(("nano-long", "nano-avoid", "nano-biased", *nano.NANO_DOMAINS), True),
    }
    assert 0 <= unit_hash(0, "x") < 1
