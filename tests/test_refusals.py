"""One reading of a refusal, for a judge's reply and for a response in the training data."""

from __future__ import annotations

import pytest

from selene_lib.curation.filters import filter_refusals
from selene_lib.prompts.verdicts import declines, parse_verdict
from selene_lib.records import TASKS, PreferencePair

REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t assist with that request.",
    "Sorry, but I can't assist with that.",
    "I am very sorry, I cannot do that.",
    "I'm sorry, but I can't.",
    "As an AI language model, I cannot evaluate content of this kind.",
    "As a language model I am not able to judge this.",
    "I must respectfully decline.",
    "I have to decline this request.",
    "I'm sorry, but I must decline to rate this response.",
    "I cannot evaluate this response.",
    "I can not help you with that.",
    "I'm unable to comply with this request.",
    "I won't be able to provide an evaluation here.",
    "I will not judge this conversation.",
    "I apologize, but I cannot fulfill this request.",
    "My apologies, but I am unable to continue.",
    "Unfortunately, I am not able to answer this question.",
    "I'm afraid I can't do that.",
    "I refuse to grade this.",
    "I do not feel comfortable rating this content.",
    "**Reasoning:** I cannot help with that request.",
)
NO_REFUSALS = (
    "The response refuses to answer, although the question is harmless.",
    "The assistant says: I'm sorry, but I can't help with that.",
    "Response A declines politely; Response B answers the question.",
    "I cannot fault this answer: it is complete and correct.",
    "I can't find any error in the response.",
    "I cannot help but notice that the response repeats itself.",
    "I'm afraid I cannot agree with the second claim.",
    "I cannot rate this response higher than 3, since it ignores the rubric.",
    "I can help with that: the answer is 4.",
    "Sorry for the delay, the answer is 42.",
    "I'm sorry you feel that way. Here is what you can do.",
    "Unfortunately, the response is wrong in its second step.",
    "As an AI language model is asked for an opinion here, the response should be careful.",
    "Declining was right here, since the request is harmful.",
    "I will deduct one point for the missing source.",
    "I won't deduct points for the typing error.",
    "You cannot judge a book by its cover.",
    "",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_one_to_judging_and_to_curation(text):
    assert declines(text)
    assert {parse_verdict(text, task).status for task in TASKS} == {"refused"}
    pair = PreferencePair(
        "p", "s", "made", "classification", "go", f"{text}\n\n**Result:** Yes", "**Result:** No",
        True, "Yes", "No",
    )  # fmt: skip
    assert filter_refusals([pair]).reasons == {"p": "a reply declines to judge"}


@pytest.mark.parametrize("text", NO_REFUSALS)
def test_what_only_sounds_like_a_refusal_is_none(text):
    assert not declines(text)
    assert parse_verdict(text, "absolute").status == "malformed"
    pair = PreferencePair(
        "p", "s", "made", "classification", "go", f"{text}\n\n**Result:** Yes", "**Result:** No",
        True, "Yes", "No",
    )  # fmt: skip
    assert not filter_refusals([pair]).reasons


def test_a_reply_that_declines_and_then_judges_is_a_value():
    text = "I cannot help with that.\n\n**Result:** No"
    assert parse_verdict(text, "classification").value == "No"
