"""Probabilities over the labels from token log-probs, as servers and vLLM give them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from selene_lib.prompts.quotations import readable_part
from selene_lib.prompts.verdicts import MARKER
from selene_lib.records import labels_of

_ROUNDING = 1e-3  # a log-probability just above 0 is 0
_WRAPPING = " \t\n*_\"'`[(<"


def verdict_position(text: str) -> int | None:
    """Where the verdict begins: the first character after the last result marker that is not white
    space or wrapping; None where there is none. Drafts and later turns are passed over.
    """
    part, start, is_open = readable_part(text)
    ends = [match.end() for match in MARKER.finditer(part)]
    if is_open or not ends:
        return None
    places = range(ends[-1], len(part))
    return next((start + i for i in places if part[i] not in _WRAPPING), None)


def label_probabilities(
    task: str, steps: Sequence[tuple[str, Mapping[str, float]]]
) -> dict[str, float] | None:
    """Probabilities of the task's labels at the token that begins the verdict, summing to one.

    None where unknown. `steps` are (token text, {alternative text: log-prob}) in the order written.
    The verdict token is the first after the last result marker that is not white space or wrapping.
    A label that no listed alternative begins has probability 0; where not even one label is listed
    there is nothing to say, nor where `1` may be the beginning of `10`.
    """
    target = verdict_position("".join(token for token, _ in steps))
    if target is None:
        return None
    length = 0
    for token, alternatives in steps:
        length += len(token)
        if length > target:
            return _normalised(task, alternatives)
    return None


def _normalised(task: str, alternatives: Mapping[str, float]) -> dict[str, float] | None:
    mass = dict.fromkeys(labels_of(task), 0.0)
    words = {text.strip(_WRAPPING) for text in alternatives}
    longer = {label for label in mass if any(label != m and label.startswith(m) for m in mass)}
    if not longer <= words:  # a tokenizer that writes 10 in one piece lists it beside 1
        return None
    for text, logprob in alternatives.items():
        if not logprob <= _ROUNDING:  # no log-probability: nothing listed with it can be trusted
            return None
        word = text.strip(_WRAPPING)
        label = next((name for name in mass if word and name.startswith(word)), None)
        if label is not None:
            mass[label] += math.exp(logprob)
    total = sum(mass.values())
    if total == 0:
        return None
    return {label: round(value / total, 6) for label, value in mass.items()}
