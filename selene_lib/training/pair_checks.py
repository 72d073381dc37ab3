"""What preference pairs must be before anything is loaded for them."""

from __future__ import annotations

from collections.abc import Sequence

from selene_lib.errors import UserError
from selene_lib.records import PreferencePair


def check_pairs(pairs: Sequence[PreferencePair]) -> None:
    """Raise UserError for pairs that teach nothing: none at all, empty texts, equal completions."""
    if not pairs:
        raise UserError("there are no preference pairs to train on: build some first")
    faults: dict[str, list[str]] = {}
    for pair in pairs:
        fault = _fault(pair)
        if fault:
            faults.setdefault(fault, []).append(pair.id)
    if faults:
        fault, ids = next(iter(faults.items()))
        raise UserError(
            f"{len(ids)} of {len(pairs)} pairs cannot be trained on: {fault} (first {ids[0]}); "
            "leave them out"
        )


def _fault(pair: PreferencePair) -> str:
    for name in ("prompt", "chosen", "rejected"):
        if not getattr(pair, name).strip():
            return f"the {name} text is empty"
    if pair.chosen == pair.rejected:
        return "chosen and rejected are the same text"
    return ""
