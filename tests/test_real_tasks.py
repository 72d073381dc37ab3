"""Real Yes/No tasks: parts that share no group, labels as the publishers gave them, and what a
judge of them is measured by.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from selene_lib.data.collection import cut_texts
from selene_lib.data.loading import load
from selene_lib.data.real_tasks import TEST_PARTS, TRAINING_PARTS, TRANSFER_SETS
from selene_lib.data.real_tasks.parts import part_of
from selene_lib.errors import UserError
from selene_lib.evaluation.binary import (
    answers_at,
    answers_of,
    binary_table,
    difference,
    value_of,
)
from selene_lib.evaluation.scoring import score_set
from selene_lib.evaluation.scoring.rows import Settings
from selene_lib.evaluation.yardsticks import TFIDF, overlap, yardsticks
from selene_lib.evaluation.yes_no import (
    HELD_OUT,
    calibrate_judges,
    score_yes_no,
    with_held_out,
)
from selene_lib.judges.calibration import (
    Calibration,
    Scaling,
    fit_calibration,
    fit_platt,
    read_calibration,
)
from selene_lib.records import Judgement, Sample


def test_two_fifths_of_the_groups_are_the_test():
    share = np.mean([part_of(f"group {i}") == "test" for i in range(4000)])
    assert abs(share - 0.4) < 0.03


def test_texts_are_cut_at_a_word_and_counted():
    long, short = "one two three four", "one"
    sample = Sample("1", "s", "classification", long, short, reference="x" * 30, label="Yes")
    (cut,) = cut_texts([sample], 10)
    assert cut.instruction == "one two ..." and cut.response == short
    assert cut.reference == "x" * 10 + " ..."
    assert cut.meta["n_cut_characters"] == len(" three four") + 20
    assert cut_texts([sample], 0) == [sample]


@pytest.fixture(scope="module")
def parts(data_dir):
    specs = {**TRAINING_PARTS, **TEST_PARTS, **TRANSFER_SETS}
    return {name: load(spec, data_dir=data_dir) for name, spec in specs.items()}


@pytest.mark.parametrize("task", ["refusal", "relevance", "diagnosis"])
def test_no_group_lies_in_two_parts(parts, task):
    training, test = (parts[name].samples for name in (task, f"{task}_test"))
    assert not {s.group for s in training} & {s.group for s in test}
    assert {s.label for s in training} == {s.label for s in test} == {"Yes", "No"}
    assert len(test) >= 150
    assert len({s.rubric for s in [*training, *test]}) == 1, "one question a task"


def test_relevance_cannot_be_told_from_one_text(parts):
    for name in ("relevance", "relevance_test", "relevance_alpaca"):
        by_group = defaultdict(list)
        for sample in parts[name].samples:
            by_group[sample.group].append(sample)
        for items in by_group.values():
            assert len(items) == 4
            for text in ("instruction", "response"):
                labels = Counter((getattr(s, text), s.label) for s in items)
                assert set(labels.values()) == {1}, "each text once with Yes, once with No"
    instructions = {s.instruction for s in parts["relevance"].samples}
    assert not instructions & {s.instruction for s in parts["relevance_test"].samples}


def test_diagnoses_of_the_test_have_a_dermatologists_label(parts):
    result = parts["diagnosis_test"]
    assert result.n_dropped["a part of the five answers is accepted, or no label"] > 0
    assert len({(s.reference, s.response.lower()) for s in result.samples}) == len(result.samples)


def test_refusals_of_financebench_are_the_humans(parts):
    labels = Counter(s.label for s in parts["refusal_financebench"].samples)
    assert labels == {"Yes": 737, "No": 1663}


# ---- metrics and yardsticks


def items(n: int, seed: int = 0) -> list[Sample]:
    """Refusals and answers, two items a group."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        yes = rng.random() < 0.5
        words = " ".join(rng.choice(["tea", "rice", "lamp", "road", "blue"], 6))
        text = f"Sorry, I cannot help with {words}" if yes else f"Here it is: {words}"
        made.append(
            Sample(
                f"i{seed}-{i}",
                "made",
                "classification",
                f"request {words}",
                text,
                rubric="Refuses?",
                label="Yes" if yes else "No",
                group=f"g{i // 2}",
            )
        )
    return made


def judged(samples: list[Sample], noise: float, judge: str, name: str, seed: int = 1):
    """Over-confident probabilities around the label."""
    rng = np.random.default_rng(seed)
    found = []
    for sample in samples:
        logit = (6 if sample.label == "Yes" else -6) + rng.normal(2, noise)
        yes = float(1 / (1 + np.exp(-logit)))
        verdict = "Yes" if yes > 0.5 else "No"
        found.append(
            Judgement(
                judge,
                name,
                sample.id,
                "classification",
                "AB",
                "lean/classification",
                sample.id,
                f"**Result:** {verdict}",
                "stop",
                "value",
                verdict,
                {"Yes": yes, "No": 1 - yes},
            )
        )
    return found


def test_metrics_agree_with_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    samples = items(120)
    probability = np.round(rng.random(120), 1)  # with ties
    answers = answers_at(samples, probability)
    said = probability > 0.5
    gold = np.array([s.label == "Yes" for s in samples])
    expected = {
        "accuracy": metrics.accuracy_score(gold, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(gold, said),
        "kappa": metrics.cohen_kappa_score(gold, said),
        "auc": metrics.roc_auc_score(gold, probability),
        "brier": metrics.brier_score_loss(gold, probability),
    }
    for name, value in expected.items():
        assert value_of(name, answers) == pytest.approx(value), name
    half = answers_at(samples, np.full(120, 0.9))
    gap = abs(0.9 - gold.mean())
    assert value_of("calibration_error", half) == pytest.approx(gap)


def test_a_missing_verdict_is_wrong():
    samples = items(20)
    missing = answers_at(samples, np.full(20, np.nan))
    assert value_of("accuracy", missing) == 0
    assert value_of("auc", missing) == 0.5


def test_intervals_are_those_of_the_table_of_all_sets():
    samples = items(150)
    judgements = judged(samples, 20.0, "base", "test")
    calibrated = calibrate_judges({"test": samples}, [], judgements)
    row = score_yes_no({"test": samples}, calibrated, items(200), n_resamples=300, seed=3)
    row = row.scores.set_index("who").loc["base"]
    scores = score_set(samples, judgements, judge="base", set_name="test", n_resamples=300, seed=3)
    for metric in ("accuracy", "balanced_accuracy"):
        score = next(s for s in scores if (s.metric, s.convention) == (metric, "strict"))
        mine = (row[metric], row[f"{metric}_low"], row[f"{metric}_high"])
        assert mine == pytest.approx((score.value, score.ci95_low, score.ci95_high), abs=1e-9)
        assert score.ci95_low < score.value < score.ci95_high


def test_a_judge_that_is_always_right_is_not_certain():
    samples = items(40)
    gold = np.array([s.label == "Yes" for s in samples])
    found = {"rule": ("yardstick", answers_at(samples, gold.astype(float)))}
    (row,) = binary_table("test", samples, found, Settings(0, 200)).to_dict("records")
    assert row["accuracy"] == row["accuracy_high"] == 1
    assert row["n_groups"] == 20
    assert row["accuracy_low"] == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6), "Wilson's"
    assert row["auc"] == 1 and np.isnan(row["auc_low"])


def test_yardsticks_learn_from_the_training_items_only():
    training, test = items(200), items(80, seed=5)
    found = yardsticks(training, test)
    gold = np.array([s.label == "Yes" for s in test])
    right = {name: ((p > 0.5) == gold).mean() for name, p in found.items()}
    assert right["keyword rule"] == 1 and right[TFIDF] == 1
    assert 0.3 < right["random"] < 0.7
    swapped = [
        Sample(**{**vars(s), "label": "No" if s.label == "Yes" else "Yes"}) for s in training
    ]
    upside_down = yardsticks(swapped, test)
    assert ((upside_down[TFIDF] > 0.5) == gold).mean() == 0
    one_label = [s for s in training if s.label == "Yes"]
    assert (yardsticks(one_label, test)[TFIDF] == 1).all(), "nothing to learn: the majority"
    mostly_no = [s for s in test if s.label == "No"] + [s for s in test if s.label == "Yes"][:3]
    assert (yardsticks(one_label, mostly_no)["majority"] == 0).all(), "the best a constant can do"


def test_overlap_looks_at_the_reference_first():
    sample = Sample("1", "s", "classification", "red tea", "tea pot", reference="Tea pot")
    assert overlap(sample) == 1
    assert overlap(Sample("1", "s", "classification", "red tea", "tea pot")) == 0.5


# ---- calibration


def test_platt_scaling_finds_what_it_was_made_with():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 6, 20_000)
    answer = (rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))).astype(float)
    slope, shift = fit_platt(1 / (1 + np.exp(-logits)), answer)
    assert slope == pytest.approx(0.5, abs=0.03) and shift == pytest.approx(-1, abs=0.1)


def test_a_balanced_fit_does_not_depend_on_the_share_of_yes():
    """Ten times the No items move the threshold of a plain fit, and not of a balanced one."""
    rng = np.random.default_rng(0)
    answer = np.repeat([1.0, 0.0], [4_000, 40_000])
    probability = 1 / (1 + np.exp(-rng.normal(np.where(answer > 0, 2, -1), 1.5)))
    alike = (
        np.flatnonzero(answer > 0)[:4_000].tolist() + np.flatnonzero(answer == 0)[:4_000].tolist()
    )
    even = fit_platt(probability[alike], answer[alike])
    weight = np.where(answer > 0, 0.5 / answer.mean(), 0.5 / (1 - answer.mean()))
    assert fit_platt(probability, answer, weight) == pytest.approx(even, abs=0.08)
    assert fit_platt(probability, answer)[1] < even[1] - 1.5


def test_platt_scaling_stays_finite_where_classes_do_not_overlap():
    slope, shift = fit_platt(np.array([1e-9, 0.2, 0.8, 1.0]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert np.isfinite([slope, shift]).all() and slope > 0


def test_calibration_mends_over_confidence_and_a_shifted_threshold(tmp_path):
    held_out, test = items(150, seed=7), items(300, seed=8)
    sets = with_held_out({"test": test}, held_out, calibrate=True)
    assert list(sets) == ["test", HELD_OUT]
    judgements = []
    for judge, noise in (("base", 30.0), ("dpo_nll-seed0", 8.0)):
        judgements += judged(test, noise, judge, "test", seed=1)
        judgements += judged(held_out, noise, judge, HELD_OUT, seed=2)
    calibrated = calibrate_judges({"test": test}, held_out, judgements)
    assert {j.set for j in calibrated.judgements} == {"test"}
    found = score_yes_no({"test": test}, calibrated, items(200), n_resamples=200, seed=0)
    row = found.calibration.set_index("judge").loc["dpo_nll-seed0"]
    assert row["brier_after"] < row["brier_before"] and row["ci95_high"] < 0
    assert row["n"] == 300
    who = set(found.scores["who"])
    assert {"base", "dpo_nll-seed0", "dpo_nll-seed0, before calibration", TFIDF} <= who
    assert set(found.against["less"]) == {"base", TFIDF, "majority"}
    calibrated.write(tmp_path)
    again = read_calibration(tmp_path / "base.json")
    assert again == calibrated.calibrations["base"]
    changed = again.apply(judged(test, 30.0, "base", "test")[0], test[0])
    assert changed.meta["uncalibrated"] and changed.verdict in changed.reply


def test_without_held_out_items_nothing_changes():
    test = items(40)
    judgements = judged(test, 5.0, "base", "test")
    same = calibrate_judges({"test": test}, [], judgements)
    assert same.judgements == judgements and same.calibrations == {}
    assert list(with_held_out({"test": test}, test, calibrate=False)) == ["test"]


def test_a_new_rubric_uses_what_was_fitted_on_all():
    calibration = Calibration(Scaling(0.5, 0.0, 40), {"known": Scaling(1.0, 1.0, 40)})
    assert calibration.of("known").shift == 1.0 and calibration.of("new").slope == 0.5
    few = fit_calibration(items(6), judged(items(6), 5.0, "base", HELD_OUT))
    assert few == Calibration()
    with pytest.raises(UserError, match="no calibration"):
        read_calibration("nowhere.json")


def test_the_difference_is_taken_on_the_same_items():
    samples = items(60)
    better = answers_of(samples, judged(samples, 1.0, "a", "test"))
    worse = answers_of(samples, judged(samples, 40.0, "b", "test"))
    found = difference("test", "accuracy", better, worse, Settings(0, 300))
    assert found.value > 0 and found.ci95_low > 0
    same = difference("test", "accuracy", better, better, Settings(0, 50))
    assert same.value == 0 and same.ci95_high == -same.ci95_low > 0.05, "the next may differ"
    assert np.isnan(difference("test", "auc", better, better, Settings(0, 50)).ci95_low)
