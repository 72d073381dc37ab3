"""Where a verdict may stand in a reply, which forms of it are read; no label is invented."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.prompts.formats import FORMATS
from selene_lib.prompts.verdicts import parse_verdict, verdict_start
from selene_lib.records import LABELS, TASKS

READ = [
    ("**Result:** yes", "classification", "Yes"),
    ("**Result:** YES.", "classification", "Yes"),
    ("**Result:** Yes, it does", "classification", "Yes"),
    ("**Result:** No, it does not.", "classification", "No"),
    ("**Result:** No, the answer isn't.", "classification", "No"),
    ("**Result:** a", "pairwise", "A"),
    ("**Result:** Response A", "pairwise", "A"),
    ("**Result:** **Answer B**", "pairwise", "B"),
    ("**Result:** Option B.", "pairwise", "B"),
    ("**Result:** A!", "pairwise", "A"),
    ("**Result:** A)", "pairwise", "A"),
    ("**Result:** {A}", "pairwise", "A"),
    ("**Result:** \\boxed{A}", "pairwise", "A"),
    ("**Result:** $\\boxed{\\text{B}}$.", "pairwise", "B"),
    ("**Result:** A\u200b", "pairwise", "A"),
    ("**Result:** \x00A", "pairwise", "A"),
    ("**Result:**\u200b A", "pairwise", "A"),
    ("\ufeff**Result:** A", "pairwise", "A"),
    ("**Result:** A<|im_end|>", "pairwise", "A"),
    ("**Result:** A</s>", "pairwise", "A"),
    ("**Result:** A<end_of_turn>\n", "pairwise", "A"),
    ("**Result:** B<｜end▁of▁sentence｜>", "pairwise", "B"),
    ("**Result:** B[|endofturn|]", "pairwise", "B"),
    ("**Result:** B<turn|>", "pairwise", "B"),
    ("**Result:** 4/5", "absolute", "4"),
    ("**Result:** **4** / 5", "absolute", "4"),
    ("**Result:** 4 out of 5", "absolute", "4"),
    ("**Result:** Score 4", "absolute", "4"),
    ("**Result:** Score: 4", "absolute", "4"),
    ("**Result:** $4$", "absolute", "4"),
    ("**Result:** ４", "absolute", "4"),
    ("**Result：** 4", "absolute", "4"),
    ("__Result:__ 4", "absolute", "4"),
    ("*Result:* 4", "absolute", "4"),
    ("Result: 4", "absolute", "4"),
    ("### Result: 4", "absolute", "4"),
    ("### Result\n4", "absolute", "4"),
    ("Because it is right.\n\nFinal verdict: 4", "absolute", "4"),
    ("Score 4", "absolute", "4"),
    ("4", "absolute", "4"),
    ("yes", "classification", "Yes"),
    ("A.", "pairwise", "A"),
    ("A<|im_end|>", "pairwise", "A"),
    ("\\boxed{A}", "pairwise", "A"),
    ("It is right.\n\nThe final answer is $\\boxed{4}$.", "absolute", "4"),
    ('{"result": "A"}', "pairwise", "A"),
    ('{"reasoning": "fine", "result": 4}', "absolute", "4"),
    ('```json\n{"Result": "no"}\n```', "classification", "No"),
    ('Here it is:\n{"verdict": "Response B"}', "pairwise", "B"),
]


@pytest.mark.parametrize(("reply", "task", "value"), READ)
def test_unambiguous_forms_are_read(reply, task, value):
    assert parse_verdict(reply, task).value == value
    start = verdict_start(reply, task)
    assert reply[start].lower() == {"４": "４"}.get(reply[start], value[0].lower())


NOT_READ = [
    ("**Result:** 4.5", "absolute"),
    ("**Result:** -4", "absolute"),
    ("**Result:** $-4$", "absolute"),
    ("**Result:** $4", "absolute"),
    ("**Result:** <4", "absolute"),
    ("**Result:** 4?", "absolute"),
    ("**Result:** 4/10", "absolute"),
    ("**Result:** 14/5", "absolute"),
    ("**Result:** 4 or 5", "absolute"),
    ("**Result:** A or B", "pairwise"),
    ("**Result:** Apple", "pairwise"),
    ("**Result:** A, then B", "pairwise"),
    ("**Result:** not A", "pairwise"),
    ("**Result:** INCORRECT", "classification"),
    ("**Result:** Yes, but no", "classification"),
    ("**Result:** Yes, it does not", "classification"),
    ("**Result:** yeſ", "classification"),
    ("**Result:** \\boxed{A or B}", "pairwise"),
    ("Result: A or B", "pairwise"),
    ("Result: A\n\nThe other way round.\n\nResult: B", "pairwise"),
    ("**Result:** A\n\nWait.\n\n**Result:** B", "pairwise"),
    ("**Result:** A\n\nResult: B", "pairwise"),
    ("It shows\nResult: 4\nwhich I leave aside.", "absolute"),
    ("The final answer is not \\boxed{4}", "absolute"),
    ("A is a good answer.", "pairwise"),
    ("I would say A", "pairwise"),
    ('{"result": "A", "result": "B"}', "pairwise"),
    ('{"result": "A"} {"result": "B"}', "pairwise"),
    ('{"result": "A"} was in the text; I cannot decide.', "pairwise"),
    ('{"result": ["A"]}', "pairwise"),
    ('{"result": true}', "classification"),
]


@pytest.mark.parametrize(("reply", "task"), NOT_READ)
def test_what_could_mean_another_label_is_not_read(reply, task):
    assert parse_verdict(reply, task).status == "malformed"


THOUGHTS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("<|thinking|>", "<|/thinking|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel>thought", "<channel|>"),
]


@pytest.mark.parametrize(("begin", "end"), THOUGHTS)
def test_a_draft_in_a_thinking_block_is_no_verdict(begin, end):
    draft = f"{begin}\nFirst try.\n**Result:** 2\nHmm, too low."
    assert parse_verdict(draft, "absolute", finish_reason="length").status == "truncated"
    assert parse_verdict(draft, "absolute").status == "malformed"
    undecided = f"{draft}\n{end}\n\nThe answer deserves a high score."
    if "<|end|>" not in end:  # there the turn ends inside the block
        assert parse_verdict(undecided, "absolute").status == "malformed"
        assert parse_verdict(f"{draft}\n{end}\n\n**Result:** 4", "absolute").value == "4"
    assert parse_verdict(f"**Result:** 4\n{draft}", "absolute").value is None


def test_a_thinking_block_that_the_template_opened():
    reply = "First try.\n**Result:** 2\nToo low.\n</think>\n\n**Result:** 4"
    assert parse_verdict(reply, "absolute").value == "4"
    assert parse_verdict(reply.replace("Too low", "It has <|eot_id|>"), "absolute").value is None


def test_marks_that_are_spoken_of_are_not_used():
    reply = "**Reasoning:** It leaks `<think>` and `<|eot_id|>`.\n\n**Result:** 2"
    assert parse_verdict(reply, "absolute").value == "2"


RUN_ON = [
    "**Result:** A<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n**Result:** B",
    "**Result:** A<|im_end|>\n<|im_start|>user\nB?<|im_end|>\n**Result:** B",
    "**Result:** A</s>[INST] next [/INST]**Result:** B",
    "**Result:** A<|eot_id|><think>x</think>**Result:** B",
    "**Result:** A\n\nHuman: next\n\n**Result:** B",
    "**Result:** A\n\n### User: next\n\n### Assistant: **Result:** B",
    "<|start_header_id|>assistant<|end_header_id|>\n\n**Result:** A<|eot_id|>**Result:** B",
]


@pytest.mark.parametrize("reply", RUN_ON)
def test_what_stands_behind_the_reply_does_not_count(reply):
    assert parse_verdict(reply, "pairwise").value == "A"


def test_a_reply_that_ran_out_of_tokens_in_its_verdict_is_truncated():
    for reply in ("**Result:** Score 4", "4", "Result: 4", "**Result:** a"):
        task = "pairwise" if reply.endswith("a") else "absolute"
        assert parse_verdict(reply, task, finish_reason="length").status == "truncated"
        assert parse_verdict(f"{reply}<|im_end|>", task).status == "value"
    assert parse_verdict("**Result:** 4", "absolute", finish_reason="length").value == "4"


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_notation_passes_over_drafts_and_later_turns(name):
    form = FORMATS[name].reply
    words = {label: word for word, label in form.labels["pairwise"].items()}
    draft = form.show("draft" if form.critique else None, words["B"])
    good = form.show("good" if form.critique else None, words["A"])
    assert form.parse(f"<think>{draft}</think>\n{good}", "pairwise").value == "A"
    assert form.parse(f"{good}<|eot_id|>{draft}", "pairwise").value == "A"
    assert form.parse(f"<think>{draft}", "pairwise").value is None
    cut = form.parse(f"<think>{draft}", "pairwise", finish_reason="length")
    assert cut.status == "truncated"


NOISE = st.text(alphabet=" \n*_#.!`\"'()[]{}<>$|:\u200b\x00", max_size=8)
SHOWN = {
    "absolute": ["{}", "{}/5", "Score {}", "**{}**", "\\boxed{{{}}}"],
    "classification": ["{}", "**{}**", "({})"],
    "pairwise": ["{}", "Response {}", "[[{}]]", "Answer {}."],
}
MARKS = ["**Result:** ", "Result: ", "__Result:__ ", "### Result: ", "", "\\boxed"]
SETTINGS = settings(max_examples=200, deadline=None)


@st.composite
def stated(draw, label, task):
    form = draw(st.sampled_from(SHOWN[task]))
    return (
        draw(NOISE) + draw(st.sampled_from(MARKS)) + draw(NOISE) + form.format(label) + draw(NOISE)
    )


@SETTINGS
@given(st.data(), st.sampled_from(TASKS))
def test_a_label_in_noise_is_read_as_itself_or_not_at_all(data, task):
    label = data.draw(st.sampled_from(LABELS[task]))
    reply = data.draw(stated(label, task))
    finish = data.draw(st.sampled_from(["stop", "length"]))
    assert parse_verdict(reply, task, finish_reason=finish).value in (label, None)


@SETTINGS
@given(st.data(), st.sampled_from(TASKS))
def test_two_labels_are_never_read(data, task):
    first, second = data.draw(
        st.lists(st.sampled_from(LABELS[task]), min_size=2, max_size=2, unique=True)
    )
    join = data.draw(st.sampled_from(["\n", "\n\n", " ", " or ", ", ", "\nOn reflection\n"]))
    reply = f"**Result:** {first}{join}" + data.draw(stated(second, task))
    assert parse_verdict(reply, task).value in (None, first)
    if "**Result:**" in reply[len("**Result:**") :]:
        assert parse_verdict(reply, task).value is None
