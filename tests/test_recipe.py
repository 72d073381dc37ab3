"""The recipe from a notebook: sampled critiques, both orders, scales, deduction, thresholds,
card."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from selene_lib.ablation.mixes import plan_mixes
from selene_lib.ablation.spec import AblationSpec
from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.decisions import read_decisions, write_decisions
from selene_lib.curation.deduction import is_deduction
from selene_lib.curation.filters import filter_contradictions
from selene_lib.curation.generators.protocol import Generation
from selene_lib.curation.orders import both_orders
from selene_lib.curation.pairs import apply_decisions, build_pairs, split
from selene_lib.curation.scales import on_scales, rescale, scales_of
from selene_lib.errors import UserError
from selene_lib.ledger import Ledger
from selene_lib.prompts.rendering import family_of_prompts, render
from selene_lib.prompts.rubrics import write_rubric
from selene_lib.records import Critique, Sample
from selene_lib.report.recipe import CHOICES, recipe_rows, write_recipe_card
from selene_lib.steps.ablate import decision_rules, reward_thresholds
from selene_lib.steps.curate import Way, build_filtered_pairs, shape_samples, write_critiques

PAIR = Sample("p-1", "s", "pairwise", "Name a river.", "Rhine", "Bonn", label="A", group="g1")
RUBRIC = write_rubric("Good?", [f"line {n}" for n in range(1, 6)])
GRADED = Sample("g-1", "s", "absolute", "Say hi.", "hi", rubric=RUBRIC, label="4", score=4.0)


class Scripted:
    """A generator that answers the i-th reply to a prompt with the i-th text of a list."""

    name, settings = "scripted", {}

    def __init__(self, texts):
        self.texts, self.asked = texts, []

    def generate(self, requests, *, store=None):
        self.asked += requests
        return [Generation(self.texts[r.attempt % len(self.texts)], "stop") for r in requests]


def reply(reason, verdict):
    return f"**Reasoning:** {reason}\n\n**Result:** {verdict}"


def test_sampled_replies_become_up_to_max_pairs_couples():
    """Of five replies two are right (one twice over), two wrong: two couples, one with max 1."""
    shown = both_orders([PAIR])[0]  # shown as it stands, so that A is right
    texts = [
        reply("It is a river of water.", "A"),
        reply("The second one is a town name.", "B"),
        reply("It is a river of water.", "A"),
        reply("Water flows in it to the sea.", "A"),
        reply("The second sounds nicer to me.", "B"),
    ]
    for max_pairs, n in ((1, 2), (4, 4)):
        ledger = Ledger()
        way = Way("sample", n_samples=5, max_pairs=max_pairs)
        found = write_critiques(
            [shown], Scripted(texts), ledger, store=None, seed=0, family="full", way=way
        )
        assert [c.verdict for c in found] == ["A", "B"] * (n // 2)
        assert len({c.text for c in found}) == n
    pairs = build_pairs([shown], found, critique_share=1.0)
    assert [p.id for p in pairs] == ["p-1-critique", "p-1-critique-2"]
    assert len({p.chosen for p in pairs}) == len({p.rejected for p in pairs}) == 2
    bare = build_pairs([shown], found, critique_share=0.0)
    assert [p.id for p in bare] == ["p-1-verdict"]
    with pytest.raises(UserError, match="critique_method 'guess'"):
        Way("guess")


def test_several_pairs_a_prompt_keep_the_ledger_balanced():
    shown = both_orders([PAIR])[0]
    texts = [reply(f"It is a river, and wet {i}.", "A") for i in range(3)]
    texts += [reply(f"It is a town, and dry {i}.", "B") for i in range(3)]
    ledger = Ledger()
    ledger.add("read", "s", 1, {})
    way = Way("sample", n_samples=6, max_pairs=3)
    found = write_critiques(
        [shown], Scripted(texts), ledger, store=None, seed=0, family="full", way=way
    )
    pairs = build_filtered_pairs(
        [shown],
        found,
        None,
        ledger,
        critique_share=1.0,
        family="full",
        seed=0,
        max_tokens=10_000,
        count_tokens=lambda text: len(text.split()),
    )
    assert len(pairs) == 3
    ledger.check_chain()
    again = Ledger.from_rows(ledger.rows())
    assert again.entries == ledger.entries and any(e.n_added == 2 for e in again.entries)


def test_both_orders_show_each_pair_both_ways_and_never_part_them():
    samples = [replace(PAIR, id=f"p-{i}", group=f"g{i}", label="AB"[i % 2]) for i in range(60)]
    ledger = Ledger()
    ledger.add("read", "s", 61, {})
    twice = shape_samples([*samples, GRADED], ledger, scales="1-5", both=True, seed=0)
    ledger.check_chain()
    assert len(twice) == 121 and ledger.entries[-1].n_added == 60
    pairs = build_pairs(twice, critique_share=0.0)
    by_group: dict[str, list] = {}
    for pair in pairs:
        by_group.setdefault(pair.group, []).append(pair)
    for name, mine in by_group.items():
        if name.startswith("g") and name != "g-1":
            assert {p.label for p in mine} == {"A", "B"} and len({p.prompt for p in mine}) == 2
    train, held = split(pairs, 0.3, seed=0)
    assert train and held and {p.group for p in train}.isdisjoint(p.group for p in held)


@pytest.mark.parametrize(
    ("scale", "gold", "label", "levels"),
    [
        ("1-3", "1", "1", 3),
        ("1-3", "3", "2", 3),
        ("1-3", "4", "3", 3),
        ("1-2", "3", "1", 2),
        ("1-2", "4", "2", 2),
    ],
)
def test_other_scales_change_rubric_label_and_prompt_together(scale, gold, label, levels):
    found = rescale(replace(GRADED, label=gold, score=float(gold)), scale)
    assert (found.label, found.score, found.rubric.count("\nScore ")) == (
        label,
        float(label),
        levels,
    )
    prompt = render(found, family="full").text
    assert f"from 1 (worst) to {levels} (best)" in prompt and f"from 1 to {levels}" in prompt
    assert "to 5" not in prompt and "line 1" in prompt and "line 5" in prompt
    assert family_of_prompts([prompt, render(GRADED, family="full").text]) == "full"


def test_zero_to_one_is_asked_as_yes_or_no_and_five_stays_as_it_was():
    found = rescale(GRADED, "0-1")
    assert (found.task, found.label) == ("classification", "Yes")
    assert found.rubric == "Good?\nYes: line 4\nNo: line 2"
    assert rescale(GRADED, "1-5") == GRADED
    bare = replace(GRADED, rubric="Good?")
    assert rescale(bare, "1-3") == bare
    many = [replace(GRADED, id=f"g-{i}") for i in range(90)]
    drawn = on_scales(many, scales_of("1-5, 1-3, 0-1"), seed=0)
    kinds = {(s.task, s.meta.get("scale")) for s in drawn}
    assert kinds == {("absolute", None), ("absolute", 3), ("classification", None)}
    with pytest.raises(UserError, match="no scale '1-10'"):
        scales_of("1-10")


def test_response_deduction_asks_for_the_response_a_critique_is_about():
    other = replace(GRADED, id="g-2", label="1", score=1.0, response="go away")
    critiques = []
    for sample, wrong in ((GRADED, "2"), (other, "3")):
        for agrees, verdict in ((True, sample.label), (False, wrong)):
            text = reply(f"It greets {verdict} times.", verdict)
            critiques.append(
                Critique(f"c{sample.id}{verdict}", sample.id, text, verdict, verdict, agrees, "g")
            )
    samples = [replace(GRADED, group="g"), replace(other, group="g")]
    pairs = build_pairs(samples, critiques, critique_share=0.0, deduction_share=1.0)
    assert all(is_deduction(p) for p in pairs)
    assert [(p.chosen, p.rejected) for p in pairs] == [("hi", "go away"), ("go away", "hi")]
    assert "It greets 4 times." in pairs[0].prompt and "Say hi." in pairs[0].prompt
    assert "hi" not in pairs[0].prompt.replace("Say hi.", "").replace("this", "").split()
    assert filter_contradictions(pairs).kept == pairs
    alone = build_pairs(samples[:1], critiques[:2], critique_share=0.0, deduction_share=1.0)
    assert [p.id for p in alone] == ["g-1-verdict"]


def scored_pairs():
    samples = [replace(GRADED, id=f"{s}-{i}", source=s) for s in ("high", "low") for i in range(10)]
    pairs = build_pairs(samples, critique_share=0.0)
    level = {"high": 10.0, "low": 0.0}
    return [
        replace(p, chosen_reward=level[p.source] + i % 10, rejected_reward=0.0)
        for i, p in enumerate(pairs)
    ]


def test_reward_thresholds_of_single_sources_go_from_the_race_into_the_decisions(tmp_path):
    pairs = scored_pairs()
    (limits,) = reward_thresholds(pairs, "0.5", by="source")
    assert limits == {"high": 14.5, "low": 4.5}
    assert len(reward_thresholds(pairs, "0.5", by="both")) == 2
    mix = plan_mixes(pairs, [limits], AblationSpec(only=False))[-1]
    assert (mix.kind, len(mix.pairs), mix.by_source) == ("threshold", 10, limits)
    assert {p.source for p in mix.pairs} == {"high", "low"}
    path = write_decisions(
        tmp_path / "decisions.yaml",
        {"sources": {"high": {"keep": True}, "low": {"keep": True}}, "reward_threshold": limits},
    )
    assert len(apply_decisions(pairs, read_decisions(path))) == 10
    path.write_text("sources: {a: {keep: true}}\nreward_threshold: {a: much}\n")
    with pytest.raises(UserError, match="'much' of source 'a'"):
        read_decisions(path)
    with pytest.raises(UserError, match="threshold_by 'x'"):
        reward_thresholds(pairs, "0.5", by="x")


def test_both_rules_of_a_source_stand_side_by_side():
    row = {"source": "a", "effect": 0.1, "ci95_low": 0.0, "ci95_high": 0.2, "q": 0.083}
    table = pd.DataFrame(
        [
            {**row, "kind": "leave_out", "finding": "no effect shown"},
            {
                **row,
                "kind": "only",
                "margin_effect": -3.0,
                "margin_low": -4.0,
                "margin_high": -2.0,
                "q": 0.001,
                "finding": "harms",
            },
        ]
    )
    shown = decision_rules(table, {"sources": {"a": {"keep": False}}}).iloc[0]
    assert (shown["rule_1"], shown["effect_q"]) == ("no effect shown", 0.083)
    assert (shown["rule_2"], shown["alone_margin"], shown["alone_q"]) == ("harms", -3.0, 0.001)
    assert not shown["keep"]


def test_the_recipe_card_names_what_is_not_published_and_what_ours_is(tmp_path):
    parameters = {"02_curate_preferences": {"critique_method": "sample", "both_orders": True}}
    rows = {row["choice"]: row for row in recipe_rows(parameters)}
    assert rows["critiques"]["ours"] == "sample" and rows["both orders of a pair"]["ours"] == "True"
    assert rows["learning rate"]["paper"] == "not published"
    assert rows["learning rate"]["ours"] == "not a parameter of this run"
    card = write_recipe_card(tmp_path / "recipe.md", "nano", parameters).read_text()
    assert card.count("\n| ") == len(CHOICES) + 2 and "(unverified)" in card


def test_generate_critiques_argues_as_before():
    shown = both_orders([PAIR])[0]
    scripted = Scripted([reply("It is a river of water.", "A")])
    result = generate_critiques([shown], scripted, store=None, max_attempts=1)
    assert result.critiques == [] and [r.asked for r in scripted.asked] == ["A", "B"]
