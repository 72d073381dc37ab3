"""What preference pairs must be before anything is loaded for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files.names import NO_TEXT, is_writable
from selene_lib.records import PreferencePair

_TEXTS = ("id", "prompt", "chosen", "rejected", "task")


def check_pairs(pairs: Sequence[PreferencePair]) -> None:
    """Raise UserError for pairs that teach nothing (none at all, empty texts, equal completions)
    and for what is no pair of texts.
    """
    _refuse_no_list(pairs)
    if not pairs:
        raise UserError("there are no preference pairs to train on: build some first")
    _refuse_faults(pairs, "pairs cannot be trained on")


def check_held_out(held_out: Sequence[PreferencePair], pairs: Sequence[PreferencePair]) -> None:
    """Raise UserError for held-out pairs that `check_pairs` refuses, or that are trained on."""
    _refuse_no_list(held_out)
    _refuse_faults(held_out, "held-out pairs measure nothing")
    trained_on = set(map(_texts, pairs))
    both = [pair.id for pair in held_out if _texts(pair) in trained_on]
    if both:
        raise UserError(
            f"{len(both)} of {len(held_out)} held-out pairs are trained on as well (first "
            f"{both[0]}), so they would measure what was learnt by heart: leave them out of one"
        )


def _refuse_no_list(pairs: Any) -> None:
    if isinstance(pairs, str) or not isinstance(pairs, Sequence):
        raise UserError(f"pairs are a list of PreferencePair, not a {type(pairs).__name__}")


def _texts(pair: PreferencePair) -> tuple[str, frozenset[str]]:
    return pair.prompt, frozenset((pair.chosen, pair.rejected))


def _refuse_faults(pairs: Sequence[PreferencePair], cannot: str) -> None:
    faults: dict[str, list[str]] = {}
    for number, pair in enumerate(pairs, 1):
        fault = _fault(pair)
        if fault:
            name = getattr(pair, "id", None)
            shown = name if isinstance(name, str) and is_writable(name) else f"number {number}"
            faults.setdefault(fault, []).append(shown)
    if faults:
        fault, ids = next(iter(faults.items()))
        raise UserError(
            f"{len(ids)} of {len(pairs)} {cannot}: {fault} (first {ids[0]}); leave them out"
        )


def _fault(pair: PreferencePair) -> str:
    if not isinstance(pair, PreferencePair):
        return f"a {type(pair).__name__} is no PreferencePair"
    for name in _TEXTS:
        text = getattr(pair, name)
        if not isinstance(text, str):
            return f"the {name} is no text ({type(text).__name__})"
        if not is_writable(text):
            return f"the {name} text holds {NO_TEXT}"
    for name in ("prompt", "chosen", "rejected"):
        if not getattr(pair, name).strip():
            return f"the {name} text is empty"
    if pair.chosen == pair.rejected:
        return "chosen and rejected are the same text"
    return _fault_of_meta(pair.meta, len(pair.prompt))


def _fault_of_meta(meta: Any, n_characters: int) -> str:
    """What is wrong with the note of where the candidates stand in the prompt."""
    if not isinstance(meta, Mapping):
        return "its meta is no mapping"
    spans = meta.get("elastic")
    if spans is None:
        return ""
    if not isinstance(spans, list | tuple) or not all(_is_span(s, n_characters) for s in spans):
        return "meta['elastic'] is no list of [start, end] within the prompt"
    return ""


def _is_span(span: Any, n_characters: int) -> bool:
    is_pair = isinstance(span, list | tuple) and len(span) == 2
    if not is_pair or not all(type(place) is int for place in span):
        return False
    return 0 <= span[0] <= span[1] <= n_characters
