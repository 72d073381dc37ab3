"""A reply that states two verdicts, quotes one, or drafts one in a block of any name: no value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import LABELS, TASKS

# Notations that are read, each as a whole reply
NOTATIONS = (
    "**Result:** {}",
    "**Reasoning:** It holds up.\n\n**Result:** {}",
    "**Result: {}**",
    "__Result:__ {}",
    "Result: {}",
    "### Final verdict: {}",
    "### Result\n{}",
    "\\boxed{{{}}}",
    '{{"result": "{}"}}',
    '```json\n{{"reasoning": "fine", "result": "{}"}}\n```',
    "{}",
)
# Ways to say another one behind it
REVISIONS = (
    "**Revised Result:** {}",
    "**Corrected result: {}**",
    "**Final Answer:** {}",
    "**Winner:** {}",
    "**Result** {}",
    "**Results:** {}",
    "**Result (revised):** {}",
    "<result>{}</result>",
    "[[{}]]",
    "The final answer is \\boxed{{{}}}",
    "Therefore, the final answer is {}.",
    "Actually: {}",
    "- {}",
    "So {}.",
    "or {}",
    "It should be {}.",
    "`{}`",
)
NEUTRAL = st.sampled_from(
    [
        "The text was weighed with care.",
        "It is clear, polite and short.",
        "This follows the rubric point by point.",
        "Sources are named and the tone is even.",
    ]
)
TWO = st.sampled_from(TASKS).flatmap(
    lambda task: st.tuples(
        st.just(task),
        st.lists(st.sampled_from(LABELS[task]), min_size=2, max_size=2, unique=True),
    )
)
QUICK = settings(max_examples=150, deadline=None)


@QUICK
@given(TWO, st.sampled_from(NOTATIONS), st.sampled_from(NOTATIONS + REVISIONS), st.data())
def test_two_verdicts_in_any_notations_and_order_are_none(two, first, second, data):
    task, (one, other) = two
    gap = data.draw(st.sampled_from(["\n", "\n\n", "\n\nNothing else.\n\n"]))
    reply = first.format(one) + gap + second.format(other)
    assert parse_verdict(reply, task).value is None, reply


@QUICK
@given(TWO, st.sampled_from(NOTATIONS[:-1]), NEUTRAL)
def test_one_verdict_below_neutral_prose_is_read(two, notation, prose):
    task, (label, _) = two
    reply = f"{prose}\n\n{notation.format(label)}"
    assert parse_verdict(reply, task).value == label, reply
    if "**" in notation:
        assert parse_verdict(f"{notation.format(label)}\n\n{prose}", task).value == label


TOKENS = [
    ("<unused94>thought\n", "<unused95>"),
    ("<unused1>", "<unused2>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|startofthink|>", "<|endofthink|>"),
    ("<|think_start|>", "<|think_end|>"),
    ("<|thinking_start|>", "<|thinking_end|>"),
    ("<｜begin▁of▁think｜>", "<｜end▁of▁think｜>"),
    ("<|anything|>", "<|at_all|>"),
    ("[|plan|]", "[|done|]"),
]


@pytest.mark.parametrize(("begin", "end"), TOKENS)
@pytest.mark.parametrize("before", ["", "Okay.\n"])
def test_a_draft_between_tokens_of_any_name_is_no_verdict(begin, end, before):
    draft = f"{before}{begin}Draft\n**Result:** A\n{end}"
    assert parse_verdict(f"{draft}**Result:** B", "pairwise").value in ("B", None)
    assert parse_verdict(f"{draft}I like none.", "pairwise").value is None


NAMES = ["longcat_think", "cot", "draft", "reason", "thinking_process", "inner_monologue"]


@pytest.mark.parametrize("name", [*NAMES, "details", "blah"])
@pytest.mark.parametrize("block", ["<{0}>{1}</{0}>", "[{0}]{1}[/{0}]", "&lt;{0}&gt;{1}</{0}>"])
def test_a_block_of_another_name_hides_what_it_holds(name, block):
    draft = block.format(name, "\n**Result:** A\n")
    assert parse_verdict(f"{draft}\n\nI like none.", "pairwise").value is None
    assert parse_verdict(f"{draft}\n\n**Result:** B", "pairwise").value == "B"
    if name in NAMES and "[" in block:
        cut = parse_verdict(f"[{name}]\n**Result:** A\nand", "pairwise", finish_reason="length")
        assert cut.status == "truncated"


BEFORE = [
    "<result>B</result>",
    "[RESULT] B",
    "[[B]]",
    "**Winner: B**",
    "**Final Answer:** B",
    '{"winner": "B"}',
    '{"final_answer": "B", "result": "A"}',
    "```\n**Result:** B\n```",
]


@pytest.mark.parametrize("other", BEFORE)
@pytest.mark.parametrize("notation", ["**Result:** A", "Result: A", '{"result": "A"}'])
def test_another_verdict_in_front_counts_in_any_notation(other, notation):
    assert parse_verdict(f"{other}\n\n{notation}", "pairwise").status == "malformed"


QUOTED = [
    "<!-- **Result:** A -->\nI like none.",
    ":::thinking\n**Result:** A\n:::\nI like none.",
    "{plan}\n**Result:** A\n{/plan}\nI like none.",
    "The response contains:\n> **Result:** A\nI ignore it.",
    "The response contains:\n```\n**Result:** A\n```\nI like none.",
    "The response contains:\n```\n**Result:** A\n```",
    "```thinking\n**Result:** A\n```\nI like none.",
    "```\n**Result:** A\n```\nI like none.",
    "```thinking\n**Result:** A",
    "If it were honest:\n**Result:** A\nBut since it is not honest, the opposite.",
    'The response says "**Result:** A"',
    "I would not write **Result:** A",
    'I would not say {"result": "A"}',
    "`**Result:** A`\nstands in the text.",
    "**Result:** A\nwas in the text.",
    "<response>**Result:** A</response>",
]


@pytest.mark.parametrize("reply", QUOTED)
def test_a_quoted_verdict_is_none(reply):
    assert parse_verdict(reply, "pairwise").status == "malformed"


REST = [
    ("4\n-5", "absolute"),
    ("4\n.5", "absolute"),
    ("4\n/10", "absolute"),
    ("4\nto 5", "absolute"),
    ("4\nand a half", "absolute"),
    ("4\u20285", "absolute"),
    ("1\r0", "absolute 1-10"),
    ("1\x0c0", "absolute 1-10"),
    ("1\n0", "absolute 1-10"),
    ("Yes\nand no", "classification"),
    ("No\n, it is correct: Yes", "classification"),
]


@pytest.mark.parametrize(("words", "task"), REST)
def test_a_label_that_the_next_line_goes_on_with_is_not_read(words, task):
    assert parse_verdict(f"**Result:** {words}", task).status == "malformed"


SAID = [
    ("4", "I would give it a 2.", "absolute"),
    ("4", "Final score: 2/5", "absolute"),
    ("4", "The score is lowered to two.", "absolute"),
    ("4", "Final score: 4.5", "absolute"),
    ("A", "Wait, I made a mistake. B is better.", "pairwise"),
    ("A", "Ultimately I prefer response B.", "pairwise"),
    ("A", "It is not A.", "pairwise"),
    ("A", "I cannot decide.", "pairwise"),
    ("A", "**or B**", "pairwise"),
    ("A", "B > A", "pairwise"),
    ("A", "The second response is the better one.", "pairwise"),
    ("A", "I'd go for B in the end.", "pairwise"),
    ("4", "Rather a 3, I think, as the code fails.", "absolute"),
    ("Yes", "The response does not satisfy the rubric, so No.", "classification"),
    ("A", "Endergebnis: B", "pairwise"),
    ("Yes", "The answer is no.", "classification"),
]


@pytest.mark.parametrize(("label", "sentence", "task"), SAID)
def test_a_sentence_behind_the_verdict_can_take_it_back(label, sentence, task):
    reply = f"**Reasoning:** fine\n\n**Result:** {label}\n\n{sentence}"
    assert parse_verdict(reply, task).status == "malformed"


GOOD = [
    ('{\n "result": 4,\n "confidence": 2\n}', "4"),
    ('{\n "reasoning": "B is better in tone",\n "clarity_score": 3,\n "result": 4\n}', "4"),
    ("**Reasoning:** Response A is better in tone, but B is right. **Result:** B", "B"),
    ("**Reasoning:** ok\n\n**Result:** A\n\nResponse A is better than Response B.", "A"),
    ("**Response A**\nGood.\n**Response B**\nBad.\n\n**Result:** A", "A"),
    ("**Result:** A\n\n**Reasoning:** A is clear while B rambles.", "A"),
    ("```\n**Reasoning:** ok\n**Result:** A\n```", "A"),
    ("**Reasoning:** Code:\n```py\nprint(1)\n```\nfine.\n\n**Result:** A", "A"),
    ("**Reasoning:** It has <b>bold</b> and <xyz>tags</xyz>.\n\n**Result:** A", "A"),
    ("<evaluation>\n**Reasoning:** ok\n**Result:** A\n</evaluation>", "A"),
    ("**Reasoning:** so\r\n\r\n**Result:** B\r\n", "B"),
    ("**Reasoning:** Is it kind?\nYes\nIs it short?\nNo\n\n**Result:** No", "No"),
    ("**Reasoning:** Tone\nScore: 3\nDepth\nScore: 4\n\n**Result:** 4", "4"),
    ("**Reasoning:** The answer is 4, which is wrong.\n\n**Result:** 2", "2"),
    ("**Result:** A\n\nThe first response is right. The second response is rather long.", "A"),
    ("**Result:** 4\n\nThis is a good response with 2 small faults in its last part.", "4"),
]


@pytest.mark.parametrize(("reply", "value"), GOOD)
def test_what_well_behaved_judges_write_stays_readable(reply, value):
    (task,) = (task for task in TASKS if value in LABELS[task])
    assert parse_verdict(reply, task).value == value


@pytest.mark.parametrize("finish", ["length", "error", "MAX_TOKENS", "max_tokens", "abort", "odd"])
def test_an_end_that_is_not_known_as_a_natural_one_cuts_a_reply(finish):
    cut = parse_verdict("Let me see.\n**Result:** 2\nToo", "absolute", finish_reason=finish)
    assert cut.status == "truncated"
    assert parse_verdict("**Result:** 1", "absolute 1-10", finish_reason=finish).value is None
    assert parse_verdict("**Result:** 4", "absolute", finish_reason=finish).value == "4"


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "end_turn", "stop_sequence", ""])
def test_natural_ends_are_known_in_any_case(finish):
    assert parse_verdict("**Result:** 1", "absolute 1-10", finish_reason=finish).value == "1"
    assert (
        parse_verdict("**Result:** 1", "absolute 1-10", finish_reason="content_filter").status
        == "truncated"
    )
