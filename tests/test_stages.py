"""What the notebooks call: a forecast of cost, arms beside each other, tables of scores."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace

import pandas as pd
import pytest
from replayed import replay_judge
from training_world import make_base, make_pairs

from selene_lib.errors import UserError
from selene_lib.judges.names import arm_names
from selene_lib.records import Sample, Score
from selene_lib.steps.curate import forecast, open_priced_generator
from selene_lib.steps.train import compare_losses, held_out_pairs, train_arms
from selene_lib.training.spec import TrainSpec

pytestmark = pytest.mark.slow


SAMPLES = [
    Sample(f"s{i}", "made", "classification", "good", "kind", rubric="is it kind", label="Yes")
    for i in range(5)
]


def test_a_forecast_counts_requests_and_dollars_and_asks_nobody(tmp_path):
    prices = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_reply_tokens": 10.0}
    critic = open_priced_generator("server", "m", "http://localhost:9/v1", budget_usd=3.0, **prices)
    facts = forecast(SAMPLES, critic, store=tmp_path / "store.jsonl", seed=0, family="nano")[
        "forecast"
    ]
    assert (facts["asks a server"], facts["n_requests"], facts["n_stored"]) == ("yes", 10, 0)
    expected = (facts["n_prompt_tokens"] + 10 * facts["n_reply_tokens_max"]) / 1e6
    assert facts["usd_max"] == pytest.approx(expected)
    free = open_priced_generator("server", "m", "http://localhost:9/v1")
    assert (
        forecast(SAMPLES, free, store=tmp_path / "store.jsonl", seed=0, family="nano")["forecast"][
            "usd_max"
        ]
        is None
    )


def test_no_forecast_where_nothing_is_paid_and_no_budget_without_prices(tmp_path):
    for kind in ("teacher", "published"):
        table = forecast(
            SAMPLES,
            open_priced_generator(kind, "", ""),
            store=tmp_path / "s.jsonl",
            seed=0,
            family="nano",
        )
        assert table["forecast"].to_dict() == {"asks a server": "no"}
    critic = open_priced_generator("server", "m", "http://localhost:9/v1", budget_usd=3.0)
    with pytest.raises(UserError, match="needs the prices"):
        forecast(SAMPLES, critic, store=tmp_path / "s.jsonl", seed=0, family="nano")


def test_held_out_pairs_are_drawn_by_seed_and_id_and_not_by_place():
    pairs = make_pairs(12)
    chosen = held_out_pairs(pairs, 5, seed=1)
    assert chosen == held_out_pairs(pairs[::-1], 5, seed=1) != held_out_pairs(pairs, 5, seed=2)
    assert Counter(p.id for p in held_out_pairs(pairs, 99, seed=1)) == Counter(p.id for p in pairs)


def test_losses_are_compared_over_their_seeds_by_hand():
    rows = [("dpo_nll", 0, 0.25, 0.5), ("dpo_nll", 1, 0.75, 1.0), ("nll", 0, 0.5, 0.5)]
    held_out = pd.DataFrame(rows, columns=["loss_kind", "seed", "nll", "reward_accuracy"])
    table = compare_losses(held_out)
    assert table.loc["dpo_nll", "nll"].tolist() == [0.5, 0.25, 0.75]
    assert table.loc["dpo_nll", "reward_accuracy"].tolist() == [0.75, 0.5, 1.0]
    assert list(table.index) == ["dpo_nll", "nll"]


def test_every_arm_is_measured_on_the_same_held_out_pairs(tmp_path):
    base = make_base(tmp_path / "base")
    pairs = make_pairs(10)
    spec = TrainSpec(
        base_model=str(base),
        n_steps=3,
        batch_size=4,
        lora_r=2,
        learning_rate=1e-2,
        reference_cache=str(tmp_path / "reference"),
    )
    arms = arm_names("dpo_nll,nll", "0,1", "0")
    curves, telemetry, held_out = train_arms(
        spec, arms, pairs[:7], work=tmp_path / "arms", out=tmp_path / "out", validation=pairs[7:]
    )
    assert held_out["arm"].tolist() == ["dpo_nll-seed0", "dpo_nll-seed1", "nll-seed0"]
    assert set(held_out["n_pairs"]) == {3}
    assert (
        held_out[["dpo", "nll", "margin"]].notna().all(axis=None) and held_out["nll"].nunique() == 3
    )
    assert (
        curves.groupby("arm").size().tolist()
        == telemetry.groupby("arm").size().tolist()
        == [3, 3, 3]
    )
    again = train_arms(
        spec, arms, pairs[:7], work=tmp_path / "arms", out=tmp_path / "out", validation=pairs[7:]
    )[2]
    pd.testing.assert_frame_equal(again, held_out)
    with pytest.raises(UserError, match="other held-out pairs"):
        train_arms(
            spec,
            arms[:1],
            pairs[:7],
            work=tmp_path / "arms",
            out=tmp_path / "out",
            validation=pairs[8:],
        )


def test_trl_s_arm_is_measured_on_held_out_pairs_too_and_arms_without_any_are_counted(tmp_path):
    base = make_base(tmp_path / "base")
    pairs = make_pairs(6)
    spec = TrainSpec(
        base_model=str(base),
        n_steps=2,
        batch_size=1,
        lora_r=2,
        learning_rate=1e-2,
        micro_batch_pairs=1,
        reference_cache=str(tmp_path / "r"),
    )
    measured = {}
    for trainer in ("selene", "trl"):
        folders = {"work": tmp_path / trainer / "arms", "out": tmp_path / trainer / "out"}
        arms = train_arms(
            replace(spec, trainer=trainer),
            [("dpo_nll", 0)],
            pairs[:4],
            **folders,
            validation=pairs[4:],
        )
        measured[trainer] = arms[2].iloc[0]
    for name in ("dpo", "nll", "margin", "reward_accuracy"):
        assert measured["trl"][name] == pytest.approx(measured["selene"][name], rel=1e-3, abs=1e-4)
    without = train_arms(
        spec, [("dpo_nll", 0)], pairs[:4], work=tmp_path / "no", out=tmp_path / "no-out"
    )[2]
    assert compare_losses(without).loc["dpo_nll", "n_arms_without_held_out_pairs"] == 1


def test_no_arm_to_train_is_a_user_error():
    for losses, seeds in (("", "0"), ("dpo_nll", " ")):
        with pytest.raises(UserError, match="name no arm"):
            arm_names(losses, seeds, "0")


def test_arms_judge_beside_each_other_what_they_judge_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    from selene_lib import nano
    from selene_lib.judges.judging import Asking, judge_arms, judge_sets
    from selene_lib.judges.opening import Limits, open_arm

    sets = {name: nano.make_set(name, 6, seed=3) for name in ("nano-absolute", "nano-pairwise")}
    limits, asking = Limits(max_new_tokens=60, max_prompt_tokens=512), Asking("nano")
    names = {"base": None, "twin": None}
    together = judge_arms("embedded", names, sets, tmp_path / "together", asking, limits)
    with ExitStack() as opened:
        judges = [opened.enter_context(open_arm("embedded", name, None, limits)) for name in names]
        alone = judge_sets(judges, sets, tmp_path / "alone", asking, progress=False)
    assert together == alone and len(together) == 2 * (6 + 12)
    kept = [
        path.relative_to(tmp_path / "alone")
        for path in sorted((tmp_path / "alone").rglob("*.jsonl"))
    ]
    assert len(kept) == 4 and all(
        (tmp_path / "together" / k).read_bytes() == (tmp_path / "alone" / k).read_bytes()
        for k in kept
    )


def test_scores_are_shown_for_base_and_main_arm_with_every_set_that_was_not_run():
    from selene_lib.evaluation.scoring import not_run_score
    from selene_lib.steps.evaluate import shown_scores

    judges = ("base", "nll-seed0", "dpo_nll-seed0", "dpo_nll-seed1")
    scored = [
        Score(j, "made", "pairwise", "accuracy", "as asked", 0.5, 4, 0, meta={"headline": True})
        for j in judges
    ]
    absent = [not_run_score(j, "flask", "absolute", "pearson", None, "copy it") for j in judges]
    table = shown_scores([*scored, *absent])
    assert table[["judge", "set"]].to_numpy().tolist() == [
        ["base", "made"],
        ["dpo_nll-seed0", "made"],
        ["dpo_nll-seed0", "flask"],
    ]
    assert table["status"].tolist()[-1] == "not run"
    lfqa = Score(
        "base", "lfqa_eval", "pairwise", "accuracy", "x", 0.5, 4, 0, meta={"headline": True}
    )
    for known, shown in (("unverified: t", "0.688 (unverified)"), ("read: t", "0.688")):
        score = replace(lfqa, published=0.688, published_note=known)
        assert shown_scores([score, *scored])["published"].tolist()[0] == shown


def test_every_convention_of_the_main_arm_is_shown_with_what_selection_gives():
    from selene_lib.steps.evaluate import convention_table

    row = Score("dpo_nll-seed0", "lfqa_eval", "pairwise", "accuracy", "better", 0.6, 9, 0)
    better = replace(row, meta={"selection_gain": 0.1}, published=0.7, published_note="read: x")
    rows = [better, replace(row, judge="base"), replace(row, meta={"subset": "part"})]
    table = convention_table(rows)
    assert table[["set", "metric", "convention", "value"]].to_numpy().tolist() == [
        ["lfqa_eval", "accuracy", "better", 0.6]
    ]
    assert (table["selection_gain"].item(), table["published"].item()) == (0.1, "0.700")


def test_gains_of_a_loss_are_taken_over_its_seeds():
    from selene_lib.steps.evaluate import loss_table

    judges = ["base", "dpo_nll-seed0", "dpo_nll-seed1", "nll-seed0"]
    table = loss_table(pd.DataFrame({"judge": judges, "gain_points": [0.0, 10.0, 20.0, 5.0]}))
    assert table.loc["dpo_nll"].tolist() == [2, 15.0, 10.0, 20.0]
    assert table.loc["nll"].tolist() == [1, 5.0, 5.0, 5.0]


def test_the_lenient_table_shows_what_a_published_rule_is_worth(tmp_path):
    """One pair right in both orders, one unparsed in both.

    Strict 0.5, half a point for unparsed 0.75, without it 1.0.
    """
    from selene_lib.judges.judging import judge_samples
    from selene_lib.steps.evaluate import lenient_table

    pairs = [
        Sample(f"p{i}", "made", "pairwise", f"go {i}", "one", "two", label="A") for i in range(2)
    ]
    said = {
        ("p0", "AB"): "**Result:** A",
        ("p0", "BA"): "**Result:** B",
        ("p1", "AB"): "I",
        ("p1", "BA"): "I",
    }
    found = []
    for name in ("base", "dpo_nll-seed0"):
        judge = replay_judge(name, pairs, said)
        found += judge_samples(
            judge, "made", pairs, store=tmp_path / f"{name}.jsonl", progress=False
        )
    (row,) = lenient_table({"made": pairs}, found, orders="both", seed=0).to_dict("records")
    assert (row["set"], row["n"], row["strict"], row["RewardBench"], row["better order"]) == (
        "made",
        2,
        0.5,
        0.75,
        0.5,
    )
    assert row["unparsed dropped"] == 1.0
    assert lenient_table({"made": pairs}, found, orders="random", seed=0).empty


def test_without_a_votes_file_the_run_s_judges_meet_and_gold_labels_vote(tmp_path):
    from selene_lib.evaluation.arena import arena_table
    from selene_lib.judges.judging import judge_samples
    from selene_lib.steps.domains import open_votes

    items = [
        Sample(
            f"c{i}", "made", "classification", f"go {i}", "good", rubric="is it kind", label="Yes"
        )
        for i in range(8)
    ]
    for name, n_right in (("base", 2), ("dpo_nll-seed0", 7)):
        said = {
            (item.id, "AB"): f"**Result:** {'Yes' if i < n_right else 'No'}"
            for i, item in enumerate(items)
        }
        for set_name in ("made", "shifted"):
            store = tmp_path / name / f"{set_name}.jsonl"
            judge_samples(
                replay_judge(name, items, said),
                set_name,
                items,
                store=store,
                progress=False,
            )
    catalogue = pd.DataFrame(
        {"name": ["made", "shifted", "absent"], "role": ["benchmark", "shifted", "benchmark"]}
    )
    battles = open_votes("", tmp_path, {"made": items, "shifted": items}, catalogue, 3)
    assert len(battles) == 8 and len(set(battles.voter.tolist())) == 8
    table = arena_table(battles, n_resamples=50, by="voter").set_index("judge")
    assert table.loc["dpo_nll-seed0", ["n_wins", "n_ties", "n_losses"]].tolist() == [5, 3, 0]
    (tmp_path / "votes.csv").write_text("left,right,winner\na,b,left\n")
    assert open_votes(str(tmp_path / "votes.csv"), tmp_path, {}, catalogue, 3).judges == ("a", "b")


def test_no_trained_judge_is_a_user_error():
    from selene_lib.judges.names import main_arm

    with pytest.raises(UserError, match="run notebook 04 first"):
        main_arm(["base"])
