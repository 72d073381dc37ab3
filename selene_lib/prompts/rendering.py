"""A prompt and its parser are one contract: what is asked for here is what is read here.

Templates are text files under `templates/<family>/`. The family `full` holds the project's own
wording of the five templates of the paper (absolute and classification with and without reference,
pairwise) and a pairwise one without rubric; `nano` holds the short wording of the embedded judge. A
family may also be a folder of the user's own templates. One user message, no system prompt. A reply
is `**Reasoning:** text`, a blank line, `**Result:** verdict`.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files.yaml_text import NotYamlError, parse_yaml
from selene_lib.prompts.additions import (
    Additions,
    on_scale,
    on_usual_scale,
    show_examples,
    with_places,
    with_reply_format,
)
from selene_lib.prompts.control_tokens import defuse
from selene_lib.prompts.rubrics import split_rubric
from selene_lib.prompts.verdicts import REASONING_MARK, RESULT_MARK, Verdict, parse_verdict
from selene_lib.records import LABELS, Sample, Task

__all__ = [
    "REASONING_MARK",
    "RESULT_MARK",
    "Prompt",
    "Verdict",
    "escape_marks",
    "fence_for",
    "format_reply",
    "load_template",
    "parse_verdict",
    "render",
    "shorten",
    "template_name",
]

Span = tuple[int, int]  # begin and end, in characters
NOTHING_MORE = Additions()
TEMPLATE_FOLDER = Path(__file__).parent / "templates"
# Files and fields of the prompt templates that the makers of Selene Mini publish as YAML; a folder
# of them can be given as `family`.
PUBLISHED_NAMES = {
    "absolute": "absolute-scoring.yaml",
    "absolute_reference": "absolute-scoring-with-reference.yaml",
    "classification": "classification.yaml",
    "classification_reference": "classification-with-reference.yaml",
    "pairwise": "pairwise.yaml",
    "pairwise_plain": "pairwise.yaml",
}
PUBLISHED_FIELDS = {
    "user_input": "instruction",
    "assistant_response": "response",
    "assistant_response_a": "response",
    "assistant_response_b": "response_b",
    "reference_response": "reference",
}
_FIELD = re.compile(
    r"\{(instruction|response|response_b|rubric|reference|context|examples|reply_format|fence"
    r"|rubric_objective|rubric_(?:score_[1-5]|yes|no)_description)\}"
)
_LABEL_LINE = re.compile(
    r"^.*\{(rubric_(?:score_[1-5]|yes|no)_description)\}.*(?:\n|\Z)", re.MULTILINE
)
_RESULT_MARKS = re.compile(r"(?:\*\*|__)(?=\s*result\s*(?:\*\*|__)?\s*[:：])", re.IGNORECASE)
_MARKS = re.compile(
    r"\*\*(?=\s*(?:reasoning|result)\b)|__(?=\s*(?:reasoning|result)\s*(?:__)?\s*[:：])",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Prompt:
    """A rendered user message.

    `template` is `family/name`; `sha256` is of the text, so a changed wording is another prompt.
    `scale` names one that is not the usual one, `draw` which of several replies to this prompt is
    asked for (from 1; 0 where one is enough).
    `elastic` holds the character spans of the judged responses, `context` those of instruction and
    reference: what `shorten` may cut, in this order, where a model's context is too small.
    """

    text: str
    task: Task
    template: str
    elastic: tuple[Span, ...] = field(default=(), compare=False, repr=False)
    context: tuple[Span, ...] = field(default=(), compare=False, repr=False)
    scale: str = ""
    draw: int = 0

    @property
    def kind(self) -> str:
        """The task, with its scale where that is not the usual one; see `Sample.kind`."""
        return f"{self.task} {self.scale}" if self.scale else self.task

    @functools.cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def template_name(sample: Sample) -> str:
    """Return the template that fits a sample.

    It is named for the task, with `_reference` where the sample brings one and the task has such a
    template.
    """
    if sample.task == "pairwise":
        return "pairwise" if sample.rubric else "pairwise_plain"
    return f"{sample.task}_reference" if sample.reference else sample.task


def load_template(family: str, name: str) -> str:
    """Read `templates/<family>/<name>.txt`.

    A `family` with a slash in it is a folder of the user's own template files. A user's folder may
    leave the `reply_*` files out (the ones of `full` are used), and may hold the published YAML
    files instead. A missing file or a template without its data fields is a UserError that names
    it.
    """
    own = "/" in family or "\\" in family
    if not own:
        return _shipped_template(TEMPLATE_FOLDER, family, name)
    return _template_in(Path(family), name, own)


@functools.lru_cache(maxsize=256)
def _shipped_template(folder: Path, family: str, name: str) -> str:
    """A template of ours, which no one changes while a process runs."""
    return _template_in(folder / family, name, own=False)


def _template_in(folder: Path, name: str, own: bool) -> str:
    path = folder / f"{name}.txt"
    if own and not path.is_file() and (folder / PUBLISHED_NAMES.get(name, "")).is_file():
        path = folder / PUBLISHED_NAMES[name]
    if own and name.startswith("reply_") and not path.is_file():
        path = TEMPLATE_FOLDER / "full" / f"{name}.txt"
    if not path.is_file():
        known = ", ".join(sorted(p.name for p in TEMPLATE_FOLDER.iterdir() if p.is_dir()))
        raise UserError(f"no template {path.name} in {folder}; shipped families: {known}")
    return _read_template(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _read_template(path: Path, _modified_ns: int) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        text = _from_yaml(path, text)
    text = text.rstrip("\n")
    if not path.name.startswith("reply_"):
        needed = {"response", "response_b"} if path.name.startswith("pairwise") else {"response"}
        missing = sorted(needed - set(_FIELD.findall(text)))
        if missing:
            raise UserError(
                f"{path}: the field {{{missing[0]}}} is missing; "
                "a judge would not see what it judges"
            )
    return text


def _from_yaml(path: Path, text: str) -> str:
    """A published YAML template in our field names.

    Its fences become ours, which escaping can lengthen.
    """
    try:
        found = parse_yaml(text)
    except NotYamlError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("user_template"), str):
        raise UserError(
            f"{path}: no 'user_template' in it; is it one of the published prompt templates?"
        )
    template = re.sub(r"^```[ \t]*$", "{fence}", found["user_template"], flags=re.MULTILINE)
    for theirs, ours in PUBLISHED_FIELDS.items():
        template = template.replace(f"{{{theirs}}}", f"{{{ours}}}")
    return template


def render(
    sample: Sample,
    *,
    family: str = "full",
    escape: bool = True,
    critique: bool = True,
    additions: Additions = NOTHING_MORE,
) -> Prompt:
    """Render one sample as the judge's user message.

    `escape=True` makes it impossible for a text of the sample (instruction, responses, reference,
    rubric) to close a fence, to plant a `**Result:**` line or to end the user's turn with a control
    token that we know; `escape=False` is the faithful plain mode, for parity with published
    prompts. `critique=False` asks for the verdict alone. `additions` are examples to judge by and
    leave to abstain.
    """
    name = template_name(sample)
    reply_name = f"reply_{'critique' if critique else 'verdict'}_{sample.task}"
    guard = escape_marks if escape else str
    values = {
        "instruction": guard(sample.instruction),
        "response": guard(sample.response),
        "response_b": guard(sample.response_b or ""),
        "rubric": escape_rubric(sample.rubric) if escape else sample.rubric,
        "reference": guard(sample.reference or ""),
        "context": guard(str(sample.meta.get("context") or "")),
        "examples": "",
        "reply_format": with_reply_format(
            on_scale(load_template(family, reply_name), sample.kind), additions
        ),
    }
    template = on_scale(load_template(family, name), sample.kind)
    template = with_places(template, additions, has_context=bool(values["context"]))
    if additions.examples:
        values["examples"] = show_examples(
            additions.examples,
            critique=critique,
            guard=guard,
            fence_for=fence_for if escape else lambda *_: "```",
            write_reply=format_reply,
        )
    if "{rubric_" in template:
        values |= _rubric_fields(values["rubric"], sample.kind)
        template = _LABEL_LINE.sub(
            lambda match: match.group(0) if values[match.group(1)] else "", template
        )
    values["fence"] = fence_for(*values.values()) if escape else "```"
    text, spans = _fill(template, values)
    elastic = tuple(span for name, span in spans if name in ("response", "response_b"))
    context = tuple(span for name, span in spans if name in ("instruction", "context", "reference"))
    mode = f"{'' if critique else '+verdict'}{'' if escape else '+plain'}{additions.mode}"
    return Prompt(
        text=text,
        task=sample.task,
        template=f"{family}/{name}{mode}",
        elastic=elastic,
        context=context,
        scale=sample.kind.partition(" ")[2],
    )


def family_of_prompts(prompts: Sequence[str]) -> str | None:
    """Return the shipped family that all of these prompts were rendered with, None without one.

    It is known by the first line of a template, which has no field in it.
    """
    for folder in sorted(TEMPLATE_FOLDER.iterdir()):
        names = [name for name in PUBLISHED_NAMES if (folder / f"{name}.txt").is_file()]
        first_lines = {load_template(folder.name, name).partition("\n")[0] for name in names}
        lines = (on_usual_scale(prompt.partition("\n")[0]) for prompt in prompts)
        if names and all(line in first_lines for line in lines):
            return folder.name
    return None


def _rubric_fields(rubric: str, kind: str) -> dict[str, str]:
    """The rubric in parts, for templates that place criterion and label descriptions themselves.

    A part it lacks is empty.
    """
    criterion, described = split_rubric(rubric, kind)
    fields = {"rubric_objective": criterion}
    for score in LABELS["absolute"]:
        fields[f"rubric_score_{score}_description"] = described.get(score, "")
    for answer in LABELS["classification"]:
        fields[f"rubric_{answer.lower()}_description"] = described.get(answer, "")
    return fields


def _fill(template: str, values: dict[str, str]) -> tuple[str, list[tuple[str, Span]]]:
    """Fill each field once (what a value contains is never filled again).

    Return the text and the span of each field in it.
    """
    parts: list[str] = []
    spans: list[tuple[str, Span]] = []
    length, last = 0, 0
    for match in _FIELD.finditer(template):
        value = values[match.group(1)]
        length += match.start() - last
        spans.append((match.group(1), (length, length + len(value))))
        parts += [template[last : match.start()], value]
        length, last = length + len(value), match.end()
    return "".join((*parts, template[last:])), spans


def shorten(prompt: Prompt, count_tokens: Callable[[str], int], limit: int) -> tuple[Prompt, int]:
    """Cut the middle out of the longest response until `count_tokens(text) <= limit`.

    Return the prompt and how many characters went. Where the responses have nothing left to give,
    instruction and reference are cut in the same way. A mark says how much is missing. Rules,
    rubric and the tail of the prompt are never cut; where they alone are too long a ValueError says
    so.
    """
    cuts = dict.fromkeys((*prompt.elastic, *prompt.context), 0)
    shown = prompt
    while (excess := count_tokens(shown.text) - limit) > 0:
        span = _next_to_cut(prompt.elastic, cuts) or _next_to_cut(prompt.context, cuts)
        if span is None:
            raise ValueError(
                f"a prompt of {limit + excess} tokens does not fit {limit} tokens even when cut; "
                "raise the limit"
            )
        left = span[1] - span[0] - cuts[span]
        cuts[span] += min(left - 40, 60 + excess * max(1, len(shown.text) // (limit + excess)))
        shown = _cut_middles(prompt, cuts)
    return shown, sum(cuts.values())


def _next_to_cut(spans: tuple[Span, ...], cuts: dict[Span, int]) -> Span | None:
    """Return the span with most left, None where none has 120 characters left."""
    left = {span: span[1] - span[0] - cuts[span] for span in spans}
    span = max(left, key=left.__getitem__, default=None)
    return span if span is not None and left[span] >= 120 else None


def _cut_middles(prompt: Prompt, cuts: dict[Span, int]) -> Prompt:
    """Replace the middle `cuts[span]` characters of each span of the whole prompt by a mark."""
    text, delta = prompt.text, 0
    moved: dict[Span, Span] = {}
    for (start, end), n_cut in sorted(cuts.items()):
        here, until = start + delta, end + delta
        if n_cut:
            left = here + (until - here - n_cut) // 2
            mark = f"\n[... {n_cut} characters left out ...]\n"
            text = text[:left] + mark + text[left + n_cut :]
            delta, until = delta + len(mark) - n_cut, until + len(mark) - n_cut
        moved[start, end] = (here, until)
    return replace(
        prompt,
        text=text,
        elastic=tuple(moved[span] for span in prompt.elastic),
        context=tuple(moved[span] for span in prompt.context),
    )


def fence_for(*texts: str) -> str:
    """Return a backtick fence that none of `texts` can close.

    It is longer than any run of backticks in them, and at least three.
    """
    longest = max((len(run) for text in texts for run in re.findall(r"`+", text)), default=0)
    return "`" * max(3, longest + 1)


def escape_marks(text: str) -> str:
    """Defuse candidate text.

    A backslash goes before the stars and underscores of reply markers, and a space inside the
    control tokens of `selene_lib.prompts.control_tokens`. After it no marker of ours stands in the
    text, and no `<|eot_id|>` in it ends the user's turn. Other text is unchanged.
    """
    return defuse(_MARKS.sub(_with_backslashes, text))


def escape_rubric(text: str) -> str:
    """Defuse a rubric, which may come from a column of the input.

    As `escape_marks`, but a rubric may speak of `**Reasoning:**`: only result markers are defused.
    """
    return defuse(_RESULT_MARKS.sub(_with_backslashes, text))


def _with_backslashes(match: re.Match[str]) -> str:
    return "".join(f"\\{character}" for character in match.group())


def format_reply(reasoning: str | None, verdict: str) -> str:
    """Write a reply in the judge's format; `reasoning=None` is a judgement-only reply."""
    head = f"{REASONING_MARK} {reasoning}\n\n" if reasoning is not None else ""
    return f"{head}{RESULT_MARK} {verdict}"
