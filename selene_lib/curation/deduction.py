"""Response deduction: from a task and an evaluation, which response was it about?

A third kind of pair, after SFR-Judge (arXiv 2409.14664; its mix is 70 % critiques, 15 % judgements,
15 % deductions). The prompt holds the task, the rubric and the sound critique; the chosen reply is
the response that was judged. SFR takes the rejected one from a weaker model. Ours needs none: the
response of another sample to the same prompt, or for a pair the two responses the other way round.
That is our deviation, and easier to tell apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from selene_lib.prompts.rendering import TEMPLATE_FOLDER, escape_marks, fence_for
from selene_lib.records import PreferencePair, Sample

KIND = "deduction"
_FIELDS = re.compile(r"\{(instruction|rubric|critique|what|fence)\}")


def is_deduction(pair: PreferencePair) -> bool:
    """Whether a pair asks for a response instead of a verdict."""
    return pair.meta.get("kind") == KIND


def others_by_prompt(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Return the samples of each group: where a deduction finds another response."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.group or sample.id, []).append(sample)
    return found


def deduction_pair(
    pair: PreferencePair, seen: Sample, critique: str, others: Mapping[str, Sequence[Sample]]
) -> PreferencePair | None:
    """Return the deduction made of a pair's sample as it was shown and the text of its critique.

    None where no other response to the same prompt is there.
    """
    responses = _responses(seen, others)
    if responses is None:
        return None
    chosen, rejected = responses
    template = (TEMPLATE_FOLDER / "generate" / "deduce.txt").read_text(encoding="utf-8")
    values = {
        "instruction": escape_marks(seen.instruction),
        "rubric": escape_marks(seen.rubric or "none given"),
        "critique": escape_marks(critique),
        "what": "both answers" if seen.task == "pairwise" else "the answer",
    }
    values["fence"] = fence_for(*values.values())
    # one pass, so that a text that spells out a field's name stays as it is
    prompt = _FIELDS.sub(lambda match: values[match.group(1)], template.rstrip("\n"))
    return replace(
        pair,
        id=f"{pair.sample_id}-{KIND}",
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        with_critique=False,
        meta={**pair.meta, "kind": KIND, "elastic": []},
    )


def _responses(seen: Sample, others: Mapping[str, Sequence[Sample]]) -> tuple[str, str] | None:
    if seen.task == "pairwise":
        first, second = seen.response, str(seen.response_b)
        return _both(first, second), _both(second, first)
    for other in others.get(seen.group or seen.id, ()):
        is_other = other.id != seen.id and other.task == seen.task
        if is_other and other.label != seen.label and other.response != seen.response:
            return seen.response, other.response
    return None


def _both(first: str, second: str) -> str:
    return f"Answer A:\n{first}\n\nAnswer B:\n{second}"
