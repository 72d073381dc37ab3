"""Lenient rules, task means, comparisons, published values, and scores read back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from toy_judgements import honest_run, judged, right, sample, six_pairs, wrong

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import (
    compare,
    headline,
    not_run_score,
    read_scores,
    score_set,
    scores_table,
    streamed,
    task_means,
)
from selene_lib.evaluation.scoring.lenient import RULES, lenient_scores
from selene_lib.evaluation.scoring.rescore import read_judgements, rescore
from selene_lib.evaluation.scoring.reward_bench import section_weights
from selene_lib.evaluation.scoring.rows import against
from selene_lib.evaluation.scoring.streamed import rescore_files
from selene_lib.files import append_jsonl, write_jsonl, write_parquet
from selene_lib.paper import values as paper
from selene_lib.prompts.rendering import format_reply
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, Judgement, Sample, Score, swap_verdict


@pytest.fixture
def pairs() -> tuple[list[Sample], list[Judgement]]:
    return six_pairs()


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


def test_a_mean_never_leaves_its_scale_and_knows_the_majority():
    def row(value, error, majority=0.6, metric="accuracy", task="classification"):
        return Score(
            "j",
            "s",
            task,
            metric,
            "strict",
            value,
            60,
            0,
            baseline_majority=majority,
            meta={"headline": True, "standard_error": error},
        )

    nothing = {m.task: m for m in task_means([row(0.0, 0.026)])}["overall"]
    assert (nothing.ci95_low, nothing.majority) == (0.0, 0.6)
    everything = task_means([row(0.99, 0.026)])[0]
    assert everything.ci95_high == 1.0
    correlation = task_means([row(0.0, 0.1, None, "pearson", "absolute")])[0]
    assert correlation.ci95_low < 0
    assert correlation.majority is None


def test_one_score_for_all_counts_as_no_correlation_and_not_as_no_task():
    def row(task: str, metric: str, value: float | None) -> Score:
        meta = {"headline": True, "standard_error": 0.03 if value is not None else None}
        return Score("j", f"a-{task}", task, metric, "strict", value, 101, 0, meta=meta)

    scores = [row("absolute", "pearson", None), row("pairwise", "accuracy", 0.5)]
    means = {m.task: m for m in task_means(scores)}
    assert means["absolute"].value == 0.0 and means["overall"].value == 0.25
    assert means["absolute"].ci95_high == pytest.approx(0.196, abs=1e-4)
    assert means["overall"].n == 202


def test_a_judge_that_always_says_a_is_no_certainty():
    samples = [sample(i, "pairwise", "AB"[i % 2]) for i in range(240)]
    replies = [judged(s, "**Result:** A", order) for s in samples for order in ("AB", "BA")]
    (main,) = headline(score_set(samples, replies, judge="j", set_name="toy"))
    assert main.value == 0.5
    assert main.ci95_low == pytest.approx(0.437, abs=2e-3)
    assert main.meta["standard_error"] > 0.03


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


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_replies_scored_block_by_block_give_the_same_rows_and_errors(
    tmp_path, pairs, monkeypatch, block
):
    samples, judgements = pairs
    monkeypatch.setattr(streamed, "BLOCK_SAMPLES", block)
    kept, replies = tmp_path / "samples.parquet", tmp_path / "replies"
    write_parquet(kept, samples, Sample)
    other = [replace(j, judge="k") for j in judgements[::-1]]
    append_jsonl(replies / "a.jsonl", judgements)
    append_jsonl(replies / "b.jsonl", other)
    assert rescore_files(kept, replies, n_resamples=50) == rescore(
        samples, [*judgements, *other], n_resamples=50
    )
    write_jsonl(tmp_path / "samples.jsonl", samples)
    one = rescore_files(tmp_path / "samples.jsonl", replies / "a.jsonl", n_resamples=50)
    assert one == rescore(samples, judgements, n_resamples=50)
    last = samples[-1].id
    wrong = {
        "cover 2 sets": (samples, [*judgements, replace(judgements[0], set="other")]),
        "none of the": ([replace(s, id="x" + s.id) for s in samples], judgements),
        "have no judgement": (samples, [j for j in judgements if j.sample_id != last]),
        f"k on .*{len(samples) - 1} of": (
            samples,
            [*judgements, *(j for j in other if j.sample_id == last)],
        ),
    }
    for number, (words, (mine, found)) in enumerate(wrong.items()):
        write_parquet(kept, mine, Sample)
        path = tmp_path / f"wrong{number}.jsonl"
        append_jsonl(path, found)
        for score in (lambda: rescore(mine, found), lambda: rescore_files(kept, path)):  # noqa: B023
            with pytest.raises(UserError, match=words):
                score()


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
