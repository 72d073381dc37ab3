"""Are ratings right by hand, the same in any order, and do intervals hold the truth as they say?"""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from selene_lib.cli import app
from selene_lib.errors import UserError
from selene_lib.evaluation.arena import (
    Battles,
    arena_table,
    battles_of_judges,
    bootstrap_ratings,
    bradley_terry,
    coverage_study,
    elo,
    fit_bradley_terry,
    printed_interval,
    read_votes,
    sequential_elo,
    shuffle_elo,
    simulate_battles,
)
from selene_lib.records import Judgement, Sample


def two_judges(wins: int, ties: int, losses: int) -> Battles:
    scores = np.array([1.0] * wins + [0.5] * ties + [0.0] * losses)
    return Battles(("a", "b"), np.zeros(len(scores), int), np.ones(len(scores), int), scores)


def write_votes(path, rows, header="left,right,winner"):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_elo_by_hand():
    battles = Battles(
        ("a", "b", "c"), np.array([0, 1, 2]), np.array([1, 2, 0]), np.array([1.0, 0.5, 0.0])
    )
    first = 16.0  # equals: 32 * (1 - 0.5)
    gain_b = 32 * (0.5 - 1 / (1 + 10 ** (first / 400)))
    a, b, c = 1200 + first, 1200 - first + gain_b, 1200 - gain_b
    gain_c = 32 * (0 - 1 / (1 + 10 ** ((a - c) / 400)))
    np.testing.assert_allclose(sequential_elo(battles), [a - gain_c, b, c + gain_c], atol=1e-9)


def test_printed_interval_is_the_leaderboards():
    np.testing.assert_allclose(printed_interval(np.array([0, 99, 399])), [0, 78.4, 39.2])


@pytest.mark.parametrize(("wins", "ties", "losses"), [(3, 0, 1), (6, 4, 3), (50, 20, 50)])
def test_bradley_terry_of_two_judges_has_a_closed_form(wins, ties, losses):
    fit = fit_bradley_terry(two_judges(wins, ties, losses), ridge=1e-9)
    assert fit.ratings[0] - fit.ratings[1] == pytest.approx(400 * np.log10(wins / losses), abs=1e-3)
    assert fit.ratings.mean() == pytest.approx(1200)
    assert fit.tie_log_odds == (
        pytest.approx(np.log(ties / np.sqrt(wins * losses)), abs=1e-4) if ties else -np.inf
    )


def test_half_ties_count_half_a_win():
    fit = fit_bradley_terry(two_judges(5, 2, 2), ties="half", ridge=1e-9)
    assert fit.ratings[0] - fit.ratings[1] == pytest.approx(400 * np.log10(6 / 3), abs=1e-3)


def test_ratings_agree_with_a_general_optimiser():
    from scipy.optimize import minimize

    battles = simulate_battles([0, 60, 130, -40], 400, np.random.default_rng(3))

    def loss(parameters):
        theta, eta = np.append(0, parameters[:3]), parameters[3]
        half = (theta[battles.left] - theta[battles.right]) / 2
        chosen = np.where(
            battles.score_left == 1, half, np.where(battles.score_left == 0, -half, eta)
        )
        return np.sum(np.logaddexp(np.logaddexp(half, -half), eta) - chosen)

    best = minimize(loss, np.zeros(4), tol=1e-12).x
    fit = fit_bradley_terry(battles, ridge=0)
    np.testing.assert_allclose(
        (fit.ratings - fit.ratings[0])[1:], best[:3] * 400 / np.log(10), atol=0.01
    )
    assert fit.tie_log_odds == pytest.approx(best[3], abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(30, 120), st.integers(0, 2**31))
def test_order_and_sides_do_not_matter(n_judges, n, seed):
    rng = np.random.default_rng(seed)
    battles = simulate_battles(rng.normal(0, 100, n_judges), n + 30 * n_judges, rng)
    mirrored = Battles(battles.judges, battles.right, battles.left, 1 - battles.score_left)
    expected = fit_bradley_terry(battles)
    for same in (battles.shuffle(rng), mirrored):
        np.testing.assert_allclose(fit_bradley_terry(same).ratings, expected.ratings, atol=1e-6)
        np.testing.assert_array_equal(
            bootstrap_ratings(same, n_resamples=3), bootstrap_ratings(battles, n_resamples=3)
        )


def test_a_judge_that_never_lost_is_marked_and_finite():
    left, right = np.array([0, 0, 1, 2, 1]), np.array([1, 2, 2, 1, 2])
    frame = arena_table(
        Battles(("top", "b", "c"), left, right, np.array([1.0, 1.0, 1.0, 1.0, 0.5])),
        n_resamples=50,
        n_shuffles=5,
    )
    assert frame.judge[0] == "top" and np.isfinite(frame.rating).all()
    assert dict(zip(frame.judge, frame.finite)) == {"top": False, "b": True, "c": True}


def test_without_the_prior_such_a_judge_is_an_error():
    battles = Battles(("a", "b"), np.zeros(3, int), np.ones(3, int), np.ones(3))
    with pytest.raises(ValueError, match="no finite maximum"):
        fit_bradley_terry(battles, ridge=0)


def test_unlinked_groups_are_refused():
    battles = Battles(
        ("a", "b", "c", "d"), np.array([0, 2]), np.array([1, 3]), np.array([1.0, 1.0])
    )
    with pytest.raises(UserError, match="2 groups of judges never met"):
        fit_bradley_terry(battles)


def test_bootstrap_spread_matches_the_closed_form():
    battles = simulate_battles(np.linspace(-100, 100, 6), 3000, np.random.default_rng(5))
    spread = bootstrap_ratings(battles, n_resamples=1500, seed=1).std(axis=0)
    np.testing.assert_allclose(spread, fit_bradley_terry(battles).standard_errors, rtol=0.12)


def test_resampling_people_is_wider_when_each_repeats_one_vote():
    votes = simulate_battles([0, 50, 100], 60, np.random.default_rng(6))
    repeat = np.repeat(np.arange(60), 9)
    battles = Battles(
        votes.judges, votes.left[repeat], votes.right[repeat], votes.score_left[repeat], repeat
    )
    by_vote = bootstrap_ratings(battles, n_resamples=400).std(axis=0).mean()
    by_voter = bootstrap_ratings(battles, n_resamples=400, by="voter").std(axis=0).mean()
    assert by_voter / by_vote == pytest.approx(3, rel=0.3)


@pytest.mark.slow
def test_intervals_hold_the_truth_at_the_nominal_rate():
    study = coverage_study(
        np.linspace(-150, 150, 8), n_battles=1000, n_simulations=150, n_resamples=200, seed=11
    )
    assert study["n_intervals"] == 1200
    assert 0.93 <= study["coverage_bootstrap"] <= 0.97
    assert 0.93 <= study["coverage_closed_form"] <= 0.97
    assert study["coverage_printed"] < 0.85


def test_shuffling_moves_the_leaderboards_formula_but_not_the_fit():
    battles = simulate_battles(np.linspace(-60, 60, 10), 2000, np.random.default_rng(7))
    shuffled = shuffle_elo(battles, np.random.default_rng(0), n_shuffles=300)
    assert 25 < shuffled.std(axis=0, ddof=1).mean() < 60
    assert len(set(shuffled.argmax(axis=1))) >= 3, "the order alone decides who is first"
    one = battles.shuffle(np.random.default_rng(1))
    assert np.abs(sequential_elo(one) - sequential_elo(battles)).max() > 10


def test_table_is_whole_and_json(tmp_path):
    rows = ["x,y,left", "y,z,tie", "z,x,right", "x,z,left", "z,y,left", "y,x,left"]
    frame = arena_table(write_votes(tmp_path / "v.csv", rows), n_resamples=100, n_shuffles=10)
    assert list(frame.judge) == ["x", "y", "z"] or set(frame.judge) == {"x", "y", "z"}
    assert (
        frame.n_wins + frame.n_ties + frame.n_losses == frame.n_votes
    ).all() and frame.n_votes.sum() == 12
    assert frame.p_first.sum() == pytest.approx(1)
    assert (frame.ci95_low <= frame.rating).all() and (frame.rating <= frame.ci95_high).all()
    assert json.loads(frame.to_json(orient="records"))[0]["judge"] == frame.judge[0]


def elo_formula(a, b):
    return 1 / (1 + 10 ** ((b - a) / 400))


def test_the_elo_formula_holds_on_the_printed_ratings():
    battles = simulate_battles([300, 0, -100, -200], 4000, np.random.default_rng(0), tie_log_odds=1)
    frame = arena_table(battles, n_resamples=20, n_shuffles=2)
    rating = frame.set_index("judge")["rating"].loc[list(battles.judges)].to_numpy()
    left = elo_formula(rating[battles.left], rating[battles.right])
    for place, judge in enumerate(battles.judges):
        mine = np.concatenate([left[battles.left == place], 1 - left[battles.right == place]])
        row = frame[frame["judge"] == judge].iloc[0]
        assert mine.mean() == pytest.approx(row["score"], abs=1e-3)
        assert row["expected"] == pytest.approx(row["score"], abs=1e-3)
    wider = arena_table(battles, n_resamples=20, n_shuffles=2, ties="davidson")
    assert np.ptp(wider["rating"]) > 1.3 * np.ptp(frame["rating"])
    assert wider["expected"].to_numpy() == pytest.approx(wider["score"].to_numpy(), abs=0.01)


@pytest.mark.parametrize("ties", ["half", "davidson"])
@pytest.mark.parametrize("battles", [two_judges(1, 0, 0), two_judges(0, 9, 0)])
def test_one_vote_or_ties_alone_are_no_certainty(battles, ties):
    frame = arena_table(battles, n_resamples=100, n_shuffles=2, ties=ties)
    assert (frame["ci95_high"] - frame["ci95_low"] > 100).all()
    if battles.score_left[0] == 0.5:
        assert frame["rating"].to_numpy() == pytest.approx([1200, 1200])
        assert frame["p_first"].to_numpy() == pytest.approx([0.5, 0.5])


def test_both_bad_is_a_tie_or_left_out(tmp_path):
    rows = ["a,b,left", "a,b,both_bad", "b,a,tie (bothbad)", "a,b,tie"]
    path = write_votes(tmp_path / "v.csv", rows)
    assert list(read_votes(path).score_left) == [1.0, 0.5, 0.5, 0.5]
    assert list(read_votes(path, both_bad="drop").score_left) == [1.0, 0.5]
    only = write_votes(tmp_path / "w.csv", rows[1:2])
    with pytest.raises(UserError, match="no votes but both_bad ones"):
        read_votes(only, both_bad="drop")


def test_the_command_takes_ties_and_clusters(tmp_path):
    rows = [f"a,b,{w},{i // 4}" for i, w in enumerate(["left", "right", "tie", "left"] * 10)]
    path = write_votes(tmp_path / "v.csv", rows, "left,right,winner,voter")
    for options in (["--cluster", "voter"], ["--ties", "davidson"], ["--both-bad", "drop"]):
        done = CliRunner().invoke(app, ["arena", "--votes", str(path), "--json", *options])
        assert len(json.loads(done.output)) == 2
    wrong = CliRunner().invoke(app, ["arena", "--votes", str(path), "--cluster", "town"])
    assert "--cluster 'town' is not one of vote, voter" in str(wrong.exception)


def test_both_shapes_and_json_lines_read_the_same(tmp_path):
    rows = [("m", "n", "left"), ("n", "m", "tie"), ("m", "n", "right")]
    named = {"left": "A", "right": "B", "tie": "Tie"}
    one = read_votes(write_votes(tmp_path / "a.csv", [",".join(r) for r in rows]))
    two = read_votes(
        write_votes(
            tmp_path / "b.csv",
            [f"{a},{b},{named[w]}" for a, b, w in rows],
            "model_a,model_b,winner",
        )
    )
    lines = [json.dumps({"left": a, "right": b, "winner": w, "voter": 7}) for a, b, w in rows]
    (tmp_path / "c.jsonl").write_text("\n".join(lines), encoding="utf-8")
    three = read_votes(tmp_path / "c.jsonl")
    for other in (two, three):
        assert other.judges == one.judges
        np.testing.assert_array_equal(other.left, one.left)
        np.testing.assert_array_equal(other.score_left, one.score_left)
    assert one.voter is None and list(three.voter) == [0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ([], "left,right,winner", "no votes"),
        (["a,b,left"], "one,two,winner", "needed are left, right, winner"),
        (["a,b,left", "a,b,middle"], "left,right,winner", "line 3: winner 'middle'"),
        (["a,a,left"], "left,right,winner", "line 2: 'a' against itself"),
        ([",b,left"], "left,right,winner", "line 2: a judge's name is empty"),
    ],
)
def test_bad_votes_files_are_named(tmp_path, rows, header, message):
    with pytest.raises(UserError, match=message):
        read_votes(write_votes(tmp_path / "votes.csv", rows, header))


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no votes file"):
        read_votes(tmp_path / "none.csv")
    (tmp_path / "raw.csv").write_bytes(b"left,right,winner\n\xff\xfe\x00,b,left\n")
    with pytest.raises(UserError, match="UTF-8"):
        read_votes(tmp_path / "raw.csv")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_battles_or_a_user_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("votes") / "any.csv"
    path.write_bytes(b"left,right,winner\n" + content)
    try:
        assert len(read_votes(path)) > 0
    except UserError as error:
        assert "any.csv" in str(error)


def test_judges_meet_on_the_items_they_share():
    samples = [
        Sample(
            id=str(i),
            source="s",
            task="pairwise",
            instruction="q",
            response="x",
            response_b="y",
            label="A",
        )
        for i in range(3)
    ]
    said = [
        ("good", "0", "AB", "A"),
        ("good", "0", "BA", "B"),
        ("good", "1", "AB", "A"),
        ("poor", "0", "AB", "B"),
        ("poor", "0", "BA", "B"),
    ]
    said += [("poor", "1", "AB", None), ("odd", "2", "AB", "A")]
    judgements = [
        Judgement(j, "set", i, "pairwise", o, "t", "", "", "stop", "value" if v else "malformed", v)
        for j, i, o, v in said
    ]
    battles = battles_of_judges(samples, judgements)
    assert (
        battles.judges == ("good", "poor")
        and battles.score_left.tolist() == [1.0, 0.5, 1.0]
        and battles.voter.tolist() == [0, 0, 1]
    )
    with pytest.raises(ValueError, match="no two judges"):
        battles_of_judges(samples, judgements[-1:])


def test_real_votes(data_dir):
    path = data_dir / "llmfao_votes" / "llmfao.csv"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    battles = read_votes(path)
    assert len(battles) == 8931 and len(battles.judges) == 59
    assert [int((battles.score_left == s).sum()) for s in (1.0, 0.5, 0.0)] == [2911, 3471, 2549]
    frame = arena_table(battles, n_resamples=200, n_shuffles=20)
    assert frame.judge[0] == "GPT 4" and frame.p_first[0] > 0.5 and frame.finite.all()


# Very many votes: the same answers from less work


@pytest.mark.parametrize("ties", ["half", "davidson"])
@pytest.mark.parametrize("by", ["vote", "voter"])
def test_the_normal_limit_spreads_ratings_as_resamples_do(monkeypatch, ties, by):
    rng = np.random.default_rng(4)
    battles = simulate_battles(np.linspace(-150, 150, 8), 12_000, rng)
    battles = replace(battles, voter=rng.integers(0, 600, len(battles)))
    drawn = bootstrap_ratings(battles, n_resamples=500, by=by, ties=ties)
    monkeypatch.setattr(bradley_terry, "MANY_COUNTS", 1)
    limit = bootstrap_ratings(battles, n_resamples=4000, by=by, ties=ties)
    spread = limit.std(axis=0) / drawn.std(axis=0)
    assert 0.93 < spread.mean() < 1.07  # the draws' own error is 3 % a judge
    assert np.abs(limit.mean(axis=0) - drawn.mean(axis=0)).max() < 1.0
    assert np.abs(np.corrcoef(limit.T) - np.corrcoef(drawn.T)).max() < 0.25


def test_few_votes_a_judge_are_resampled_whatever_their_counts(monkeypatch):
    battles = simulate_battles([0.0, 50.0, 100.0], 300, np.random.default_rng(0))
    exact = bootstrap_ratings(battles, n_resamples=50)
    monkeypatch.setattr(bradley_terry, "MANY_COUNTS", 1)
    assert (bootstrap_ratings(battles, n_resamples=50) == exact).all()


def test_the_end_of_an_order_gives_the_ratings_of_the_whole_order(monkeypatch):
    battles = simulate_battles(np.linspace(-100, 100, 4), 6000, np.random.default_rng(1))
    whole = shuffle_elo(battles, np.random.default_rng(2), n_shuffles=60)
    monkeypatch.setattr(elo, "MANY_BATTLES", 1000)
    end = shuffle_elo(battles, np.random.default_rng(3), n_shuffles=60)
    # other orders of the same votes: alike in mean and spread, both of which 60 orders know to 13 %
    assert (end.std(axis=0) / whole.std(axis=0)).mean() == pytest.approx(1, abs=0.25)
    error = whole.std(axis=0) / 60**0.5
    assert (np.abs(end.mean(axis=0) - whole.mean(axis=0)) < 5 * error).all()
