"""Scores that cannot lie: conventions counted by hand, bounds under injected faults."""

from __future__ import annotations

import numpy as np
import pytest
from toy_judgements import honest_run, judged, row, sample, six_pairs

from selene_lib.evaluation.scoring import (
    headline,
    score_set,
)
from selene_lib.records import LABELS, Judgement, Sample, swap_verdict

CORRUPTIONS = (
    "",
    "I'm sorry, but I can't assist with that.",
    "**Result:** A or B",
    "**Result:** 4.5",
    "**Result:** Apple",
    "The winner is A.",
    "**Reasoning:** on and",
)


@pytest.fixture
def pairs() -> tuple[list[Sample], list[Judgement]]:
    return six_pairs()


def test_pairwise_conventions_by_hand(pairs):
    scores = score_set(*pairs, judge="j", set_name="toy")
    main = row(scores, "accuracy", "both orders, strict")
    assert (
        main.value == pytest.approx((3 + 3) / 12)
        and main.meta["headline"]
        and (main.n, main.n_unparsed) == (6, 1)
    )
    assert (main.bound_low, main.bound_high) == (pytest.approx(6 / 12), pytest.approx(7 / 12))
    assert main.meta["gold_tie_share"] == pytest.approx(
        1 / 6, abs=1e-6
    ) and main.baseline_random == pytest.approx(5 / 12)
    assert main.meta["statuses"] == {"malformed": 1}
    assert row(scores, "accuracy", "order AB, strict").value == pytest.approx(3 / 6)
    assert row(scores, "accuracy", "order BA, strict").value == pytest.approx(3 / 6)
    assert row(scores, "accuracy", "better of two orders").value == pytest.approx(3 / 6)
    assert row(scores, "accuracy", "right in both orders").value == pytest.approx(2 / 6)
    assert row(
        scores, "accuracy", "both orders, strict, gold ties left out"
    ).value == pytest.approx(6 / 10)
    assert row(scores, "consistency", "strict").value == pytest.approx(3 / 6)
    assert row(scores, "order_bias", "parsed only").value == pytest.approx(7 / 11 - 0.5)
    assert len(headline(scores)) == 1


def test_one_random_order_takes_the_order_of_the_items_hash(pairs):
    from selene_lib.judges.judging import random_order

    samples, judgements = pairs
    scores = score_set(samples, judgements, judge="j", set_name="toy", seed=3)
    right = {("s0", "AB"), ("s1", "AB"), ("s2", "AB"), ("s0", "BA"), ("s1", "BA"), ("s4", "BA")}
    expected = sum((s.id, random_order(s.id, 3)) in right for s in samples) / 6
    assert row(scores, "accuracy", "one random order, strict").value == pytest.approx(expected)
    only = [j for j in judgements if j.order == random_order(j.sample_id, 3)]
    (main,) = headline(score_set(samples, only, judge="j", set_name="toy", seed=3))
    assert main.convention == "one random order, strict" and main.value == pytest.approx(expected)
    (main,) = headline(score_set(samples, judgements[:6], judge="j", set_name="toy"))
    assert main.convention == "order AB, strict" and main.value == pytest.approx(0.5)


def test_classification_by_hand():
    golds, verdicts = ["Yes"] * 6 + ["No"] * 2, ["Yes"] * 4 + ["No", "dunno", "No", "??"]
    samples = [sample(i, "classification", gold) for i, gold in enumerate(golds)]
    scores = score_set(
        samples,
        [judged(s, f"**Result:** {v}") for s, v in zip(samples, verdicts)],
        judge="j",
        set_name="toy",
    )
    main = row(scores, "accuracy", "strict")
    assert (main.value, main.bound_low, main.bound_high, main.n_unparsed) == (
        5 / 8,
        5 / 8,
        7 / 8,
        2,
    )
    assert main.baseline_majority == 0.75 and main.baseline_random == 0.5
    assert row(scores, "accuracy", "parsed only").value == pytest.approx(5 / 6)
    assert row(scores, "accuracy", "half a point for unreadable").value == pytest.approx(6 / 8)
    balanced = row(scores, "balanced_accuracy", "strict")
    assert balanced.value == pytest.approx(
        (4 / 6 + 1 / 2) / 2
    ) and balanced.bound_high == pytest.approx((5 / 6 + 1) / 2)


def test_absolute_by_hand():
    golds = [1.0, 2.33, 3.0, 4.67, 5.0]
    samples = [sample(i, "absolute", str(round(g)), score=g) for i, g in enumerate(golds)]
    scores = score_set(
        samples,
        [judged(s, f"**Result:** {v}") for s, v in zip(samples, "1?355")],
        judge="j",
        set_name="toy",
    )
    strict, parsed = row(scores, "pearson", "strict"), row(scores, "pearson", "parsed only")
    assert (
        parsed.value == pytest.approx(np.corrcoef([1, 3, 5, 5], [1, 3, 4.67, 5])[0, 1])
        and parsed.n == 4
    )
    assert (
        strict.value == pytest.approx(np.corrcoef([1, 3.5, 3, 5, 5], golds)[0, 1]) and strict.n == 5
    )
    assert strict.bound_low < strict.value < strict.bound_high
    assert row(scores, "accuracy", "strict").value == pytest.approx(4 / 5)
    assert row(scores, "mean_absolute_error", "parsed only").value == pytest.approx(0.33 / 4)


def test_expected_score_uses_the_verdict_probabilities():
    samples = [sample(i, "absolute", label) for i, label in enumerate("1234")]
    probs = [{"1": 0.5, "2": 0.5}, {"2": 1.0}, {"2": 0.4, "3": 0.6}, {"4": 0.9, "5": 0.1}]
    full = [{label: p.get(label, 0.0) for label in LABELS["absolute"]} for p in probs]
    judgements = [
        judged(s, f"**Result:** {v}", verdict_probs=p) for s, v, p in zip(samples, "1234", full)
    ]
    found = row(
        score_set(samples, judgements, judge="j", set_name="toy"),
        "pearson_expected_score",
        "parsed only",
    )
    assert found.value == pytest.approx(np.corrcoef([1.5, 2, 2.6, 4.1], [1, 2, 3, 4])[0, 1])


def test_calibration_is_of_the_probability_given_to_the_verdict():
    samples = [sample(0, "pairwise", "A"), sample(1, "pairwise", "B")]
    judgements = [
        judged(s, "**Result:** A", order, verdict_probs={"A": 0.75, "B": 0.25})
        for s in samples
        for order in ("AB", "BA")
    ]
    found = row(
        score_set(samples, judgements, judge="j", set_name="toy"),
        "expected_calibration_error",
        "parsed only",
    )
    assert found.value == pytest.approx(0.25) and found.n == 4


def test_a_judge_that_may_not_say_tie_cannot_pass_the_ceiling():
    labels = ["A"] * 520 + ["B"] * 499 + ["tie"] * 373
    samples = [sample(i, "pairwise", label) for i, label in enumerate(labels)]
    replies = [
        (s, s.label if s.label != "tie" else "A", order) for s in samples for order in ("AB", "BA")
    ]
    judgements = [
        judged(s, f"**Result:** {v if order == 'AB' else swap_verdict(v)}", order)
        for s, v, order in replies
    ]
    (main,) = headline(score_set(samples, judgements, judge="j", set_name="toy", n_resamples=200))
    assert (
        main.value
        == pytest.approx(main.meta["ceiling"], abs=1e-6)
        == pytest.approx(0.732, abs=5e-4)
    )
    assert main.bound_high == pytest.approx(0.732, abs=5e-4)


def test_all_right_has_an_interval_with_width():
    samples = [sample(i, "classification", "Yes") for i in range(20)]
    (main,) = headline(
        score_set(
            samples, [judged(s, "**Result:** Yes") for s in samples], judge="j", set_name="toy"
        )
    )
    assert main.value == main.ci95_high == 1.0 and main.ci95_low == pytest.approx(0.839, abs=1e-3)


def test_an_unjudged_sample_is_an_error_not_a_gap(pairs):
    samples, judgements = pairs
    with pytest.raises(ValueError, match="no judgement of sample s9"):
        score_set([*samples, sample(9, "pairwise", "A")], judgements, judge="j", set_name="toy")


@pytest.mark.parametrize("task", ["absolute", "classification", "pairwise"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.1, 0.2])
def test_the_true_value_lies_within_the_bounds_whatever_is_corrupted(task, share):
    claims = []
    for trial in range(12):
        rng = np.random.default_rng([trial, int(share * 100)])
        samples, judgements = honest_run(task, 60, rng.uniform(0.3, 0.95), rng)
        (truth,) = headline(
            score_set(samples, judgements, judge="j", set_name="toy", n_resamples=20)
        )
        broken = [
            judged(s_of(samples, j), str(rng.choice(CORRUPTIONS)), j.order)
            if rng.random() < share
            else j
            for j in judgements
        ]
        scores = score_set(samples, broken, judge="j", set_name="toy", n_resamples=20)
        (found,) = headline(scores)
        assert found.bound_low - 1e-9 <= truth.value <= found.bound_high + 1e-9
        assert found.n_unparsed == sum(j.status != "value" for j in broken)
        if task == "classification":
            claims.append(
                row(scores, "accuracy", "half a point for unreadable").value - found.value
            )
            assert claims[-1] == pytest.approx(found.n_unparsed / 2 / 60)
    assert not claims or (max(claims) > 0) == (share > 0)


def s_of(samples: list[Sample], judgement: Judgement) -> Sample:
    return samples[int(judgement.sample_id[1:])]
