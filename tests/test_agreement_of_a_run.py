"""Notebook 05's section on agreement: verdicts of a run beside the labels."""

from __future__ import annotations

from toy_judgements import judged, sample

from selene_lib.steps.agreement import COLUMNS, agreement_table, verdicts_of_set

YES, NO = "**Result:** Yes", "**Result:** No"


def test_accuracy_and_kappa_of_base_and_main_arm_by_hand():
    samples = [sample(i, "classification", "Yes" if i < 4 else "No") for i in range(8)]
    replies = [YES, YES, YES, NO, NO, NO, YES, "no verdict at all"]
    judgements = [
        judged(s, reply, judge=judge, set_name="mine")
        for judge, said in (("base", [YES] * 8), ("dpo_nll-seed0", replies))
        for s, reply in zip(samples, said)
    ]
    table = agreement_table({"mine": samples, "empty": []}, judgements, n_resamples=200)
    assert tuple(table.columns) == COLUMNS
    value = table.set_index(["judge", "measure"])["value"].round(4).to_dict()
    assert value == {
        ("base", "accuracy"): 0.5,
        ("base", "balanced_accuracy"): 0.5,
        ("base", "kappa"): 0.0,
        ("dpo_nll-seed0", "accuracy"): 0.625,  # 5 of 8: the unread one is wrong
        ("dpo_nll-seed0", "balanced_accuracy"): 0.625,
        ("dpo_nll-seed0", "kappa"): round((0.625 - 28 / 64) / (1 - 28 / 64), 4),
    }
    assert set(table["n"]) == {8}


def test_a_pair_counts_once_and_orders_that_differ_are_a_tie():
    samples = [sample(i, "pairwise", "A") for i in range(3)]
    a, b = "**Result:** A", "**Result:** B"
    said = [(a, b), (a, a), (b, a)]  # under BA the letters change places: right, torn, wrong
    judgements = [
        judged(s, reply, order=order, judge=judge, set_name="mine")
        for judge in ("base", "nll-seed0")
        for s, replies in zip(samples, said)
        for order, reply in zip(("AB", "BA"), replies)
    ]
    verdicts = verdicts_of_set(samples, judgements, "base", "mine")
    assert list(verdicts.verdict) == ["A", "tie", "B"]
    table = agreement_table({"mine": samples}, judgements, n_resamples=50)
    assert list(table[table["measure"] == "accuracy"]["value"]) == [1 / 3, 1 / 3]
    assert verdicts_of_set(samples, judgements, "base", "other") is None


def test_a_set_of_several_tasks_has_a_row_a_task():
    samples = [sample(i, "classification", ("Yes", "No")[i % 2]) for i in range(4)]
    samples += [sample(i, "pairwise", ("A", "B")[i % 2]) for i in range(4, 8)]
    said = {"classification": YES, "pairwise": "**Result:** A"}
    judgements = [
        judged(s, said[s.task], judge=judge, set_name="mixed")
        for judge in ("base", "nll-seed0")
        for s in samples
    ]
    table = agreement_table({"mixed": samples}, judgements, n_resamples=50)
    assert set(table["set"]) == {"mixed (classification)", "mixed (pairwise)"}
    assert set(table["n"]) == {4}
