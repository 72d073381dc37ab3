"""Both orders of every pair in training, so that a judge is not taught a position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from selene_lib.ledger import Ledger
from selene_lib.records import Sample

FIXED_ORDER = "fixed_order"
"""In `meta` of a sample that is shown as it stands: its twin shows the other order."""
STAGE = "both orders"


def both_orders(samples: Sequence[Sample], ledger: Ledger | None = None) -> list[Sample]:
    """Return the samples with every pairwise one twice, the second time with its responses swapped.

    The twin has the id `<id>-swapped` and the group of the first, so that a split, which never
    parts a group, never parts them. Samples of other tasks stay as they are. Source of the idea: J1
    (arXiv 2505.10320), Table 8.
    """
    found: list[Sample] = []
    n_added: dict[str, int] = {}
    for sample in samples:
        if sample.task != "pairwise":
            found.append(sample)
            continue
        group = sample.group or sample.id
        meta = {**sample.meta, FIXED_ORDER: True}
        first = replace(sample, meta=meta, group=group)
        twin = replace(first.swap(), id=f"{sample.id}-swapped", meta={**meta, "twin_of": sample.id})
        found += [first, twin]
        n_added[sample.source] = n_added.get(sample.source, 0) + 1
    if ledger is not None:
        ledger.add_growth(STAGE, samples, n_added)
    return found
