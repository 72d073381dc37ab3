"""A prompt and its parser are one contract: what is asked for here is what is read here.

Templates are text files under `templates/<family>/`. The family `full` holds the project's own wording of the five templates of the
paper (absolute and classification with and without reference, pairwise); `nano` holds the short wording of the embedded judge.
One user message, no system prompt. A reply is `**Reasoning:** text`, a blank line, `**Result:** verdict`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from selene_lib.records import LABELS, Sample, Task, VerdictStatus

TEMPLATES = Path(__file__).parent / "templates"
REASONING_MARK = "**Reasoning:**"
RESULT_MARK = "**Result:**"
_FIELD = re.compile(r"\{(instruction|response|response_b|rubric|reference|reply_format|fence)\}")


@dataclass(frozen=True)
class Prompt:
    """A rendered user message. `template` is `family/name`; `sha256` is of the text, so a changed wording is another prompt."""

    text: str
    task: Task
    template: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """What a reply says: `value` is one of the task's labels exactly when `status` is `value`; `reason` says why there is none."""

    status: VerdictStatus
    value: str | None = None
    reason: str = ""


def template_name(sample: Sample) -> str:
    """Return the template that fits a sample: its task, with `_reference` where it brings one and the task has such a template."""
    if sample.task == "pairwise":
        return "pairwise" if sample.rubric else "pairwise_plain"
    return f"{sample.task}_reference" if sample.reference else sample.task


@functools.cache
def load_template(family: str, name: str) -> str:
    """Read `templates/<family>/<name>.txt`; `family` may also be a folder of the user's own template files."""
    folder = Path(family) if "/" in family else TEMPLATES / family
    path = folder / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(p.name for p in TEMPLATES.iterdir() if p.is_dir()))
        raise ValueError(f"no template {path.name} in {folder}; shipped families: {known}")
    return path.read_text(encoding="utf-8").rstrip("\n")


def render(sample: Sample, *, family: str = "full", escape: bool = True, critique: bool = True) -> Prompt:
    """Render one sample as the judge's user message.

    `escape=True` makes it impossible for a candidate text to close its fence or to plant a result line; `escape=False` is the
    faithful plain mode, for parity with published prompts. `critique=False` asks for the verdict alone.
    """
    name = template_name(sample)
    guard = escape_marks if escape else str
    values = {
        "instruction": guard(sample.instruction),
        "response": guard(sample.response),
        "response_b": guard(sample.response_b or ""),
        "rubric": sample.rubric,
        "reference": guard(sample.reference or ""),
        "reply_format": load_template(family, f"reply_{'critique' if critique else 'verdict'}_{sample.task}"),
    }
    values["fence"] = fence_for(*values.values()) if escape else "```"
    text = _FIELD.sub(lambda match: values[match.group(1)], load_template(family, name))
    return Prompt(text=text, task=sample.task, template=f"{family}/{name}{'' if critique else '+verdict'}{'' if escape else '+plain'}")


def fence_for(*texts: str) -> str:
    """Return a backtick fence longer than any run of backticks in `texts` (at least three), which they therefore cannot close."""
    longest = max((len(run) for text in texts for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)


def escape_marks(text: str) -> str:
    """Put a backslash before the stars of reply markers inside candidate text, so that no line in it reads as a reply of ours."""
    return re.sub(r"\*\*(?=\s*(?:reasoning|result)\s*:?\s*\*\*)", r"\\*\\*", text, flags=re.IGNORECASE)


def format_reply(reasoning: str | None, verdict: str) -> str:
    """Write a reply in the judge's format; `reasoning=None` is a judgement-only reply."""
    head = f"{REASONING_MARK} {reasoning}\n\n" if reasoning is not None else ""
    return f"{head}{RESULT_MARK} {verdict}"


def parse_verdict(reply: str, task: Task, *, finish_reason: str = "stop") -> Verdict:
    """Read the verdict after the **last** result marker of a reply (generated text only, never the prompt).

    The text after the marker must be exactly one of the task's labels, give or take surrounding stars, brackets, quotes and a final
    full stop. Anything else is named, not guessed: `truncated` when the reply ran out of tokens before a verdict, `malformed` otherwise.
    """
    position = reply.rfind(RESULT_MARK)
    if position < 0:
        if finish_reason == "length":
            return Verdict("truncated", reason="the token limit came before the result marker")
        return Verdict("malformed", reason="no result marker")
    tail = reply[position + len(RESULT_MARK) :].strip()
    word = tail.splitlines()[0].strip().strip("*[]()\"'`").rstrip(".").strip() if tail else ""
    if word in LABELS[task]:
        return Verdict("value", word)
    if not tail and finish_reason == "length":
        return Verdict("truncated", reason="the token limit came before the verdict")
    return Verdict("malformed", reason=f"{word[:40]!r} is not one of {', '.join(LABELS[task])}" if tail else "nothing after the result marker")
