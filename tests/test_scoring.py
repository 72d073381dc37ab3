"""Scores that cannot lie: conventions counted by hand, bounds under injected faults, task means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import (
    compare,
    headline,
    not_run_score,
    read_scores,
    score_set,
    scores_table,
    task_means,
)
from selene_lib.evaluation.scoring.lenient import RULES, lenient_scores
from selene_lib.evaluation.scoring.rescore import read_judgements, rescore
from selene_lib.evaluation.scoring.reward_bench import section_weights
from selene_lib.evaluation.scoring.rows import against
from selene_lib.files import write_jsonl
from selene_lib.paper import values as paper
from selene_lib.prompts.rendering import format_reply
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, Judgement, Sample, Score, swap_verdict

CORRUPTIONS = (
    "",
    "I'm sorry, but I can't assist with that.",
    "**Result:** A or B",
    "**Result:** 4.5",
    "**Result:** Apple",
    "The winner is A.",
    "**Reasoning:** on and",
)


def sample(i: int, task: str, label: str, **changes) -> Sample:
    fields = {"response_b": "other" if task == "pairwise" else None, "label": label}
    return Sample(f"s{i}", "test", task, "do it", "done", **{**fields, **changes})


def judged(
    s: Sample, reply: str, order: str = "AB", judge: str = "j", set_name: str = "toy", **changes
) -> Judgement:
    verdict = parse_verdict(reply, s.task)
    return Judgement(
        judge,
        set_name,
        s.id,
        s.task,
        order,
        "full/x",
        "0",
        reply,
        "stop",
        verdict.status,
        verdict.value,
        **changes,
    )


def row(scores: Sequence[Score], metric: str, convention: str) -> Score:
    (found,) = [s for s in scores if (s.metric, s.convention) == (metric, convention)]
    return found


@pytest.fixture
def pairs() -> tuple[list[Sample], list[Judgement]]:
    """Six pairs. AB verdicts: right, right, right, wrong, unreadable, on a tie. BA: right, right,
    wrong, wrong, right, on a tie.
    """
    labels = ["A", "B", "A", "B", "A", "tie"]
    samples = [sample(i, "pairwise", label) for i, label in enumerate(labels)]
    ab = ["A", "B", "A", "A", "?!", "A"]
    ba = ["B", "A", "A", "B", "B", "A"]
    judgements = [judged(s, f"**Result:** {v}", "AB") for s, v in zip(samples, ab)]
    judgements += [judged(s, f"**Result:** {v}", "BA") for s, v in zip(samples, ba)]
    return samples, judgements


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


def honest_run(
    task: str, n: int, accuracy: float, rng: np.random.Generator
) -> tuple[list[Sample], list[Judgement]]:
    labels = LABELS[task]
    samples = [sample(i, task, str(rng.choice(labels)), group=f"g{i // 2}") for i in range(n)]
    judgements = []
    for s in samples:
        for order in ("AB", "BA") if task == "pairwise" else ("AB",):
            right = s.label if order == "AB" else swap_verdict(s.label)
            verdict = (
                right
                if rng.random() < accuracy
                else str(rng.choice([v for v in labels if v != right]))
            )
            judgements.append(judged(s, format_reply("because", verdict), order))
    return samples, judgements


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


def test_lenient_scoring_lists_every_item_that_moves(pairs):
    samples, judgements = pairs
    extra = judged(samples[3], "Surely **Result:** B it is, not **Result:** A", "AB")
    judgements = [extra if (j.sample_id, j.order) == ("s3", "AB") else j for j in judgements]
    rows, items = lenient_scores(samples, judgements, judge="j", set_name="toy", seed=1)
    by_rule = {r.rule: r for r in rows}
    assert set(by_rule) == {rule.name for rule in RULES}
    better = by_rule["better order"]
    assert (
        better.strict == pytest.approx(6 / 12)
        and better.as_published == pytest.approx(4 / 6)
        and better.gain == pytest.approx(2 / 12)
    )
    moved = {
        (i.sample_id, i.order, i.strict_points, i.published_points)
        for i in items
        if i.rule == "better order"
    }
    assert moved == {("s3", "AB", 0.0, 1.0)}
    half = {(i.sample_id, i.order, i.published_points) for i in items if i.rule == "RewardBench"}
    assert half == {("s3", "AB", 1.0), ("s4", "AB", 0.5)}
    assert by_rule["RewardBench"].n_differ == 2


def test_lenient_reading_finds_verdicts_that_are_not_there():
    samples = [
        sample(0, "classification", "No"),
        sample(1, "absolute", "4", score=4.0),
        sample(2, "absolute", "2", score=2.0),
    ]
    replies = ["I do not know.", "**Result:** 4.5", "Score: none"]
    rows, items = lenient_scores(
        samples, [judged(s, r) for s, r in zip(samples, replies)], judge="j", set_name="toy"
    )
    lenient = {
        i.sample_id: (i.strict_verdict, i.published_verdict)
        for i in items
        if i.rule == "first label anywhere"
    }
    assert lenient == {"s0": ("", "No"), "s1": ("", "4")}
    assert {r.task for r in rows} == {"absolute", "classification"}


def test_task_means_are_means_of_sets_then_of_tasks():
    def score(task: str, set_name: str, value: float, error: float) -> Score:
        meta = {"headline": True, "standard_error": error}
        return Score("j", set_name, task, "accuracy", "strict", value, 100, 1, meta=meta)

    scores = [
        score("pairwise", "a", 0.8, 0.03),
        score("pairwise", "b", 0.6, 0.04),
        score("classification", "c", 0.9, 0.02),
    ]
    means = {m.task: m for m in task_means(scores)}
    assert means["pairwise"].value == pytest.approx(0.7) and means[
        "overall"
    ].value == pytest.approx(0.8)
    error = math.sqrt((0.05 / 2) ** 2 + 0.02**2) / 2
    assert means["overall"].ci95_high - means["overall"].value == pytest.approx(
        1.959964 * error, abs=1e-6
    )
    assert (means["overall"].n, means["overall"].n_unparsed, means["overall"].n_sets) == (300, 3, 3)


def test_task_means_can_take_exact_scores_instead_of_correlations():
    rng = np.random.default_rng(0)
    samples, judgements = honest_run("absolute", 50, 0.6, rng)
    scores = score_set(samples, judgements, judge="j", set_name="toy")
    exact = (
        sum(parse_verdict(j.reply, j.task).value == s.label for s, j in zip(samples, judgements))
        / 50
    )
    assert next(
        m for m in task_means(scores, absolute_metric="accuracy") if m.task == "absolute"
    ).value == pytest.approx(exact)


def test_compare_finds_a_true_difference_and_no_false_one():
    rng = np.random.default_rng(2)
    samples, weak = honest_run("pairwise", 150, 0.55, rng)
    names = {"weak": weak}
    for name, accuracy in (("strong", 0.85), ("alike", 0.55)):
        names[name] = [
            judged(s, format_reply("x", right(s, o) if rng.random() < accuracy else wrong(s, o)), o)
            for s in samples
            for o in ("AB", "BA")
        ]
    judgements = [replace(j, judge=name) for name, rows in names.items() for j in rows]
    better, same = compare({"toy": samples}, judgements, [("strong", "weak"), ("alike", "weak")])
    assert better.difference > 0.2 and better.ci95_low > 0 and better.q < 0.01
    assert same.ci95_low < 0 < same.ci95_high and same.q > 0.05 and 0.03 < same.smallest_gap < 0.2


def right(s: Sample, order: str) -> str:
    return s.label if order == "AB" else swap_verdict(s.label)


def wrong(s: Sample, order: str) -> str:
    return swap_verdict(right(s, order))


def test_published_subset_scores_of_reward_bench_give_the_published_sections_and_mean():
    for section, names in paper.REWARD_BENCH_SECTIONS.items():
        weights = np.array([paper.REWARD_BENCH_WEIGHTS[name] for name in names])
        values = np.array([paper.SELENE_REWARD_BENCH_SUBSETS[name] for name in names])
        assert (
            round(float(values @ weights / weights.sum()), 4)
            == paper.SELENE_REWARD_BENCH_SECTIONS[section]
        )
    subsets = np.array(list(paper.SELENE_REWARD_BENCH_SUBSETS))
    mean = section_weights(subsets) @ np.array(list(paper.SELENE_REWARD_BENCH_SUBSETS.values()))
    assert (
        round(float(mean), 4) == 0.8913 == paper.published(paper.SELENE_MINI, "reward_bench").value
    )
    assert sum(paper.REWARD_BENCH_WEIGHTS.values()) - 984 + 447 == 2985


def test_reward_bench_is_scored_as_the_mean_of_its_sections():
    names = list(paper.REWARD_BENCH_WEIGHTS)
    samples = [sample(i, "pairwise", "A", meta={"subset": names[i % 23]}) for i in range(46)]
    bad = {"math-prm", "donotanswer"}
    verdicts = {s.id: "B" if s.meta["subset"] in bad else "A" for s in samples}
    judgements = [
        judged(s, f"**Result:** {verdicts[s.id]}", "AB", set_name="reward_bench") for s in samples
    ]
    judgements += [
        judged(s, f"**Result:** {swap_verdict(verdicts[s.id])}", "BA", set_name="reward_bench")
        for s in samples
    ]
    scores = score_set(
        samples, judgements, judge="j", set_name="reward_bench", published_as=paper.SELENE_MINI
    )
    (main,) = headline(scores)
    assert main.metric == "section_mean" and main.value == pytest.approx(
        (1 + 1 + (1 - 136 / 740) + 0.5) / 4
    )
    assert main.published == 0.8913 and main.status in ("differs", "within interval")
    few = [s for s in samples if s.meta["subset"] == "math-prm"]
    (main,) = headline(
        score_set(
            few, judgements, judge="j", set_name="reward_bench", published_as=paper.SELENE_MINI
        )
    )
    assert main.metric == "accuracy" and main.published is None


def test_status_speaks_of_the_published_value():
    base = Score(
        "j", "financebench", "classification", "accuracy", "strict", 0.7171, 150, 0, 0.64, 0.78
    )
    cell = paper.published(paper.SELENE_MINI, "financebench")
    assert against(base, cell).status == "matches"
    assert against(replace(base, value=0.73), cell).status == "within interval"
    assert against(replace(base, value=0.5, ci95_low=0.4, ci95_high=0.6), cell).status == "differs"
    assert against(replace(base, value=None), cell).status == "undefined"
    assert against(base, None).status == "no published value"
    absent = not_run_score(
        "j",
        "flask",
        "absolute",
        "pearson",
        paper.published(paper.SELENE_MINI, "flask"),
        "not available: download it",
    )
    assert (absent.status, absent.value, absent.published) == (
        "not run",
        None,
        0.613,
    ) and "unverified" in absent.published_note


def test_published_cells_are_the_facts_we_hold():
    assert len({(c.judge, c.set) for c in paper.PUBLISHED}) == len(paper.PUBLISHED)
    selene = {
        c.set: c.value
        for c in paper.PUBLISHED
        if c.judge == paper.SELENE_MINI and c.set in paper.BENCHMARK_NAMES
    }
    assert set(selene) == set(paper.BENCHMARK_NAMES)
    by_task = {
        task: np.mean([selene[s] for s in paper.BENCHMARK_NAMES if paper.TASK_OF[s] == task])
        for task in LABELS
    }
    assert round(float(np.mean(list(by_task.values()))), 3) == paper.AVERAGES["task average"].value
    assert (
        round(float(np.mean(list(selene.values()))), 3) == paper.AVERAGES["benchmark average"].value
    )
    assert {c.known for c in paper.PUBLISHED if c.judge == "GPT-4o"} == {"read"}


def test_two_runs_write_the_same_bytes_and_read_back_the_same(tmp_path, pairs):
    files = []
    for name in ("one.csv", "two.csv"):
        table = scores_table(score_set(*pairs, judge="j", set_name="toy", seed=5))
        table.to_csv(tmp_path / name, index=False)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert read_scores(tmp_path / "one.csv") == score_set(*pairs, judge="j", set_name="toy", seed=5)


def test_stored_replies_are_scored_again_with_todays_parser(tmp_path, pairs):
    samples, judgements = pairs
    stale = [replace(j, status="value", verdict="A") for j in judgements]
    write_jsonl(tmp_path / "toy.jsonl", stale)
    assert rescore(samples, read_judgements(tmp_path)) == score_set(
        samples, judgements, judge="j", set_name="toy"
    )
    with pytest.raises(UserError, match="cover 2 sets"):
        rescore(samples, [*stale, replace(stale[0], set="other")])
    with pytest.raises(UserError, match="no judgements at"):
        read_judgements(tmp_path / "nothing")
    with pytest.raises(UserError, match="none of the 12 judgements"):
        rescore([replace(s, id="x" + s.id) for s in samples], stale)


def test_a_metric_without_a_value_is_undefined_not_unrun():
    from selene_lib.evaluation.scoring.rows import against, not_run_score
    from selene_lib.paper.values import SELENE_MINI, published

    cell = published(SELENE_MINI, "biggen_bench")
    ran = Score("mine", "biggen_bench", "absolute", "pearson", "strict", None, 60, 0)
    assert against(ran, cell).status == "undefined"
    assert (
        not_run_score("mine", "biggen_bench", "absolute", "pearson", cell, "absent").status
        == "not run"
    )
