"""Every training source.

On rows the test writes in the publisher's shape, and on the real files where a machine has them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

import pytest
from adapter_checks import SHAPES, check_adapter, free_of_counts, write_rows
from hypothesis import given
from hypothesis import strategies as st

from selene_lib.data import DropRow, Row, find_spec, load
from selene_lib.data.sources import SOURCES, STAND_INS
from selene_lib.data.sources.dialogue import ASSISTANT, HUMAN, split_last_turn
from selene_lib.data.sources.scale import label_of, to_five
from selene_lib.data.sources.selfee import find_score


@pytest.mark.parametrize("name", SOURCES)
def test_adapter_on_published_shape(name, tmp_path):
    check_adapter(name, tmp_path)


def test_sixteen_stand_ins_are_marked_and_v02_is_read():
    assert len(STAND_INS) == 16 and all(spec.stand_in for spec in STAND_INS.values())
    assert not any(spec.stand_in for name, spec in SOURCES.items() if name not in STAND_INS)
    assert SOURCES["skywork_reward_preference"].hub_id.endswith("v0.2")
    assert {spec.training for spec in SOURCES.values()} == {"yes", "non-commercial", "not stated"}


REAL = {  # rows read, samples, labels, dropped rows
    "auto_j_training": (960, 960, {"1": 166, "2": 388, "3": 372, "4": 31, "5": 3}, 0),
    "hh_rlhf": (2312, 2303, {"A": 1155, "B": 1148}, 9),
    "halueval": (4507, 4507, {"Yes": 815, "No": 3692}, 0),
    "alpaca_eval_cot": (805, 805, {"A": 644, "B": 160, "tie": 1}, 0),
    "fine_grained_rlhf": (500, 3000, {"A": 1577, "B": 1039, "tie": 384}, 0),
    "felm": (847, 847, {"Yes": 565, "No": 282}, 0),
    "shepherd": (1317, 1317, {None: 1317}, 0),
    "xstest": (2250, 2250, {"Yes": 1159, "No": 1091}, 0),
    "selfee": (969, 1289, {"1": 1, "3": 21, "4": 537, "5": 730}, 144),
    "arena_bench_v1": (600, 600, {"1": 172, "2": 33, "3": 57, "4": 164, "5": 174}, 0),
}
# One record per set read by hand out of the raw file: SHA-256 head of the response (of the better
# one in a pair), label, more.
BY_HAND = {
    "auto_j_training": ("805652e1e56c", "2", {"rating_of_10": 4.0}),
    "hh_rlhf": ("b6b0c59c3fb4", "A/B", {}),
    "halueval": ("a3e471d0002f", "Yes", {}),
    "alpaca_eval_cot": ("d74eb6001571", "tie", {}),
    "felm": ("9ec4c8b14eae", "Yes", {"segments_right": [True]}),
    "shepherd": ("73961d7aaed2", None, {}),
    "xstest": ("f9db726d5849", "Yes", {"final_label": "3_partial_refusal"}),
    "selfee": ("a8460281564e", "4", {"rating_of_10": 7.0}),
    "arena_bench_v1": ("6da20a91bede", "5", {"rating_of_10": 9.0}),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name, data_dir):
    n_read, n_samples, labels, n_dropped = REAL[name]
    result = load(name, data_dir=data_dir)
    assert (result.n_read, result.n_samples) == (n_read, n_samples)
    assert Counter(s.label for s in result.samples) == labels
    assert sum(result.n_dropped.values()) == n_dropped and not any(
        r.startswith("broken") for r in result.n_dropped
    )
    assert len({s.id for s in result.samples}) == n_samples
    if name in BY_HAND:
        head, label, meta = BY_HAND[name]
        sample = next(
            s
            for s in result.samples
            if _head(s.response_b if s.label == "B" else s.response) == head
        )
        assert sample.label == label if label != "A/B" else sample.label in ("A", "B")
        assert meta.items() <= dict(sample.meta).items()


def test_real_pair_of_fine_grained_rlhf(data_dir):
    """Row 2 of the file prefers, by hand, [1, 1, 2, 1, 2, 2]: the fifth pair is 2 against 4, and
    the second is better.
    """
    pairs = load("fine_grained_rlhf", data_dir=data_dir).samples[12:18]
    assert [s.label for s in pairs] == ["A", "A", "B", "A", "B", "B"]
    assert (
        pairs[4].meta["pair"] == [2, 4]
        and _head(pairs[4].response) == "ac62f7215020"
        and _head(pairs[4].response_b) == "14d90d97c45a"
    )
    assert len({s.group for s in pairs}) == 1


def test_a_different_count_is_an_error_that_names_both(tmp_path):
    write_rows("halueval", tmp_path, spoil=False)
    with pytest.raises(ValueError, match="3 rows were read where 4507 are published"):
        load("halueval", data_dir=tmp_path)


def test_a_known_file_of_another_length_is_an_error(tmp_path):
    folder = write_rows("hh_rlhf", tmp_path, spoil=False)
    (folder / "harmless-base").mkdir()
    (folder / "helpful-base/train.jsonl.gz").rename(folder / "harmless-base/test.jsonl.gz")
    with pytest.raises(ValueError, match=r"harmless-base/test.jsonl.gz holds 3 rows where 2312"):
        load("hh_rlhf", data_dir=tmp_path)


def test_hh_rlhf_drops_what_cannot_be_compared(tmp_path):
    start = "\n\nHuman: hi\n\nAssistant:"
    rows = [
        {"chosen": f"{start} a", "rejected": f"{start} b"},
        {"chosen": f"{start} a", "rejected": f"{start}"},
        {"chosen": f"{start} a", "rejected": f"{start} a"},
        {"chosen": f"{start} a", "rejected": "\n\nHuman: hello\n\nAssistant: b"},
    ]
    (tmp_path / "hh_rlhf").mkdir()
    SHAPES["hh_rlhf"].write(tmp_path / "hh_rlhf", rows)
    result = load("hh_rlhf", data_dir=tmp_path)
    assert result.n_samples == 1 and result.samples[0].instruction == "hi"
    assert result.n_dropped == {
        "a response is empty": 1,
        "both responses are the same": 1,
        "the two dialogues differ before the last turn": 1,
    }


def test_positions_are_drawn_from_the_item_and_the_seed(tmp_path):
    write_rows("hh_rlhf", tmp_path, n=400, spoil=False)
    spec = free_of_counts("hh_rlhf")
    first, again, other = (load(spec, data_dir=tmp_path, seed=seed).samples for seed in (0, 0, 1))
    assert first == again and [s.id for s in first] == [s.id for s in other]
    share_a = sum(s.label == "A" for s in first) / len(first)
    assert 0.4 < share_a < 0.6 and [s.label for s in first] != [s.label for s in other]
    assert all(
        (s.response if s.label == "A" else s.response_b).startswith("good")
        for s in (*first, *other)
    )


def test_ragtruth_reads_the_train_split_and_sound_answers_only(tmp_path):
    shape = SHAPES["ragtruth"]
    rows = [
        shape.record(0),
        {**shape.record(1), "split": "test"},
        {**shape.record(2), "quality": "truncated"},
        {**shape.record(3), "labels": []},
    ]
    (tmp_path / "ragtruth").mkdir()
    shape.write(tmp_path / "ragtruth", rows)
    result = load("ragtruth", data_dir=tmp_path)
    assert [s.label for s in result.samples] == ["Yes", "No"] and sum(
        result.n_dropped.values()
    ) == 2


def test_seahorse_asks_for_the_article_only_where_it_is_joined(tmp_path):
    shape = SHAPES["seahorse"]
    (tmp_path / "seahorse").mkdir()
    shape.write(
        tmp_path / "seahorse",
        [
            {**shape.record(0), "article": "the article"},
            {**shape.record(1), "article": "", "question2": ""},
        ],
    )
    result = load("seahorse", data_dir=tmp_path)
    questions = [(s.meta["question"], "the article" in s.instruction) for s in result.samples]
    assert questions == [(f"question{n}", True) for n in (1, 2, 3, 4, 6)] + [
        ("question1", False),
        ("question3", False),
    ]
    assert result.n_dropped == {"rating is neither Yes nor No": 1, "question not asked": 1}


def test_unrated_aspects_are_dropped_and_counted(tmp_path):
    shape = SHAPES["ultrafeedback"]
    record = shape.record(0)
    record["completions"][0]["annotations"]["honesty"]["Rating"] = "N/A"
    record["completions"].append({**record["completions"][0], "response": " "})
    (tmp_path / "ultrafeedback").mkdir()
    shape.write(tmp_path / "ultrafeedback", [record])
    result = load(free_of_counts("ultrafeedback"), data_dir=tmp_path)
    assert result.n_samples == 3 and result.n_dropped == {
        "aspect not rated": 1,
        "a response is empty": 1,
    }


def test_math_shepherd_finds_the_first_bad_step(tmp_path):
    write_rows("math_shepherd", tmp_path, n=1, spoil=False)
    sample = load("math_shepherd", data_dir=tmp_path).samples[0]
    assert (
        sample.instruction == "problem 0"
        and sample.response == "Step 1: a + b = c.\nStep 2: the answer is: 0"
    )
    assert sample.meta["first_bad_step"] == 2 and sample.meta["n_steps"] == 2


def test_ten_point_scores_pair_up():
    assert [label_of(to_five(score, 1, 10)) for score in range(1, 11)] == [
        "1",
        "1",
        "2",
        "2",
        "3",
        "3",
        "4",
        "4",
        "5",
        "5",
    ]
    assert [label_of(to_five(score, 0, 4)) for score in range(5)] == ["1", "2", "3", "4", "5"]
    assert label_of(to_five(6.5, 1, 10)) == "3" and label_of(2.5) == "3"


@given(st.floats(1, 10), st.floats(1, 10))
def test_mapping_of_scores_keeps_order_and_range(first, second):
    low, high = sorted((to_five(first, 1, 10), to_five(second, 1, 10)))
    assert 1 <= low <= high <= 5 and int(label_of(low)) <= int(label_of(high))
    smaller, larger = sorted((first, second))
    assert to_five(smaller, 1, 10) <= to_five(larger, 1, 10)


@pytest.mark.parametrize(
    ("feedback", "score"),
    [
        ("Fine.\n\nScore: 7\n\nRevision is not needed.", 7),
        ("I would give it 9 out of 10.", 9),
        ("My score is 8.5/10", 8.5),
        ("Score: 7. Later I would give 9 out of 10.", None),
        ("Score: 0", None),
        ("No number here.", None),
    ],
)
def test_score_in_feedback(feedback, score):
    assert find_score(feedback) == score


@given(
    st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=1), st.text(min_size=1)
)
def test_last_turn_is_split_off_whole(before, last):
    if HUMAN in last or ASSISTANT in last:
        return
    assert split_last_turn(f"{HUMAN} {before}{ASSISTANT}{last}") == (
        f"{HUMAN} {before}".strip(),
        last.strip(),
    )


def test_multi_turn_messages_keep_all_turns(tmp_path):
    talk = [("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "good")]
    chosen = [{"role": role, "content": text} for role, text in talk]
    row = Row(
        {
            "chosen": chosen,
            "rejected": [*chosen[:-1], {"role": "assistant", "content": "bad"}],
            "source": "s",
        },
        find_spec("skywork_reward_preference"),
        "x",
    )
    sample = row.spec.to_samples(row)
    assert sample.instruction == "Human: a\n\nAssistant: b\n\nHuman: c" and {
        sample.response,
        sample.response_b,
    } == {"good", "bad"}
    other = replace(row, values={**row.values, "rejected": chosen[2:]})
    with pytest.raises(DropRow, match="differ before the last turn"):
        other.spec.to_samples(other)


def _head(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
