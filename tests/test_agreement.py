"""Agreement with people's labels: by hand, against other libraries, and by simulated coverage."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.errors import UserError
from selene_lib.evaluation.agreement.alpha import krippendorff_alpha
from selene_lib.evaluation.agreement.measures import measure
from selene_lib.evaluation.agreement.passing import Counts, design_effect, pass_rates
from selene_lib.evaluation.agreement.planning import best_cut, labels_needed, resolvable_gap
from selene_lib.evaluation.agreement.summary import agreement, failed_gates
from selene_lib.evaluation.agreement.verdicts import read_verdicts, task_of, verdicts_of
from selene_lib.evaluation.metrics import estimate
from selene_lib.records import Sample


def table(task, gold, verdict, groups=None, confidence=None, people=None):
    """Items of one task, their labels and verdicts in order."""
    words = {"Y": "Yes", "N": "No"} if task == "classification" else {}
    gold, verdict = ([words.get(x, x) for x in column] for column in (gold, verdict))
    second = "b" if task == "pairwise" else None
    samples = [
        Sample(f"s-{i}", "t", task, "q", f"a{i}", second, label=label or None, group=str(group))
        for i, (label, group) in enumerate(zip(gold, groups or range(len(gold))))
    ]
    return verdicts_of(samples, verdict, confidence, people)


def values(v) -> dict[str, float]:
    found = measure(v, n_resamples=50)
    return {
        f"{m} {label}".strip(): x for m, label, x in zip(found.measure, found.label, found.value)
    }


def test_by_hand():
    v = table("classification", list("YYNNY"), list("YNNYY"))
    found = values(v)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["kappa"] == pytest.approx((0.6 - 13 / 25) / (1 - 13 / 25))
    assert found["recall Yes"] == pytest.approx(2 / 3)
    assert found["recall No"] == pytest.approx(1 / 2)
    assert found["precision Yes"] == pytest.approx(2 / 3)
    assert found["f1 No"] == pytest.approx(1 / 2)


def test_a_missing_class_has_no_recall_and_one_item_no_kappa():
    one_class = values(table("classification", ["Yes", "Yes"], ["Yes", "No"]))
    assert math.isnan(one_class["recall No"])
    assert one_class["balanced_accuracy"] == 0.5
    single = values(table("classification", ["Yes"], ["Yes"]))
    assert single["accuracy"] == 1.0
    assert math.isnan(single["kappa"])


def test_a_verdict_of_a_tie_on_a_tie_is_right():
    found = values(table("pairwise", ["A", "tie", "B"], ["A", "tie", "A"]))
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["recall tie"] == 1.0


def test_an_unread_reply_is_wrong_and_a_verdict_of_its_own():
    v = table("classification", ["Yes", "No", "Yes"], ["Yes", "No", ""])
    assert values(v)["accuracy"] == pytest.approx(2 / 3)
    assert agreement(v, n_resamples=20).confusion.loc["Yes", "none"] == 1


def test_equal_to_scikit_learn_and_scipy():
    from scipy import stats
    from sklearn import metrics as sk

    rng = np.random.default_rng(3)
    labels = list("12345")
    gold = rng.choice(labels, 200)
    said = np.where(rng.random(200) < 0.6, gold, rng.choice(labels, 200))
    found = values(table("absolute", gold.tolist(), said.tolist()))
    precision, recall, f1, _ = sk.precision_recall_fscore_support(gold, said, labels=labels)
    for i, label in enumerate(labels):
        assert found[f"precision {label}"] == pytest.approx(precision[i], abs=1e-9)
        assert found[f"recall {label}"] == pytest.approx(recall[i], abs=1e-9)
        assert found[f"f1 {label}"] == pytest.approx(f1[i], abs=1e-9)
    x, y = said.astype(float), gold.astype(float)
    for name, other in (
        ("balanced_accuracy", sk.balanced_accuracy_score(gold, said)),
        ("kappa", sk.cohen_kappa_score(gold, said)),
        ("quadratic_kappa", sk.cohen_kappa_score(gold, said, weights="quadratic")),
        ("pearson", stats.pearsonr(x, y)[0]),
        ("spearman", stats.spearmanr(x, y)[0]),
        ("mean_absolute_error", sk.mean_absolute_error(y, x)),
    ):
        assert found[name] == pytest.approx(other, abs=1e-9)


# Krippendorff's own example (2011, part D): four observers, twelve units, values 1 to 5
OBSERVERS = (
    ["1", "2", "3", "3", "2", "1", "4", "1", "2", "", "", ""],
    ["1", "2", "3", "3", "2", "2", "4", "1", "2", "5", "", "3"],
    ["", "3", "3", "3", "2", "3", "4", "2", "2", "5", "1", ""],
    ["1", "2", "3", "3", "2", "4", "4", "1", "2", "5", "1", ""],
)


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_is_that_of_the_published_example(level, published):
    assert krippendorff_alpha(OBSERVERS, list("12345"), level) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_equals_the_package_of_that_name(level):
    package = pytest.importorskip("krippendorff", reason="GPL, so not among our requirements")
    rng = np.random.default_rng(0)
    people = [[str(x) if x else "" for x in rng.integers(0, 6, 60)] for _ in range(3)]
    data = [[float(x) if x else np.nan for x in row] for row in people]
    theirs = package.alpha(reliability_data=data, level_of_measurement=level)
    assert krippendorff_alpha(people, list("12345"), level) == pytest.approx(theirs, abs=1e-9)


def test_alpha_of_unanimity_and_of_single_labels_has_no_value():
    assert math.isnan(krippendorff_alpha([["1", "1"], ["1", "1"]], ["1", "2"]))
    assert math.isnan(krippendorff_alpha([["1", ""], ["", "2"]], ["1", "2"]))


def test_a_constant_judge_is_no_certainty():
    """Always A is right in one order of each pair: .5 of every item, and no spread to resample."""
    found = estimate("mean", np.full(240, 0.5), rng=0, n_resamples=200)
    assert (found.low, found.high) == (
        pytest.approx(0.437, abs=1e-3),
        pytest.approx(0.563, abs=1e-3),
    )
    assert found.standard_error > 0.02
    gold = np.repeat([0.0, 1.0], 50)
    balanced = estimate("balanced_accuracy", np.zeros(100), gold, rng=0, n_resamples=200)
    assert balanced.value == 0.5
    assert balanced.low < 0.49 < 0.51 < balanced.high
    kappa = estimate("cohens_kappa", np.zeros(100), gold, rng=0, n_resamples=200)
    assert kappa.value == 0
    assert math.isnan(kappa.low)


def test_a_share_never_leaves_zero_to_one_and_one_group_is_no_group():
    nothing = estimate("mean", np.zeros(60), rng=0, n_resamples=100)
    assert nothing.low == 0
    assert 0.03 < nothing.high < 0.08
    rng = np.random.default_rng(0)
    right = (rng.random(80) < 0.7).astype(float)
    alone = estimate("mean", right, groups=np.array(["g"] * 80), rng=0, n_resamples=200)
    assert alone.n_groups == 80
    assert alone.high - alone.low > 0.1


def test_groups_that_are_all_alike_count_by_item():
    right, groups = np.tile([1.0, 0.0], 30), np.repeat(np.arange(10), 6)
    found = estimate("mean", right, groups=groups, rng=0, n_resamples=100)
    assert (found.low, found.high) == (
        pytest.approx(0.377, abs=1e-3),
        pytest.approx(0.623, abs=1e-3),
    )


def test_a_balanced_design_is_not_surer_than_its_items():
    gold = ["Yes", "No"] * 30
    said = ["Yes", "No", "Yes", "No", "Yes", "Yes"] * 10  # five of six right in each of ten groups
    v = table("classification", gold, said, groups=[i // 6 for i in range(60)])
    row = measure(v, n_resamples=500).set_index("measure").loc["accuracy"]
    assert row.ci95_high - row.ci95_low > 0.15
    assert row.n_groups == 10


def test_groups_widen_an_interval_and_count_in_the_design_effect():
    right = np.repeat([1.0, 0.0], 50)
    groups = np.repeat(np.arange(10), 10)
    by_item = estimate("mean", right, rng=0)
    by_group = estimate("mean", right, groups=groups, rng=0)
    assert by_group.high - by_group.low > 2 * (by_item.high - by_item.low)
    assert design_effect(right, groups) == pytest.approx(10 * 10 / 9 * 99 / 100)
    assert design_effect(right, np.arange(100)) == 1.0


def covered(n, prevalence, tpr=0.85, tnr=0.9, n_unlabelled=1000, rounds=2000):
    """Share of simulated intervals that hold the true rate, and their mean width, by method."""
    rng = np.random.default_rng([n, int(100 * prevalence)])
    p = prevalence
    cells = rng.multinomial(n, [p * tpr, p * (1 - tpr), (1 - p) * tnr, (1 - p) * (1 - tnr)], rounds)
    passed = rng.binomial(n_unlabelled, p * tpr + (1 - p) * (1 - tnr), rounds)
    inside, width = {}, {}
    for (tp, fn, tn, fp), said in zip(cells, passed):
        for rate in pass_rates(Counts(tp, fn, tn, fp, said, n_unlabelled))[2:]:
            low, high = (0.0, 1.0) if math.isnan(rate.low) else (rate.low, rate.high)
            inside.setdefault(rate.method, []).append(low <= p <= high)
            width.setdefault(rate.method, []).append(high - low)
    return {m: (float(np.mean(inside[m])), float(np.mean(width[m]))) for m in inside}


@pytest.mark.parametrize("n", [50, 100, 300])
@pytest.mark.parametrize("prevalence", [0.1, 0.3, 0.5])
def test_corrected_pass_rates_cover_the_truth(n, prevalence):
    for method, (coverage, width) in covered(n, prevalence).items():
        print(f"n {n} rate {prevalence}: {method} covers {coverage:.3f}, width {width:.3f}")
        assert coverage >= 0.93
        assert width < 0.6


def test_a_judge_no_better_than_chance_corrects_nothing():
    rates = {r.method: r for r in pass_rates(Counts(5, 5, 5, 5, 50, 100))}
    assert math.isnan(rates["Rogan-Gladen"].value)
    assert rates["prediction-powered"].value == pytest.approx(0.5)
    one_class = {r.method: r for r in pass_rates(Counts(9, 1, 0, 0, 50, 100))}
    assert "one class" in one_class["Rogan-Gladen"].note


def test_planning():
    assert labels_needed(0.5, half_widths=(0.1,)) == {0.1: 97}
    assert labels_needed(0.5, 2.0, (0.1,)) == {0.1: 193}
    assert resolvable_gap(400, 0.5) == pytest.approx(2.8016 * (0.5 / 400) ** 0.5, abs=1e-4)
    assert math.isnan(resolvable_gap(0, 0.5))
    assert best_cut(np.array([0.6, 0.7, 0.8, 0.9]), np.array([0, 0, 1, 1], bool)) == 0.75


def test_threshold_is_chosen_on_one_half_and_measured_on_the_other():
    rng = np.random.default_rng(0)
    yes = rng.random(400) < 0.5
    p = np.where(yes, 0.9, 0.7) + rng.uniform(-0.05, 0.05, 400)
    gold = ["Yes" if y else "No" for y in yes]
    v = table("classification", gold, ["Yes"] * 400, confidence=p.tolist())
    found = agreement(v, n_resamples=20).threshold
    assert found.at_half.value == pytest.approx(0.5, abs=0.1)
    assert found.chosen.value > 0.95
    assert found.n_chosen_on + found.chosen.n == 400


def judged(tmp_path, lines, name="judged.csv"):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


ROWS = [
    "instruction,response,label,verdict,confidence,anna",
    "q1,a,good,good,0.9,good",
    "q1,b,bad,good,0.8,bad",
    "q2,c,bad,bad,0.7,good",
    "q2,d,good,good,0.6,good",
    "q3,e,,good,0.6,",
    "q3,f,,bad,0.6,",
]
WORDS = {"good": "Yes", "bad": "No"}


def test_a_judged_table_is_read_with_its_own_words(tmp_path):
    v = read_verdicts(judged(tmp_path, ROWS), labels=WORDS, people=["anna"])
    assert list(v.verdict[:3]) == ["Yes", "Yes", "No"]
    assert len(set(v.groups)) == 3
    found = agreement(v, n_resamples=50)
    assert (found.n, found.n_unlabelled, found.n_groups) == (4, 2, 2)
    assert found.value("accuracy") == 0.75
    assert list(found.disagreements.response) == ["b"]
    assert found.alpha["people"] == pytest.approx(
        krippendorff_alpha([["Yes", "No", "No", "Yes"], ["Yes", "No", "Yes", "Yes"]], ["Yes", "No"])
    )
    assert [rate.method for rate in found.pass_rates][2:] == ["Rogan-Gladen", "prediction-powered"]
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["n"] == 4


def test_subsets_are_scored_apart(tmp_path):
    rows = ["label,verdict,kind", "Yes,Yes,easy", "No,No,easy", "Yes,No,hard", "No,No,hard"]
    v = read_verdicts(judged(tmp_path, rows), by="kind")
    found = agreement(v, n_resamples=20).subsets.set_index("subset")
    assert found.loc["easy", "accuracy"] == 1.0
    assert found.loc["hard", "accuracy"] == 0.5
    assert found.loc["easy", "ci95_low"] < 1  # two items are no certainty
    with pytest.raises(UserError, match="no column 'sort'"):
        read_verdicts(judged(tmp_path, rows), by="sort")


def test_gates():
    v = table("classification", list("YYNNY"), list("YNNYY"))
    found = agreement(v, n_resamples=20)
    assert failed_gates(found, ["accuracy=0.6", "recall:No>=0.5"]) == []
    assert failed_gates(found, ["kappa=0.6"]) == ["kappa is 0.167, asked for = 0.6"]
    with pytest.raises(UserError, match="no measure 'kapa'"):
        failed_gates(found, ["kapa=1"])
    with pytest.raises(UserError, match="write it as"):
        failed_gates(found, ["kappa"])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["instruction,response,label", "q,a,Yes"], "no column 'verdict'"),
        (
            ["label,verdict", "Yes,maybe"],
            "row 1, column 'verdict': label 'maybe' is not one of Yes, No",
        ),
        (["label,verdict,confidence", "Yes,No,7"], "row 1: confidence '7'"),
        (["label,verdict", "1,1"], "do not say which task"),
        (["label,verdict", "perhaps,1"], "do not say which task"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, lines, words):
    with pytest.raises(UserError, match=words) as caught:
        read_verdicts(judged(tmp_path, lines))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "task"),
    [("1 0 1", "classification"), ("1 5 3.67", "absolute"), ("A B tie", "pairwise")],
)
def test_labels_say_the_task(tmp_path, labels, task):
    path = judged(tmp_path, ["label", *labels.split()])
    assert task_of(path, {}, {}) == task


def agree(path, *options):
    return CliRunner().invoke(app, ["agree", str(path), *options])


def test_the_command_writes_a_page_and_fails_under_a_gate(tmp_path):
    rows = [*ROWS, "q4,<script>x</script>,bad,good,0.99,bad"]
    path = judged(tmp_path, rows)
    words = [f"--label={own}={ours}" for own, ours in WORDS.items()]
    done = agree(path, *words, "--people", "anna", "--fail-under", "accuracy=0.5")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "judged.csv.agreement.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "prediction-powered" in page
    numbers = json.loads((tmp_path / "judged.csv.agreement.json").read_text(encoding="utf-8"))
    assert numbers["disagreements"][0]["confidence"] == 0.99
    assert agree(path, *words, "--fail-under", "kappa=0.6").exit_code == 3


def test_nothing_is_written_where_the_input_is_wrong(tmp_path):
    path = judged(tmp_path, ["label,verdict", "Yes,Yes", "No,perhaps"])
    assert isinstance(agree(path).exception, UserError)
    assert [p.name for p in tmp_path.iterdir()] == ["judged.csv"]
