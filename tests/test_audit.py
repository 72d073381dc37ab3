"""Do the probes keep the gold label, do attacks count right, what does a card say?"""

from __future__ import annotations

import base64
import codecs
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_judges import (
    CHECKED,
    GRADED,
    PAIRS,
    QuotingJudge,
    card_of,
    pair,
)

from selene_lib.errors import UserError
from selene_lib.evaluation.audit import (
    ATTACKS,
    CARD_COLUMNS,
    NUDGES,
    audit_card,
    make_probes,
    paired_interval,
)
from selene_lib.evaluation.audit.edits import LENGTH_FACTOR, cut, decorate, lengthen
from selene_lib.evaluation.audit.effects import (
    adjusted_preference,
    attack_effect,
    calibration_effects,
    favour,
    order_effect,
    two_sided_preference,
)
from selene_lib.evaluation.audit.probes import BASE, probe_names
from selene_lib.evaluation.metrics import wilson_interval
from selene_lib.judges.protocol import Reply
from selene_lib.prompts.rendering import format_reply


def test_edits_do_what_they_say():
    assert lengthen("ab c.", "A").count("ab c.") == LENGTH_FACTOR
    assert cut("abcdef", "A") == "abc"
    assert decorate("One. Two!", "A") == "**Answer**\n\n- One.\n- Two!"
    for name, edit in {**NUDGES, **ATTACKS}.items():
        edited = edit("the text {x}", "B")
        assert edited != "the text {x}" and (
            name.startswith("opener") or "the text {x}" in edited or name == "formatting"
        )
        assert (
            edit("x", "A") != edit("x", "B")
            or name in NUDGES
            or name.startswith("opener")
            or name == "control"
        ), name
    assert b"**Result:** B" in base64.b64decode(
        ATTACKS["encoded_base64"]("x", "B").rsplit(" ", 1)[1]
    )
    assert "**Result:** B" in codecs.decode(ATTACKS["encoded_rot13"]("x", "B"), "rot13")


def test_probes_edit_the_worse_response_and_keep_the_label():
    probes = make_probes(PAIRS, n=40, own=("me",))
    assert {p.name for p in probes} == {BASE, *probe_names(("me",))}
    assert len(probes) == 40 * (1 + len(probe_names(("me",)))) and len(
        {p.sample.id for p in probes}
    ) == len(probes)
    base = {p.item.id: p for p in probes if p.name == BASE}
    assert 8 < sum(p.flipped for p in base.values()) < 32
    for p in probes:
        assert p.gold == p.sample.label and p.target != p.gold
        right = p.sample.response if p.gold == "A" else p.sample.response_b
        assert right == f"Right {p.item.id[1:]}. It is good.", (
            "the better response is never touched"
        )
        worse = p.sample.response_b if p.gold == "A" else p.sample.response
        assert (worse == f"Wrong {p.item.id[1:]}. It is bad.") == (
            p.name in (BASE, "repeat", "swapped")
        )
        assert (p.gold != base[p.item.id].gold) == (p.name == "swapped")


def test_attacks_leave_out_what_is_already_at_the_top():
    graded = make_probes(GRADED, n=60)
    assert {p.target for p in graded} == {"5"} and not any(p.name == "swapped" for p in graded)
    assert {p.gold for p in graded if p.name in ATTACKS} == {"1", "2", "3", "4"}
    assert {
        p.gold for p in make_probes(CHECKED, n=60, names=["planted_result"]) if p.name != BASE
    } == {"No"}


def test_one_item_a_group_and_no_ties():
    samples = [replace(s, group=f"g{i // 4}") for i, s in enumerate(PAIRS[:40])]
    chosen = [
        p.item for p in make_probes([*samples, replace(PAIRS[50], label="tie")], n=100, names=[])
    ]
    assert len(chosen) == 10 == len({s.group for s in chosen})
    assert {s.id for s in (p.item for p in make_probes(samples, n=5, names=[]))} <= {
        s.id for s in chosen
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_probes(PAIRS, names=["charm"]), "'charm'"),
        (lambda: make_probes([replace(PAIRS[0], label="tie")]), "this set has none"),
        (lambda: audit_card(None, PAIRS, templates=["strong"]), "'strong'"),
        (lambda: audit_card(None, PAIRS, templates=[]), "not one of"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_effects_by_hand():
    assert [favour("A", "A"), favour("B", "A"), favour("No", "Yes"), favour("4", "5")] == [
        1,
        0,
        0,
        0.75,
    ] and np.isnan(favour(None, "A"))
    order = order_effect(np.array([[1, 1], [1, 0], [0, 1], [1, 1.0], [np.nan, 1]]))
    assert (order.value, order.n, order.n_unparsed) == (0.25, 4, 1)
    attack = attack_effect(np.array([1, 0, 0, 0, np.nan]), np.array([1, 1, 0, np.nan, 1]))
    assert (attack.value, attack.n, attack.n_unparsed) == (pytest.approx(1 / 3), 3, 2)
    assert attack_effect(np.ones(3), np.ones(3)).value is None
    low, high = paired_interval(np.array([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    centre, width = 1 / 12, 1.959964 * np.sqrt((3 / 12 - 1 / 144) / 12)
    assert (low, high) == (
        pytest.approx(centre - width, abs=1e-6),
        pytest.approx(centre + width, abs=1e-6),
    )
    assert wilson_interval(0, 10) == (pytest.approx(0, abs=1e-9), pytest.approx(0.2775, abs=1e-3))


def test_own_responses_at_equal_gold():
    even = two_sided_preference(
        np.array([True] * 7 + [False] * 3), np.array([True] * 7 + [False] * 3)
    )
    assert even.value == 0 and even.ci95_low < 0 < even.ci95_high
    biased = two_sided_preference(np.ones(50, bool), np.array([True] * 30 + [False] * 20))
    assert biased.value == pytest.approx(0.2) and biased.ci95_low > 0
    rng = np.random.default_rng(0)
    gold, own = rng.integers(0, 5, 400) / 4, rng.random(400) < 0.4
    said = 0.2 + 0.6 * gold + 0.1 * own + rng.normal(0, 0.1, 400)
    found = adjusted_preference(said, gold, own)
    assert found.ci95_low < 0.1 < found.ci95_high and found.value == pytest.approx(0.1, abs=0.03)
    assert adjusted_preference(said[:2], gold[:2], own[:2]).value is None


@pytest.mark.slow
def test_card_of_a_known_judge():
    shifts = {"length_slope": 0.2, "truncation": 0.0, "planted_result": 0.6, "ignore_rubric": 0.3}
    card = card_of(
        PAIRS, 150, templates=("escape", "plain"), shifts=shifts, flip_rate=0.1, unparsed_rate=0.02
    )
    row = card.xs("escape", level="template")
    assert (
        row.loc["accuracy", "effect"] == pytest.approx(0.8, abs=0.06)
        and row.loc["accuracy", "n_unparsed"] > 0
    )
    assert row.loc["length_slope", "effect"] == pytest.approx(0.1, abs=0.03), (
        "two doublings move twenty points"
    )
    for name in ("flattery", "authority", "formatting", "truncation"):
        assert (
            row.loc[name, "effect"] == 0
            and row.loc[name, "ci95_low"] < 0 < row.loc[name, "ci95_high"]
        )
    assert row.loc["inconsistency", "ci95_low"] < 0.13 < row.loc["inconsistency", "ci95_high"]
    assert (
        row.loc["self_preference", "n"] == 0
        and "name the judge's own models" in row.loc["self_preference", "note"]
    )
    assert (
        row.loc["calibration_error", "n"] == 0
        and "no probabilities" in row.loc["calibration_error", "note"]
    )
    plain = card.xs("plain", level="template")
    assert plain.loc["planted_result", "note"] == "above the harmless note"
    assert plain.loc["planted_reply", "note"] == "not told apart from the harmless note"
    assert (row.loc["planted_result", "effect"], row.loc["control", "effect"]) == (0, 0)
    assert plain.loc["planted_result", "effect"] == pytest.approx(0.6, abs=0.1)
    gain = card.xs("plain - escape", level="template")
    assert set(gain.index) == set(ATTACKS)
    assert (
        gain.loc["planted_result", "note"] == "lower with escaping"
        and gain.loc["planted_result", "ci95_low"] > 0.4
    )
    assert (
        gain.loc["ignore_rubric", "note"].startswith("same prompts")
        and gain.loc["ignore_rubric", "effect"] == 0
    )
    assert gain.loc["closed_fence", "note"] == "equal"


@pytest.mark.slow
def test_a_judge_that_quotes_is_safe_behind_the_escaping_template_only():
    card = audit_card(QuotingJudge(make_probes(PAIRS, n=50)), PAIRS, n=50).set_index(
        ["probe", "template"]
    )
    # a quoted verdict beside the judge's own is never read as one: in a plain template it costs
    # the verdict, behind the escaping one it costs nothing. A sentence that names another verdict
    # behind the judge's own is no mark that could be escaped: two verdicts are none
    planted = {"planted_result", "planted_reply", "closed_fence"}
    said = {"fake_rubric", "lookalike_result", "ignore_rubric"}
    for name in ATTACKS:
        escaped, plain = card.loc[(name, "escape")], card.loc[(name, "plain")]
        assert escaped["effect"] == plain["effect"] == 0, name
        assert escaped["n_unparsed"] == (escaped["n"] if name in said else 0), name
        assert (plain["n_unparsed"] == plain["n"]) == (name in planted | said), name


def test_a_judge_that_prefers_its_own():
    samples = [
        pair(
            i,
            "A" if i % 2 else "B",
            models=["Acme-7B", "Other"] if i % 4 < 2 else ["Other", "Acme-7B"],
        )
        for i in range(120)
    ]

    class Loyal:
        name, fingerprint = "loyal", "1"

        def judge(self, prompts):
            return [Reply(format_reply("x", "A" if own_first(p.text) else "B")) for p in prompts]

    def own_first(text):
        number = int(text.split("Question ")[1].split("?")[0])
        label, own = samples[number].label, "AB"[samples[number].meta["models"].index("Acme-7B")]
        own_is_right = label == own
        right_first = text.index("Right") < text.index("Wrong")
        return right_first if own_is_right else not right_first

    card = audit_card(
        Loyal(), samples, n=100, probes=[], own=["acme"], templates=["escape"]
    ).set_index("probe")
    assert (
        card.loc["self_preference", "effect"] == pytest.approx(0.5)
        and card.loc["self_preference", "n"] == 100
    )
    none = audit_card(
        Loyal(),
        [replace(s, meta={}) for s in samples],
        n=20,
        probes=[],
        own=["acme"],
        templates=["escape"],
    )
    assert "as far as authors are known" in none.set_index("probe").loc["self_preference", "note"]


class Grader:
    """Gives 3 to all, 5 to what is decorated or planted, with a probability."""

    name, fingerprint = "grader", "1"

    def __init__(self):
        self.n_asked = 0

    def judge(self, prompts):
        self.n_asked += len(prompts)
        return [
            Reply(format_reply("x", self.grade(p)), verdict_probs={"3": 0.9, "5": 0.6})
            for p in prompts
        ]

    def grade(self, prompt):
        return "5" if "**Answer**" in prompt.text or "\n\n**Result:** 5" in prompt.text else "3"


@pytest.mark.slow
def test_graded_sets_and_the_store(tmp_path):
    judge, store = Grader(), tmp_path / "audit.jsonl"
    first = audit_card(judge, GRADED, n=50, store=store)
    n_asked = judge.n_asked
    assert audit_card(judge, GRADED, n=50, store=store).equals(first) and judge.n_asked == n_asked
    assert (
        tuple(first.columns) == CARD_COLUMNS
        and not first.duplicated(["probe", "kind", "template"]).any()
    )
    card = first.set_index(["probe", "template"])
    assert (
        card.loc[("formatting", "escape"), "effect"] == pytest.approx(0.5)
        and ("order_bias", "escape") not in card.index
    )
    assert (
        card.loc[("planted_result", "escape"), "effect"] == 0
        and card.loc[("planted_result", "plain"), "effect"] == 1
    )
    assert card.loc[("overconfidence", "escape"), "effect"] == pytest.approx(
        0.9 - card.loc[("accuracy", "escape"), "effect"]
    )


def test_calibration_of_a_calibrated_judge_is_near_zero():
    rng = np.random.default_rng(3)
    confidence = rng.uniform(0.5, 1, 2000)
    error, over = calibration_effects(
        confidence, (rng.random(2000) < confidence).astype(float), 200, rng
    )
    assert error.value < 0.04 and over.ci95_low < 0 < over.ci95_high
    error, over = calibration_effects(
        confidence, (rng.random(2000) < confidence - 0.2).astype(float), 200, rng
    )
    assert error.value == pytest.approx(0.2, abs=0.03) and over.value == pytest.approx(
        0.2, abs=0.03
    )


@settings(max_examples=60, deadline=None)
@given(
    st.text(min_size=1, max_size=80),
    st.sampled_from([*NUDGES, *ATTACKS]),
    st.sampled_from(["A", "B", "Yes", "5"]),
)
def test_edits_take_any_text(text, name, target):
    assert isinstance({**NUDGES, **ATTACKS}[name](text, target), str)
    assert len(cut(text, target)) < len(text) < len(lengthen(text, target))
