"""Filters, pairs, mix and split: by hand on small sets, by property on generated ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from generators_world import make_samples, stub_teacher
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.curation.critiques import generate_critiques
from selene_lib.curation.export import export_pairs, to_dataset_dict
from selene_lib.curation.filters import (
    Filtered,
    apply,
    filter_contradictions,
    filter_duplicates,
    filter_gold,
    filter_label_balance,
    filter_language,
    filter_length,
    filter_max_per_source,
    filter_refusals,
    filter_reward,
)
from selene_lib.curation.generators.teacher import TeacherGenerator
from selene_lib.curation.languages import guess_language
from selene_lib.curation.pairs import (
    apply_decisions,
    build_pairs,
    filter_samples,
    source_caps_of,
    split,
)
from selene_lib.errors import UserError
from selene_lib.files import read_jsonl, read_parquet
from selene_lib.ledger import Ledger
from selene_lib.prompts.rendering import render
from selene_lib.prompts.verdicts import declines, parse_verdict
from selene_lib.records import TIE, PreferencePair, Sample


def words(text: str) -> int:
    return len(text.split())


def sample(
    i: int,
    response: str,
    source: str = "a",
    task: str = "classification",
    label: str | None = "Yes",
    **more,
) -> Sample:
    return Sample(
        f"{source}{i}",
        source,
        task,
        f"instruction {i}",
        response,
        label=label,
        group=f"g{i}",
        **more,
    )


def made_pairs(n: int = 120, seed: int = 0, share: float = 0.7) -> list[PreferencePair]:
    samples = make_samples(n)
    return build_pairs(
        samples,
        generate_critiques(
            samples, TeacherGenerator(stub_teacher), store=None, seed=seed
        ).critiques,
        critique_share=share,
        seed=seed,
    )


def test_gold_and_length_by_hand():
    samples = [sample(0, "one two"), sample(1, "x " * 50), sample(2, "x", label=None)]
    tie = Sample("t", "a", "pairwise", "i", "x", "y", label=TIE)
    assert filter_gold([*samples, tie]).reasons == {
        "a2": "no gold label",
        "t": "the gold label is a tie",
    }
    found = filter_length(samples, words, max_tokens=20, min_tokens=4)
    assert (
        found.reasons == {"a1": "over 20 tokens", "a2": "under 4 tokens"}
        and found.kept == samples[:1]
    )
    pair = made_pairs(1)[0]
    n = words(pair.prompt) + max(words(pair.chosen), words(pair.rejected))
    assert (
        filter_length([pair], words, max_tokens=n).kept
        and not filter_length([pair], words, max_tokens=n - 1).kept
    )


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The cat is on the mat and it was not there for long, which is fine.", "English"),
        ("Der Hund ist nicht auf der Matte und das ist für mich auch nicht gut.", "German"),
        ("Le chat est sur le tapis et il n'est pas dans la maison avec les autres.", "French"),
        (
            "El perro es muy grande y no se come la comida que está en el suelo por la noche.",
            "Spanish",
        ),
        ("Кошка сидит на окне и смотрит на улицу.", "other script"),
        ("猫が窓に座って通りを見ている。", "other script"),
        ("Name tea, rice, milk.", ""),
        ("def f(x):\n    return x + 1", ""),
        ("", ""),
        (
            "What does 'der Hund ist nicht da' mean in English, and how is it used in the novel?",
            "English",
        ),
    ],
)
def test_language_is_guessed_only_where_it_is_plain(text, language):
    assert guess_language(text) == language


def test_other_languages_go_with_their_name():
    german = "Der Hund ist nicht auf der Matte und das ist für mich auch nicht gut."
    found = filter_language([sample(0, german), sample(1, "tea, rice")])
    assert found.reasons == {"a0": "language: German"}
    with pytest.raises(ValueError, match="'Klingon'"):
        filter_language([], language="Klingon")


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("As an AI language model, I cannot provide this.", True),
        ("I cannot assist with this request.", True),
        ("Unfortunately I am unable to do that.", True),
        ("I cannot recommend this restaurant enough!", False),
        ("I'm sorry to hear that. Have you tried turning it off?", False),
        ("You can't park there, because it is a fire lane.", False),
    ],
)
def test_a_refusal_opens_by_declining(text, refuses):
    assert declines(text) == refuses


def test_a_refusal_under_judgement_stays_and_one_in_a_critique_goes():
    no = "I'm sorry, but I can't help with that."
    judged = [replace(sample(i, no), response=no) for i in range(2)]
    pairs = build_pairs(judged, critique_share=0.0, family="nano")
    assert filter_refusals(pairs).kept == pairs, "the response that is judged is not looked at"
    declined = replace(pairs[0], chosen=f"**Reasoning:** {no}\n\n**Result:** {pairs[0].label}")
    assert filter_refusals([declined, pairs[1]]).reasons == {
        declined.id: "a reply declines to judge"
    }


def test_filters_can_be_left_out_by_name():
    german = "Der Hund ist nicht auf der Matte und das ist für mich auch nicht gut."
    samples = [sample(0, german), sample(1, "Tea and rice with beans.")]
    for off, n_left in (((), 1), (("language",), 2)):
        ledger = Ledger()
        left = filter_samples(samples, ledger, count_tokens=words, off=off, min_tokens=1)
        assert len(left) == n_left
        assert ("language" in {e.stage for e in ledger.entries}) == (off == ())
        ledger.check_chain()
    with pytest.raises(UserError, match="no filter 'refusals'"):
        filter_samples(samples, Ledger(), count_tokens=words, off=("refusals",))


def test_labels_are_balanced_within_each_source():
    def of(source: str, label: str, n: int) -> list[Sample]:
        task = "classification"
        return [
            Sample(f"{source}{label}{i}", source, task, "i", "r", label=label) for i in range(n)
        ]

    # over both sources Yes and No are as many; within each they are not
    samples = [*of("a", "Yes", 30), *of("a", "No", 10), *of("b", "Yes", 10), *of("b", "No", 30)]
    assert len(filter_label_balance(samples, max_ratio=1).kept) == 80
    kept = filter_label_balance(samples, max_ratio=1, by="source").kept
    assert set(Counter((s.source, s.label) for s in kept).values()) == {10}


def test_single_sources_have_caps_of_their_own():
    samples = [*make_samples(30), *make_samples(30, "other")]
    caps = source_caps_of("other = 7, absent=3")
    kept = filter_max_per_source(samples, max_per_source=caps).kept
    assert Counter(s.source for s in kept)["other"] == 7 and len(kept) == 37
    assert source_caps_of("") is None
    with pytest.raises(UserError, match="name=number"):
        source_caps_of("other:7")


def test_duplicates_name_the_source_they_repeat():
    text = "a long enough answer about the river and its many bridges in the old town of the north"
    samples = [
        replace(sample(i, text, source), id=i, instruction="same")
        for i, source in [("1", "a"), ("2", "a"), ("3", "b")]
    ]
    other_task = Sample("4", "b", "absolute", "same", text, label="3")
    found = filter_duplicates([*samples, other_task])
    assert found.reasons == {"2": "duplicate within a", "3": "duplicate of a"}
    assert [s.id for s in found.kept] == ["1", "4"]


def test_label_balance_thins_out_what_is_frequent():
    samples = [sample(i, "x", label="Yes" if i < 80 else "No") for i in range(100)]
    found = filter_label_balance(samples, max_ratio=2)
    assert Counter(s.label for s in found.kept) == {"Yes": 40, "No": 20}
    rare = [
        replace(s, task="absolute", label="5" if i < 1 else str(1 + i % 2))
        for i, s in enumerate(samples)
    ]
    assert not filter_label_balance(
        rare, max_ratio=2
    ).reasons  # one odd 5 does not empty the others
    assert {s.id for s in filter_label_balance(samples[::-1], max_ratio=2).kept} == {
        s.id for s in found.kept
    }


def test_max_per_source():
    samples = [sample(i, "x", source) for source in "ab" for i in range(10 if source == "a" else 3)]
    found = filter_max_per_source(samples, max_per_source=4)
    assert Counter(s.source for s in found.kept) == {"a": 4, "b": 3} and set(
        found.reasons.values()
    ) == {"over 4 of one source"}


def test_filters_run_in_a_row_and_the_ledger_adds_up():
    samples = [*make_samples(60), *make_samples(30, "other"), sample(0, "x", label=None)]
    ledger = Ledger()
    left = filter_samples(
        samples, ledger, count_tokens=words, max_per_source=20, duplicate_threshold=0.95
    )
    ledger.check_chain()
    assert len(samples) - sum(sum(e.dropped.values()) for e in ledger.entries) == len(left)
    assert max(Counter(s.source for s in left).values()) <= 20


def test_a_contradiction_or_another_verdict_drops_the_pair():
    pairs = [p for p in made_pairs(90) if p.with_critique and p.task == "pairwise"][:4]
    bad = replace(pairs[0], chosen=pairs[0].rejected)
    reason = f"**Reasoning:** Response {pairs[1].label} is better."
    odd = replace(pairs[1], rejected=f"{reason}\n\n**Result:** {pairs[1].rejected_verdict}")
    told = replace(
        pairs[2],
        chosen=pairs[2].chosen.replace("The text", "I was told the verdict is so, the text"),
    )
    found = filter_contradictions([bad, odd, told, pairs[3]])
    assert found.reasons == {
        bad.id: "chosen: another verdict than asked",
        odd.id: "rejected: contradicts its own verdict",
        told.id: "chosen: says that it was told the answer",
    }


def test_reward_thresholds_by_source_and_by_margin():
    base = made_pairs(6)
    pairs = [
        replace(p, source="ab"[i % 2], chosen_reward=float(i), rejected_reward=1.5)
        for i, p in enumerate(base)
    ]
    assert [p.chosen_reward for p in filter_reward(pairs, {"a": 3.0}).kept] == [1, 3, 4, 5]
    assert [p.chosen_reward for p in filter_reward(pairs, {"a": 3.0, "*": 2.0}).kept] == [3, 4, 5]
    assert [p.chosen_reward for p in filter_reward(pairs, 0.0, by="margin").kept] == [2, 3, 4, 5]
    assert filter_reward(pairs, None).kept == pairs
    for reward in (None, float("nan")):
        with pytest.raises(ValueError, match="has no reward"):
            filter_reward([replace(pairs[0], chosen_reward=reward)], 0.0)
    with pytest.raises(ValueError, match="by='best'"):
        filter_reward(pairs, 0.0, by="best")


def test_pairs_ask_for_what_they_hold_and_end_in_their_verdicts():
    samples = {s.id: s for s in make_samples(300)}
    pairs = made_pairs(300)
    assert 0.62 < sum(p.with_critique for p in pairs) / 300 < 0.78
    for pair in pairs:
        seen = samples[pair.sample_id].swap() if pair.meta["swapped"] else samples[pair.sample_id]
        assert pair.prompt == render(seen, critique=pair.with_critique).text
        assert (pair.label, pair.group) == (seen.label, seen.group)
        for text, verdict in ((pair.chosen, pair.label), (pair.rejected, pair.rejected_verdict)):
            assert parse_verdict(text, pair.task).value == verdict
            assert text.startswith("**Reasoning:**") == pair.with_critique
        assert pair.label != pair.rejected_verdict
    assert len({p.id for p in pairs}) == 300
    positions = Counter(p.label for p in pairs if p.task == "pairwise")
    assert abs(positions["A"] - positions["B"]) < 30


def test_shares_of_nothing_and_all_and_no_critiques_at_all():
    assert not any(p.with_critique for p in made_pairs(30, share=0.0))
    assert all(p.with_critique for p in made_pairs(30, share=1.0))
    bare = build_pairs(make_samples(30), seed=5)
    assert not any(p.with_critique for p in bare) and {
        p.meta["swapped"] for p in bare if p.task == "pairwise"
    } == {True, False}
    for pair in bare:
        assert pair.chosen == f"**Result:** {pair.label}" and "generator" not in pair.meta


def test_pairs_keep_the_order_their_critiques_were_written_for():
    samples = make_samples(60)
    critiques = generate_critiques(
        samples, TeacherGenerator(stub_teacher), store=None, seed=1
    ).critiques
    pairs = build_pairs(
        samples, critiques, critique_share=1.0, seed=2
    )  # another seed than the critiques'
    assert all(p.prompt.index(p.chosen.split("'")[1]) for p in pairs)
    wrong = [replace(c, asked=c.asked) for c in critiques]
    wrong[0] = replace(wrong[0], asked=wrong[1].asked)
    with pytest.raises(ValueError, match="generate it again"):
        build_pairs(samples, wrong)
    with pytest.raises(ValueError, match="run filter_gold first"):
        build_pairs([sample(0, "x", label=None)])


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.9), st.integers(0, 5))
def test_no_group_is_on_both_sides(share, seed):
    pairs = made_pairs(60)
    train, validation = split(pairs, share, seed)
    assert not {p.group for p in train} & {p.group for p in validation}
    assert sorted(p.id for p in [*train, *validation]) == sorted(p.id for p in pairs)
    assert split(pairs[::-1], share, seed)[1][::-1] == validation


def test_decisions_drop_sources_then_low_rewards():
    pairs = [
        replace(p, source="ab"[i % 2], chosen_reward=float(i), rejected_reward=0.0)
        for i, p in enumerate(made_pairs(10))
    ]
    ledger = Ledger()
    left = apply_decisions(
        pairs, {"sources": {"a": {"keep": False}}, "reward_threshold": 4.0}, ledger
    )
    assert [p.chosen_reward for p in left] == [5, 7, 9]
    ledger.check_chain()
    assert [(e.stage, e.kind, e.source, e.n_in, e.n_out) for e in ledger.entries] == [
        ("source decisions", "decision", "a", 5, 0),
        ("source decisions", "decision", "b", 5, 5),
        ("reward threshold", "decision", "b", 5, 3),
    ]


def test_export_reads_back(tmp_path):
    train, validation = split(made_pairs(60), 0.2)
    ledger = Ledger()
    apply("length", train, Filtered(train), ledger)
    *paths, card = export_pairs(train, validation, tmp_path, ledger=ledger)
    assert read_parquet(paths[0], PreferencePair) == train
    assert read_jsonl(paths[1]) == [p.to_trl() for p in train]
    assert read_parquet(paths[2], PreferencePair) == validation
    text = card.read_text()
    assert text.startswith("---\nlicense: other") and "| length |" in text
    assert f"{len(train)} training and {len(validation)} validation pairs" in text
    data = to_dataset_dict(train, validation)
    assert data["train"].num_rows == len(train)
    assert data["validation"][0]["chosen"][0]["role"] == "assistant"
    assert list(to_dataset_dict(train, [])) == ["train"]
