"""Conventions beside published numbers, each with the value worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from selene_lib.evaluation.scoring import headline, score_set
from selene_lib.evaluation.scoring.selection import FIRST_JUDGE, RANDOM_JUDGE, selection_table
from selene_lib.paper import parity
from selene_lib.paper import values as paper
from selene_lib.records import Judgement, Sample


def pair(i, *, label="A", set_name="s", **meta):
    return Sample(
        f"{set_name}-{i}", set_name, "pairwise", f"q {i}", "a", "b", label=label, meta=meta
    )


def judged(name, samples, ab, ba):
    """`ab` and `ba` are verdicts in the words of the prompt shown, None for unreadable."""
    rows = []
    for order, verdicts in (("AB", ab), ("BA", ba)):
        for sample, verdict in zip(samples, verdicts, strict=True):
            status = "value" if verdict else "malformed"
            rows.append(
                Judgement(
                    "j", name, sample.id, sample.task, order, "", "", "", "stop", status, verdict
                )
            )
    return rows


def scored(name, samples, ab, ba, published_as="j"):
    rows = score_set(
        samples,
        judged(name, samples, ab, ba),
        judge="j",
        set_name=name,
        published_as=published_as,
        n_resamples=20,
    )
    return {(row.metric, row.convention): row for row in rows}, rows


def test_better_order_per_subset_by_hand():
    """Subset x: AB 2 of 2, BA 0 of 2. Subset y: AB 0 of 3, BA 2 of 3. Better per subset (2 + 2) /
    5,
    once a set 2 / 5, mean over both orders 2 / 5 (4 of 10).
    """
    samples = [pair(i, subset="x") for i in range(2)] + [pair(i, subset="y") for i in range(2, 5)]
    rows, _ = scored("evalbiasbench", samples, "AABBB", "AABBA")
    per_subset = rows["accuracy", paper.BETTER_PER_SUBSET]
    assert (per_subset.value, per_subset.meta["selection_gain"]) == (0.8, 0.4)
    assert per_subset.meta["orders"] == {"x": "AB", "y": "BA"}
    once = rows["accuracy", paper.BETTER]
    assert (once.value, once.meta["selection_gain"]) == (0.4, 0.0)
    assert rows["subset x", "both orders, strict"].value == 0.5
    other, _ = scored("lfqa_eval", samples, "AABBB", "AABBA")
    assert ("accuracy", paper.BETTER_PER_SUBSET) not in other


@pytest.mark.parametrize(
    ("ab", "ba", "value"),
    [
        ("A", "B", 1.0),  # right twice
        ("A", None, 1.0),  # right and unreadable: the sum is 1
        ("A", "A", 0.0),  # right and wrong
        (None, None, 0.0),
        ("B", "A", 0.0),
    ],
)
def test_judgebench_rule(ab, ba, value):
    rows, found = scored("judgebench", [pair(0, subset="math")], [ab], [ba])
    assert rows["accuracy", "JudgeBench's rule"].value == value
    assert rows["group math", "JudgeBench's rule"].value == value
    assert [row.convention for row in headline(found)] == ["JudgeBench's rule"]


def test_consistent_accuracy_stands_for_contextual_judge_bench_beside_the_parity_target():
    name = "contextual_judge_bench"
    samples = [pair(0, subset="refusal_answerable"), pair(1, subset="conciseness_qa")]
    rows, found = scored(name, samples, "AA", "BA", published_as=paper.SELENE_MINI)
    row = rows["consistent_accuracy", "right in both orders"]
    assert (row.value, row.published) == (0.5, 0.371) and headline(found) == [row]
    part = rows["consistent refusal_answerable", "right in both orders"]
    assert (part.value, part.published) == (1.0, 0.744)


def test_best_of_four_needs_every_pair():
    """Item x wins all three pairs in AB and two in BA: half. Item y, of another subset, none."""
    name = "reward_bench_2"
    samples = [pair(i, item="x", subset="Math") for i in range(3)]
    samples += [pair(i, item="y", subset="Focus") for i in range(3, 6)]
    rows, found = scored(name, samples, "AAABBB", "BBAAAA")
    assert [(r.metric, r.value, r.n) for r in headline(found)] == [("best_of_four", 0.25, 2)]
    assert rows["best_of_four Math", "wins against every wrong answer"].value == 0.5


def test_style_matrix_of_rm_bench():
    """Only right answers in a style at least as rich as the wrong one's win."""
    styles = ("concise", "detailed", "markdown")
    samples, verdicts = [], []
    for part in ("chat", "safety-refuse", "safety-response"):
        for i, right in enumerate(styles):
            for j, wrong in enumerate(styles):
                n = len(samples)
                samples.append(pair(n, subset=part, right_style=right, wrong_style=wrong))
                verdicts.append("A" if i >= j or part == "chat" else "B")
    swapped = ["B" if v == "A" else "A" for v in verdicts]
    rows, found = scored("rm_bench", samples, verdicts, swapped)
    values = {metric: row.value for (metric, _), row in rows.items()}
    assert (values["hard"], values["normal"], values["easy"]) == (0.5, 1.0, 1.0)
    # chat 1, safety 6 of 9 in each file: the mean of the two domains
    assert values["style_mean"] == pytest.approx((1 + 6 / 9) / 2)
    assert [row.metric for row in headline(found)] == ["style_mean"]
    assert values["concise over markdown"] == 0.5


def test_unreadable_score_as_zero_in_pearson():
    gold = [1, 2, 4, 5]
    samples = [
        Sample(f"s{i}", "s", "absolute", f"q {i}", "r", label=str(g), score=float(g))
        for i, g in enumerate(gold)
    ]
    said = [None, "3", "3", "4"]
    judgements = [
        Judgement(
            "j",
            "mt_bench",
            s.id,
            "absolute",
            "AB",
            "",
            "",
            "",
            "stop",
            "value" if v else "malformed",
            v,
        )
        for s, v in zip(samples, said)
    ]
    found = score_set(samples, judgements, judge="j", set_name="mt_bench", n_resamples=20)
    by = {(row.metric, row.convention): row.value for row in found}
    assert by["pearson", paper.UNREAD_AS_ZERO] == pytest.approx(
        np.corrcoef([0, 3, 3, 4], gold)[0, 1]
    )
    mean = 10 / 3
    assert by["pearson", "strict"] == pytest.approx(np.corrcoef([mean, 3, 3, 4], gold)[0, 1])
    assert by["pearson", paper.UNREAD_AS_ZERO] > by["pearson", "strict"]


def test_no_gap_to_cells_of_a_prompt_with_ties():
    cell = paper.published("GPT-4o", "auto_j")
    assert cell is not None and not cell.comparable and "A/B/Tie prompt" in cell.convention
    _, found = scored("auto_j", [pair(0), pair(1)], "AA", "BB", published_as="GPT-4o")
    assert headline(found)[0].status == "not comparable"
    own = paper.published(paper.SELENE_MINI, "auto_j")
    assert own is not None and own.comparable and own.known == "unverified"


def test_published_cells_name_metric_and_convention():
    def of(name):
        cell = paper.published("SFR-LLaMA-3.1-8B-Judge", name)
        return cell.metric, cell.convention

    assert of("evalbiasbench") == of("hhh_alignment") == ("accuracy", paper.BETTER_PER_SUBSET)
    assert of("lfqa_eval") == ("accuracy", paper.BETTER)
    assert of("flask") == ("pearson", "unreadable as 0.0")
    assert of("reward_bench")[0] == "section_mean"
    assert paper.AVERAGES["task average"].known == "read"


def test_llmbar_and_math_prm_stand_beside_the_submitted_subset_scores():
    name = paper.SELENE_MINI
    assert parity.target(name, "llmbar", "llmbar-natural").value == 0.92
    math = parity.target(name, "rewardbench_math_prm", "math-prm")
    assert math.value == pytest.approx(0.98546, abs=1e-5)
    samples = [pair(0, subset="llmbar-natural"), pair(1, subset="llmbar-adver-GPTOut")]
    _, found = scored("llmbar", samples, "AA", "BB", published_as=name)
    beside = {row.metric: row.published for row in found if row.published is not None}
    assert beside == {"subset llmbar-natural": 0.92, "subset llmbar-adver-GPTOut": 28 / 47}


def test_better_order_gives_a_judge_that_knows_nothing_more_than_half():
    samples = [pair(i, subset=str(i % 6), label="AB"[i % 2]) for i in range(80)]
    table = selection_table({"evalbiasbench": samples}, n_runs=60)
    value = table.set_index(["judge", "convention"])["value"]
    once, each = value[RANDOM_JUDGE, paper.BETTER], value[RANDOM_JUDGE, paper.BETTER_PER_SUBSET]
    assert 0.46 < value[RANDOM_JUDGE, "both orders, strict"] < 0.54 < each and once < each
    assert value[FIRST_JUDGE, "both orders, strict"] == 0.5
    assert value[FIRST_JUDGE, "JudgeBench's rule"] == 0.0
