"""Metrics by hand and against scipy, intervals against their coverage, tests against counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from selene_lib.evaluation import metrics
from selene_lib.evaluation.metrics import metric_value as value
from selene_lib.evaluation.metrics import resampling

SCORES = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([1.0, 1.33, 2.0, 3.67, 5.0])),
    min_size=3,
    max_size=40,
)


def test_hand_computed_agreement():
    predicted, gold = ["Yes", "Yes", "No", "No", "Yes"], ["Yes", "No", "No", "Yes", "Yes"]
    assert value("accuracy", predicted, gold) == pytest.approx(3 / 5)
    assert value("balanced_accuracy", predicted, gold) == pytest.approx((2 / 3 + 1 / 2) / 2)
    observed, expected = 3 / 5, (3 * 3 + 2 * 2) / 25
    assert value("cohens_kappa", predicted, gold) == pytest.approx(
        (observed - expected) / (1 - expected)
    )
    assert value("mean_absolute_error", [1, 2, 5], [1, 4, 4]) == pytest.approx(1.0)


def test_always_no_has_high_accuracy_and_no_kappa():
    gold = ["No"] * 93 + ["Yes"] * 7
    assert value("accuracy", ["No"] * 100, gold) == pytest.approx(0.93)
    assert value("balanced_accuracy", ["No"] * 100, gold) == pytest.approx(0.5)
    assert value("cohens_kappa", ["No"] * 100, gold) == pytest.approx(0.0)


def test_an_unparsed_prediction_is_a_label_that_gold_never_has():
    assert value("accuracy", ["Yes", ""], ["Yes", "Yes"]) == 0.5
    assert value("balanced_accuracy", ["Yes", ""], ["Yes", "No"]) == 0.5


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(SCORES)
def test_correlations_equal_scipy_with_ties(pairs):
    x, y = (np.array(column, dtype=float) for column in zip(*pairs))
    for ours, theirs in (
        ("pearson", stats.pearsonr),
        ("spearman", stats.spearmanr),
        ("kendall", stats.kendalltau),
    ):
        found = value(ours, x, y)
        if len(set(x)) == 1 or len(set(y)) == 1:
            assert math.isnan(found)
        else:
            assert found == pytest.approx(theirs(x, y)[0], abs=1e-9)


def test_a_constant_judge_has_no_correlation_and_no_kappa_with_itself():
    assert math.isnan(value("pearson", [3, 3, 3], [1, 2, 3]))
    assert math.isnan(value("cohens_kappa", ["A", "A"], ["A", "A"]))


def test_weighted_mean():
    assert value("weighted_mean", [1.0, 0.0], [3, 1]) == 0.75
    assert math.isnan(value("weighted_mean", [1.0], [0]))


def test_the_bootstrap_of_a_mean_has_the_known_standard_error():
    values = np.array([1.0] * 60 + [0.0] * 40)
    found = metrics.bootstrap_ci(values, n_resamples=20_000, rng=1)
    assert found.standard_error == pytest.approx(math.sqrt(0.6 * 0.4 / 100), rel=0.03)
    assert found.low == pytest.approx(0.504, abs=0.015) and found.high == pytest.approx(
        0.696, abs=0.015
    )


def test_clusters_are_drawn_whole():
    values = np.repeat([1.0, 0.0] * 10, 5)
    groups = np.repeat(np.arange(20), 5)
    alone = metrics.bootstrap_ci(values, n_resamples=5000, rng=2).standard_error
    clustered = metrics.bootstrap_ci(values, groups=groups, n_resamples=5000, rng=2).standard_error
    assert clustered / alone == pytest.approx(math.sqrt(5), rel=0.06)


def test_many_distinct_clusters_take_the_other_way_of_drawing_to_the_same_end():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(900), 3)
    values = np.round(rng.random(2700), 3)
    means = values.reshape(900, 3).mean(1)
    found = metrics.bootstrap_ci(values, groups=groups, n_resamples=3000, rng=3)
    assert found.standard_error == pytest.approx(means.std() / 30, rel=0.05)


@pytest.mark.parametrize(
    "metric", ["pearson", "spearman", "kendall", "cohens_kappa", "balanced_accuracy", "roc_auc"]
)
def test_resampled_counts_equal_resampled_items(metric):
    rng = np.random.default_rng(4)
    x = rng.integers(1, 4, 60).astype(float)
    y = np.clip(x + rng.integers(-1, 2, 60), 1, 3).astype(float)
    fast = metrics.bootstrap_replicates(metric, x, y, n_resamples=3000, rng=5)
    indices = rng.integers(0, 60, (600, 60))
    slow = np.array([value(metric, x[i], y[i]) for i in indices])
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.02) and fast.std() == pytest.approx(
        slow.std(), rel=0.12
    )


def test_interval_coverage_is_near_nominal():
    rng = np.random.default_rng(6)
    inside = 0
    for trial in range(400):
        values = (rng.random(120) < 0.7).astype(float)
        found = metrics.bootstrap_ci(values, n_resamples=600, rng=trial)
        inside += found.low <= 0.7 <= found.high
    assert 0.915 <= inside / 400 <= 0.975


def test_a_paired_difference_is_sharper_than_two_intervals():
    rng = np.random.default_rng(7)
    hard = rng.random(300) < 0.5
    a, b = np.where(hard, 0.0, 1.0), np.where(hard | (rng.random(300) < 0.06), 0.0, 1.0)
    found = metrics.paired_bootstrap(a, b, n_resamples=4000, rng=8)
    assert (
        found.value == pytest.approx(a.mean() - b.mean()) and found.ci95_low > 0 and found.p < 0.01
    )
    apart = math.hypot(
        metrics.bootstrap_ci(a, rng=1).standard_error, metrics.bootstrap_ci(b, rng=1).standard_error
    )
    assert found.standard_error < apart / 2
    gold = rng.integers(1, 6, 300).astype(float)
    noisy = np.clip(gold + rng.integers(-2, 3, 300), 1, 5)
    better = metrics.paired_bootstrap(gold, noisy, gold, metric="pearson", rng=9)
    assert better.value == pytest.approx(1 - value("pearson", noisy, gold)) and better.ci95_low > 0


def test_the_permutation_test_equals_the_exact_sign_test():
    a, b = (
        np.array([1.0] * 9 + [0.0] * 2 + [1.0] * 20),
        np.array([0.0] * 9 + [1.0] * 2 + [1.0] * 20),
    )
    exact = stats.binomtest(9, 11, 0.5).pvalue
    assert metrics.permutation_p(a, b, n_resamples=200_000, rng=10) == pytest.approx(
        exact, abs=0.003
    )
    assert metrics.permutation_p(a, a) == 1.0


def test_permutation_by_cluster_is_more_careful():
    difference = np.repeat([1.0, 1.0, 1.0, -1.0], 25)
    zero = np.zeros(100)
    assert metrics.permutation_p(difference, zero, rng=11) < 0.001
    assert metrics.permutation_p(
        difference, zero, groups=np.repeat(np.arange(4), 25), rng=11
    ) == pytest.approx(10 / 16, abs=0.02)


def test_benjamini_hochberg_by_hand_and_by_scipy():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    assert metrics.benjamini_hochberg(p) == pytest.approx([0.04, 0.04 * 4 / 3, 0.04 * 4 / 3, 0.5])
    random = np.random.default_rng(12).random(50) ** 3
    assert metrics.benjamini_hochberg(random) == pytest.approx(
        stats.false_discovery_control(random)
    )
    with_hole = metrics.benjamini_hochberg(np.array([0.01, math.nan, 0.02]))
    assert math.isnan(with_hole[1]) and with_hole[0] == pytest.approx(0.02)


def test_the_smallest_resolvable_gap_is_found_with_the_power_it_names():
    sd, n = 0.5, 400
    gap = metrics.smallest_resolvable_gap(sd, n)
    assert gap == pytest.approx((1.959964 + 0.841621) * 0.5 / 20, rel=1e-5)
    rng = np.random.default_rng(13)
    differences = rng.normal(gap, sd, (4000, n)).mean(1)
    assert (np.abs(differences) > 1.959964 * sd / 20).mean() == pytest.approx(0.8, abs=0.02)


def test_half_a_normal_interval_is_the_quantile_not_a_rounded_one():
    assert pytest.approx(stats.norm.ppf(0.975), abs=1e-12) == metrics.Z95


def test_wilson_interval_by_hand():
    low, high = metrics.wilson_interval(20, 20)
    assert high == 1.0 and low == pytest.approx(20 / (20 + 1.959964**2), rel=1e-5)


def test_calibration_by_hand():
    confidence, correct = np.array([0.95, 0.95, 0.55, 0.55]), np.array([1, 0, 1, 1])
    bins = metrics.reliability_bins(confidence, correct)
    assert [(b.n, b.accuracy, b.low) for b in bins] == [(2, 1.0, 0.5), (2, 0.5, 0.9)]
    error = value("expected_calibration_error", confidence, correct)
    assert error == pytest.approx((0.45 + 0.45) / 2)
    assert error == pytest.approx(sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / 4)
    with pytest.raises(ValueError, match="outside"):
        metrics.reliability_bins(np.array([1.2]), np.array([1]))


def test_a_calibrated_judge_has_little_error_and_a_boastful_one_much():
    rng = np.random.default_rng(14)
    truth = rng.uniform(0.5, 1, 20_000)
    correct = rng.random(20_000) < truth
    assert value("expected_calibration_error", truth, correct) < 0.015
    assert value("expected_calibration_error", np.full(20_000, 0.99), correct) == pytest.approx(
        0.24, abs=0.015
    )


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10_000))
def test_correlation_bounds_hold_for_every_way_to_fill_the_gaps(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 30))
    n_missing = int(rng.integers(1, max(2, n // 2)))
    gold = rng.integers(1, 6, n) + rng.choice([0, 0.33], n)
    scores = np.clip(np.round(gold + rng.normal(0, rng.choice([0.5, 2, 5]), n)), 1, 5)
    low, high = metrics.correlation_bounds(scores[n_missing:], gold[n_missing:], gold[:n_missing])
    for _ in range(40):
        filled = scores.copy()
        line = (gold[:n_missing] - rng.uniform(1, 5)) * rng.uniform(-6, 6) + 3
        filled[:n_missing] = (
            rng.integers(1, 6, n_missing) if rng.random() < 0.5 else np.clip(line, 1, 5)
        )
        r = value("pearson", filled, gold)
        assert math.isnan(r) or low - 1e-9 <= r <= high + 1e-9


def test_correlation_bounds_meet_where_nothing_is_missing():
    low, high = metrics.correlation_bounds(
        np.array([1.0, 2, 4]), np.array([1.0, 3, 3]), np.array([])
    )
    assert low == high == pytest.approx(value("pearson", [1, 2, 4], [1, 3, 3]))


def test_same_seed_same_numbers():
    values = np.random.default_rng(15).random(50)
    assert (
        metrics.bootstrap_ci(values, rng=3)
        == metrics.bootstrap_ci(values, rng=3)
        != metrics.bootstrap_ci(values, rng=4)
    )


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        metrics.bootstrap_ci(np.array([]))
    with pytest.raises(ValueError, match="one shape"):
        value("accuracy", ["A"], ["A", "B"])


def test_the_area_under_the_curve_by_hand():
    assert value("roc_auc", [0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0]) == (1 + 1 + 0.5 + 1) / 4
    assert np.isnan(value("roc_auc", [0.9, 0.4], [1, 1]))


@pytest.mark.parametrize("grouped", [False, True])
def test_thousands_of_probabilities_are_counted_without_a_dense_matrix(monkeypatch, grouped):
    rng = np.random.default_rng(11)
    x, y = rng.random(400), (rng.random(400) < 0.5).astype(float)
    groups = rng.integers(0, 150, 400) if grouped else None
    dense = metrics.bootstrap_replicates("roc_auc", x, y, groups=groups, n_resamples=2000, rng=1)
    monkeypatch.setattr(resampling, "_MANY_ROWS", 100)
    monkeypatch.setattr(resampling, "_DENSE_CELLS", 1_000)
    sparse = metrics.bootstrap_replicates("roc_auc", x, y, groups=groups, n_resamples=2000, rng=1)
    assert sparse.mean() == pytest.approx(dense.mean(), abs=0.003)
    assert sparse.std() == pytest.approx(dense.std(), rel=0.1)


def test_two_judges_that_never_differ_are_not_certainly_equal():
    right, wrong = np.ones(50), np.zeros(50)
    none = metrics.wilson_interval(0, 50)[1]
    equal = metrics.paired_bootstrap(right, right)
    assert (equal.value, equal.ci95_low, equal.ci95_high) == (0, -none, none)
    assert equal.standard_error > 0 and equal.p == 1
    apart = metrics.paired_bootstrap(right, wrong)
    assert (apart.ci95_low, apart.ci95_high) == pytest.approx((1 - 2 * none, 1))
    pairs = np.repeat(np.arange(25), 2)
    wider = metrics.paired_bootstrap(right, right, groups=pairs)
    assert wider.ci95_high == metrics.wilson_interval(0, 25)[1]
    kappa = metrics.paired_bootstrap(right, right, np.arange(50) % 2, metric="cohens_kappa")
    assert kappa.value == 0 and np.isnan([kappa.ci95_low, kappa.standard_error]).all()
