"""Ablation: the numbers by hand, the race on simulated judges with known effects, and decisions
that survive their file.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from selene_lib.ablation.effects import SeedVariance, effect_between, run_variance
from selene_lib.ablation.evidence import Runs
from selene_lib.ablation.mixes import Mix, plan_mixes
from selene_lib.ablation.race import run_ablation
from selene_lib.ablation.spec import AblationSpec
from selene_lib.curation.decisions import read_decisions, write_decisions
from selene_lib.curation.pairs import apply_decisions
from selene_lib.errors import UserError
from selene_lib.records import PreferencePair, unit_hash

pytestmark = pytest.mark.slow


SOURCES = ("coverage", "facts", "ledger", "letters", "tone", "redundant", "poisoned")
SEEDS = range(5)


def made_pairs(n: int = 20) -> list[PreferencePair]:
    """Pairs of every source; those of the poisoned one have low rewards."""
    yes, no = "**Result:** Yes", "**Result:** No"
    blank = PreferencePair(
        "", "", "", "classification", "p", yes, no, False, "Yes", "No", rejected_reward=0.0
    )
    return [
        replace(
            blank,
            id=f"{s}-{i}",
            sample_id=f"{s}-{i}",
            source=s,
            chosen_reward=(-2.0 if s == "poisoned" else 1.0) + i / n,
        )
        for s in SOURCES
        for i in range(n)
    ]


class SimulatedJudges:
    """Mixes as binomial items: every item has a chance, every source present moves it by a known
    effect, every run by a deviation of its own.

    A quarter of the items are answered anew in each run, the others by what they are: runs of one
    mix differ on some items, as real ones.
    """

    def __init__(
        self, world: int, effects: dict[str, float], *, n_items: int = 400, run_sd: float = 0.01
    ) -> None:
        self.effects, self.run_sd, self.world = effects, run_sd, world
        rng = np.random.default_rng(world)
        self.chance = np.clip(rng.beta(2.0, 1.5, n_items), 0.05, 0.95)
        self.item = rng.random(n_items)
        self.anew = rng.random(n_items) < 0.25
        self.n_runs = 0

    def __call__(self, pairs, seed, n_steps):
        self.n_runs += 1
        share = {s: sum(p.source == s for p in pairs) / 20 for s in SOURCES}
        rng = np.random.default_rng(int(unit_hash(self.world, seed, sorted(share.items())) * 2**32))
        lift = self.run_sd * rng.standard_normal()
        lift += sum(self.effects.get(s, 0.0) * share[s] for s in SOURCES)
        drawn = np.where(self.anew, rng.random(len(self.chance)), self.item)
        return (drawn < np.clip(self.chance + lift, 0, 1)).astype(float)


EFFECTS = dict.fromkeys(SOURCES, 0.02) | {"redundant": 0.0, "poisoned": -0.1}


def race(seed: int, effects=EFFECTS, **spec):
    judges = SimulatedJudges(seed, effects)
    thresholds = [0.0, 1.5]
    return run_ablation(
        made_pairs(), judges, AblationSpec(seed=seed, **spec), thresholds=thresholds, progress=False
    ), judges


@pytest.fixture(scope="module")
def races():
    return [race(seed)[0] for seed in SEEDS]


def test_the_poisoned_source_is_dropped_and_the_redundant_one_not_flagged_over_five_seeds(races):
    decided = [result.decisions["sources"] for result in races]
    n_poisoned_dropped = sum(not d["poisoned"]["keep"] for d in decided)
    n_redundant_flagged = sum(d["redundant"]["finding"] != "no effect shown" for d in decided)
    n_good_dropped = sum(not d[s]["keep"] for d in decided for s in SOURCES[:5])
    print(f"dropped {n_poisoned_dropped} of 5, redundant flagged {n_redundant_flagged} of 5")
    print(f"good ones dropped {n_good_dropped} of 25")
    assert (n_poisoned_dropped, n_redundant_flagged, n_good_dropped) == (5, 0, 0)


def test_the_threshold_that_removes_the_poison_is_chosen(races):
    # Threshold 0 removes the poisoned pairs only; 1.5 removes half of all good ones too.
    assert [r.decisions["reward_threshold"] for r in races] == [0.0] * 5
    sweep = races[0].sweep
    assert list(sweep["n_pairs"]) == [140, 120, 60] and list(sweep["decision"]) == [
        "",
        "chosen",
        "",
    ]
    assert (
        np.isnan(sweep["threshold"][0])
        and (sweep["ci95_low"] <= sweep["accuracy"]).all()
        and (sweep["accuracy"] <= sweep["ci95_high"]).all()
    )


def test_hopeless_mixes_end_early_and_the_race_decides_like_the_full_grid(races):
    n_runs = [len(r.telemetry) for r in races]
    full = [race(seed, hopeless_power=-1.0)[0] for seed in SEEDS]
    for short, long in zip(races, full):
        assert {s: d["keep"] for s, d in short.decisions["sources"].items()} == {
            s: d["keep"] for s, d in long.decisions["sources"].items()
        }
    # Without racing: full, 7 left out and 2 thresholds in three rounds, 7 alone in one.
    grid = 10 * 3 + 7
    print(f"{sum(n_runs)} runs of {5 * grid}")
    assert sum(n_runs) <= 0.75 * 5 * grid
    assert any(c.startswith("hopeless after 1") for c in races[0].table["closed"])


def test_no_source_is_flagged_where_none_does_anything():
    findings = [
        d["finding"]
        for seed in SEEDS
        for d in race(seed, {}, only=False)[0].decisions["sources"].values()
    ]
    assert (
        sum(f != "no effect shown" for f in findings) <= 1
    )  # 35 true nulls at a false-discovery rate of 0.05


def test_the_variance_of_seeds_is_not_taken_for_an_effect():
    """Runs whose accuracy moves by 5 points from seed to seed: a bootstrap over items alone would
    flag sources.
    """
    naive = flagged = 0
    for seed in range(10):
        judges = SimulatedJudges(seed, {}, run_sd=0.05)
        result = run_ablation(
            made_pairs(),
            judges,
            AblationSpec(seed=seed, only=False, n_rounds=2, hopeless_power=-1),
            progress=False,
        )
        rows = result.table[result.table["kind"] == "leave_out"]
        flagged += (rows["finding"] != "no effect shown").sum()
        full = SimulatedJudges(seed, {}, run_sd=0.05)(made_pairs(), seed, 1)
        without = SimulatedJudges(seed, {}, run_sd=0.05)(
            [p for p in made_pairs() if p.source != "tone"], seed, 1
        )
        difference = full - without
        naive += abs(difference.mean()) > 2.4 * difference.std() / 20
    assert naive >= 2 and flagged <= 2


def test_run_variance_by_hand():
    # Two runs of four items, all flipped the same way: d = 1, items alone explain 4 / 16; (1 -
    # 0.25) / 2.
    runs = [np.ones(4), np.zeros(4)]
    assert run_variance([runs]) == pytest.approx(0.375)
    # Flips that cancel: d = 0, less than items explain; never below zero.
    assert run_variance([[np.array([1.0, 0]), np.array([0.0, 1])]]) == 0.0
    assert run_variance([[np.ones(4)]]) == run_variance([]) == 0.0
    # In two clusters of two: d = 1, clusters explain (2^2 + 2^2) / 16.
    assert run_variance([runs], np.array(["a", "a", "b", "b"])) == pytest.approx(0.25)


def test_effect_by_hand():
    full, without = np.array([1.0, 1, 1, 0] * 25), np.array([1.0, 0, 0, 0] * 25)
    options = {"n_decisions": 1, "level": 0.05, "n_resamples": 4000}
    found = effect_between(full, without, seed_variance=SeedVariance(0.0), **options)
    assert found.value == pytest.approx(0.5)
    assert found.se_items == pytest.approx(0.05, rel=0.1)  # sqrt(.5 * .5 / 100)
    wider = effect_between(full, without, seed_variance=SeedVariance(0.02), **options)
    assert wider.se == pytest.approx((0.05**2 + 0.02) ** 0.5, rel=0.05) and wider.p > found.p
    assert wider.ci95_low < found.ci95_low < 0.5 < found.ci95_high < wider.ci95_high


def test_a_source_is_compared_on_the_seeds_both_have_and_with_the_right_sign():
    full = Mix("full", "full", [], outcomes={0: np.array([1.0, 1, 1, 0] * 25), 1: np.zeros(100)})
    without = Mix("without a", "leave_out", [], "a", outcomes={0: np.array([1.0, 0, 0, 0] * 25)})
    alone = Mix("only a", "only", [], "a", outcomes={0: np.array([1.0, 0, 0, 0] * 25)})
    found = Runs([full, without, alone], AblationSpec()).evidence()
    effects, q = found.effects, found.q
    assert effects["without a"].value == pytest.approx(
        0.5
    )  # seed 0 only: .75 less .25; positive is a source that helps
    assert effects["only a"].value == pytest.approx(-0.5) and set(q) == {"without a"}
    mixes = [full, without, alone]
    found = Runs(mixes, AblationSpec(), base_margins=np.full(100, 0.5)).evidence()
    effects, q = found.effects, found.q
    assert effects["only a"].value == pytest.approx(-0.25) and set(q) == {"without a", "only a"}


class SimulatedMargins:
    """Preference margins of 100 trusted pairs: a source taught alone moves them by its effect in
    nats, and by a deviation of its run.
    """

    def __init__(self, world: int, effects: dict[str, float], run_sd: float = 0.8) -> None:
        self.world, self.effects, self.run_sd = world, effects, run_sd
        self.base = np.random.default_rng(world).normal(5.0, 6.0, 100)
        self.asked: list[tuple[str, int]] = []

    def __call__(self, pairs, seed, n_steps):
        if n_steps == 0:
            return self.base
        (source,) = {p.source for p in pairs}
        self.asked.append((source, seed))
        rng = np.random.default_rng(int(unit_hash(self.world, seed, source) * 2**32))
        return (
            self.base
            + self.effects.get(source, 2.0)
            + self.run_sd * rng.standard_normal()
            + rng.normal(0, 4.0, 100)
        )


def test_a_bad_source_too_small_to_hurt_the_mix_is_found_alone_over_five_seeds():
    n_dropped = n_redundant = n_good = 0
    for seed in SEEDS:
        judges = SimulatedJudges(seed, {"poisoned": -0.005})
        margins = SimulatedMargins(seed, {"poisoned": -8.0, "redundant": 0.0})
        result = run_ablation(
            made_pairs(),
            judges,
            AblationSpec(seed=seed, n_rounds=2),
            measure_mix=margins,
            progress=False,
        )
        decided = result.decisions["sources"]
        n_dropped += not decided["poisoned"]["keep"]
        n_redundant += (
            not decided["redundant"]["keep"] or decided["redundant"]["finding"] != "no effect shown"
        )
        n_good += sum(not decided[s]["keep"] for s in SOURCES[:5])
        assert (
            decided["poisoned"]["alone"] == "harms" and decided["tone"]["alone"] == "no harm shown"
        )
        assert ("poisoned", seed + 1) in margins.asked and (
            "tone",
            seed + 1,
        ) not in margins.asked  # only what looks bad is tried twice
        rows = result.table.set_index("arm")
        assert rows.loc["only poisoned", "margin_high"] < 0 and np.isnan(
            rows.loc["only poisoned", "effect"]
        )
        assert rows.loc["without poisoned", "decision"] == "drop"
    assert (n_dropped, n_redundant, n_good) == (5, 0, 0)


def test_sources_that_do_nothing_alone_are_not_called_harmful():
    n_flagged = 0
    for seed in SEEDS:
        margins = SimulatedMargins(seed, dict.fromkeys(SOURCES, 0.0))
        result = run_ablation(
            made_pairs(),
            SimulatedJudges(seed, {}),
            AblationSpec(seed=seed, n_rounds=2),
            measure_mix=margins,
            progress=False,
        )
        n_flagged += sum(not d["keep"] for d in result.decisions["sources"].values())
    print(f"{n_flagged} of 35 sources without effect dropped")
    assert n_flagged <= 2


def test_mixes_of_a_plan():
    mixes = plan_mixes(made_pairs(2), [None, 0.0], AblationSpec(only=True))
    assert [m.name for m in mixes[:3]] == ["full", "without coverage", "without facts"]
    assert (
        len(mixes) == 1 + 7 + 7 + 1
        and mixes[-1].name == "reward >= 0"
        and len(mixes[-1].pairs) == 12
    )
    assert {p.source for p in mixes[1].pairs} == set(SOURCES) - {"coverage"} and {
        p.source for p in mixes[8].pairs
    } == {"coverage"}
    with pytest.raises(UserError, match="at least two sources"):
        plan_mixes([p for p in made_pairs() if p.source == "tone"], [], AblationSpec())
    with pytest.raises(UserError, match="keeps no pair"):
        plan_mixes(made_pairs(), [99.0], AblationSpec())
    with pytest.raises(UserError, match="n_rounds"):
        AblationSpec(n_rounds=0)


def test_bad_outcomes_are_named():
    with pytest.raises(ValueError, match="mix 'without coverage': outcomes of shape"):
        run_ablation(made_pairs(), lambda pairs, seed, n: np.ones(len(pairs)), progress=False)
    with pytest.raises(ValueError, match="mix 'full'"):
        run_ablation(made_pairs(), lambda *_: np.array([0.0, np.nan]), progress=False)


def test_one_round_still_decides_and_equal_mixes_have_no_effect():
    result, judges = race(0, n_rounds=1, only=False)
    assert judges.n_runs == 10 and not result.decisions["sources"]["poisoned"]["keep"]
    flat = run_ablation(
        made_pairs(), lambda *_: np.ones(30), AblationSpec(only=False), progress=False
    )
    assert set(flat.table["finding"]) == {"", "no effect shown"} and set(
        flat.table["decision"]
    ) <= {"keep", "chosen", ""}


def test_decisions_survive_their_file_and_feed_the_mix(tmp_path, races):
    path = write_decisions(tmp_path / "decisions.yaml", races[0].decisions)
    decisions = read_decisions(path)
    assert decisions == races[0].decisions
    left = apply_decisions(made_pairs(), decisions)
    assert {p.source for p in left} == set(SOURCES) - {"poisoned"} and len(left) == 120
    edited = yaml.safe_load(path.read_text())
    edited["sources"]["tone"]["keep"] = False
    path.write_text(yaml.safe_dump(edited))
    assert "tone" not in {p.source for p in apply_decisions(made_pairs(), read_decisions(path))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "no 'sources'"),
        ("sources: {a: {keep: maybe}}", "source 'a' needs 'keep: true'"),
        ("sources: {a: yes}", "source 'a' needs"),
        ("sources: {a: {keep: true}}\nreward_threshold: high", "reward_threshold 'high'"),
    ],
)
def test_a_broken_decision_file_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "decisions.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_decisions(path)
