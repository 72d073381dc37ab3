"""Several opinions as one: the majority is as right as the binomial says, and kappa is kappa."""

from __future__ import annotations

import math
import random

import pytest

from selene_lib.evaluation.agreement.panel import disagreement_share, kappas_between
from selene_lib.evaluation.metrics import wilson_interval
from selene_lib.judges.opinions import combine, majority_of_draws
from selene_lib.judges.results import ItemResult, item_result
from selene_lib.records import Judgement

N_ITEMS = 2000


def said(label: str | None, kind: str = "classification") -> ItemResult:
    status = "malformed" if label is None else "value"
    score = None if label is None else float(label == "Yes") if kind != "absolute" else float(label)
    return ItemResult(kind, label, status, "", f"**Result:** {label}", None, score=score)


def votes(p_right: float, n_judges: int, rng: random.Random) -> list[list[str]]:
    """Labels of independent judges on items whose gold is Yes, each right with `p_right`."""
    return [
        ["Yes" if rng.random() < p_right else "No" for _ in range(n_judges)] for _ in range(N_ITEMS)
    ]


def binomial_majority(p_right: float, n_judges: int) -> float:
    return sum(
        math.comb(n_judges, k) * p_right**k * (1 - p_right) ** (n_judges - k)
        for k in range(n_judges // 2 + 1, n_judges + 1)
    )


@pytest.mark.parametrize(("p_right", "n_judges"), [(0.6, 3), (0.7, 5), (0.8, 7)])
@pytest.mark.parametrize("how", ["majority", "mean"])
def test_the_majority_of_judges_with_known_error_is_as_right_as_the_binomial_says(
    p_right, n_judges, how
):
    rng = random.Random(n_judges)
    n_right = sum(
        combine({str(i): said(v) for i, v in enumerate(mine)}, how).label == "Yes"
        for mine in votes(p_right, n_judges, rng)
    )
    expected = binomial_majority(p_right, n_judges)
    low, high = wilson_interval(n_right, N_ITEMS)
    print(
        f"{n_judges} judges right with {p_right}: majority {n_right / N_ITEMS:.4f} "
        f"[{low:.4f}, {high:.4f}], binomial {expected:.4f}"
    )
    assert low <= expected <= high
    assert n_right / N_ITEMS > p_right + 0.02


def test_kappa_between_members_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = random.Random(3)
    labels = {name: [rng.choice(["1", "2", "2", "5", None]) for _ in range(300)] for name in "abc"}
    found = kappas_between(labels)
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    for (one, other), kappa in found.items():
        both = [(x, y) for x, y in zip(labels[one], labels[other]) if x and y]
        theirs = metrics.cohen_kappa_score(*zip(*both))
        print(f"kappa {one}/{other}: {kappa:.12f}, scikit-learn {theirs:.12f}")
        assert kappa == pytest.approx(theirs, abs=1e-12)
    alike = kappas_between({"a": ["1", "2", "1"], "b": ["1", "2", "1"]})
    assert alike["a", "b"] == 1.0
    assert math.isnan(kappas_between({"a": [None], "b": ["1"]})["a", "b"])


def test_the_share_of_disagreement_counts_items_on_which_two_differ():
    assert disagreement_share({"a": ["1", "1", None], "b": ["1", "2", "3"]}) == pytest.approx(1 / 3)


def test_a_vote_without_a_verdict_does_not_count():
    found = combine({"a": said(None), "b": said("Yes"), "c": said("Yes")})
    assert (found.label, found.confidence, found.score) == ("Yes", 1.0, 1.0)
    none = combine({"a": said(None), "b": said(None)})
    assert (none.label, none.status) == (None, "malformed")


@pytest.mark.parametrize(
    ("scores", "majority", "mean"),
    [
        ("1155", "1", "3"),
        ("2245", "2", "3"),
        ("1255", "5", "3"),
        ("45", "4", "5"),
        ("122", "2", "2"),
    ],
)
def test_scores_have_a_majority_and_a_mean(scores, majority, mean):
    parts = {str(i): said(s, "absolute") for i, s in enumerate(scores)}
    assert combine(parts, "majority").label == majority
    assert combine(parts, "mean").label == mean


def draw(number: int, verdict: str | None, sample: str = "s") -> Judgement:
    status = "value" if verdict else "malformed"
    meta = {"draw": number} if number else {}
    reply = f"**Result:** {verdict}"
    return Judgement(
        "j", "set", sample, "classification", "AB", "t", "sha", reply, "stop", status, verdict,
        meta=meta,
    )  # fmt: skip


def test_stored_draws_become_one_judgement_of_the_majority():
    rng = random.Random(1)
    for _ in range(50):
        given = [rng.choice(["Yes", "No", None]) for _ in range(5)]
        mine = [draw(i, v) for i, v in enumerate(given, 1)]
        (found,) = majority_of_draws(mine)
        whole = combine({str(j.draw): item_result("classification", [j]) for j in mine})
        assert found.verdict == whole.label
    only = draw(0, "Yes")
    assert majority_of_draws([only, draw(0, "No", "other")]) == [only, draw(0, "No", "other")]
