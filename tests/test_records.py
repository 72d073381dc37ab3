"""The operations on the nouns: swapping, allowed labels, the preference format."""

from __future__ import annotations

import pytest

from selene_lib.records import PreferencePair, Sample, swap_verdict


def pairwise(label="A") -> Sample:
    return Sample(
        id="p-1",
        source="p",
        task="pairwise",
        instruction="q",
        response="one",
        response_b="two",
        label=label,
    )


@pytest.mark.parametrize(
    ("label", "swapped"), [("A", "B"), ("B", "A"), ("tie", "tie"), (None, None)]
)
def test_swap_moves_responses_and_label(label, swapped):
    other = pairwise(label).swap()
    assert (other.response, other.response_b, other.label) == ("two", "one", swapped)
    assert other.swap() == pairwise(label)


def test_only_pairwise_swaps():
    with pytest.raises(ValueError, match="s-1"):
        Sample(id="s-1", source="s", task="absolute", instruction="", response="").swap()


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "ranking"},
        {"label": "C"},
        {"response_b": None},
        {"task": "absolute"},
        {"task": "absolute", "response_b": None, "label": "6"},
    ],
)
def test_impossible_samples_are_refused_with_their_id(changes):
    values = {
        "id": "p-1",
        "source": "p",
        "task": "pairwise",
        "instruction": "q",
        "response": "1",
        "response_b": "2",
    }
    with pytest.raises(ValueError, match="p-1"):
        Sample(**{**values, **changes})


def test_swap_verdict_leaves_other_words():
    assert [swap_verdict(v) for v in ("A", "B", "Yes", "3", None)] == ["B", "A", "Yes", "3", None]


def test_trl_format():
    pair = PreferencePair("x", "s", "src", "absolute", "judge this", "good", "bad", True, "4", "2")
    assert pair.to_trl() == {
        "prompt": [{"role": "user", "content": "judge this"}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    }
