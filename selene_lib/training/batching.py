"""Which pairs make a step, which decides numbers, and how a step is cut, which does not."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from selene_lib.errors import UserError
from selene_lib.records import unit_hash
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.layout import Layout, n_row_tokens
from selene_lib.training.spec import TrainSpec

MOST_STEPS = 10_000_000  # the pairs of each are drawn before the first


def n_steps_for(n_pairs: int, batch_size: int, n_steps: int | None, n_epochs: float) -> int:
    """Optimiser steps of a run: as given, or enough to see every pair `n_epochs` times.

    The last step may begin another pass.
    """
    if n_pairs == 0:
        raise UserError(
            "there is no pair to train on that fits: loosen the filters, raise max_length_tokens, "
            "or take a base with more positions (see the counts of what was dropped)"
        )
    steps = n_steps if n_steps is not None else max(1, math.ceil(n_pairs * n_epochs / batch_size))
    if steps > MOST_STEPS:
        raise UserError(
            f"{steps} steps of {batch_size} pairs are more than a training takes ({MOST_STEPS} at "
            "most): lower n_steps or n_epochs"
        )
    return steps


def fit_batch(spec: TrainSpec, n_pairs: int) -> TrainSpec:
    """The spec with a `batch_size` of at most all pairs."""
    return replace(spec, batch_size=max(1, min(spec.batch_size, n_pairs)))


def global_batches(
    ids: Sequence[str], batch_size: int, n_steps: int, seed: int
) -> list[tuple[int, ...]]:
    """Indices of the pairs of each step: passes over the data, cut into full steps.

    A pass has an order drawn from `(seed, pass, pair id)`.
    """
    stream = _passes(ids, seed)
    return [tuple(next(stream) for _ in range(batch_size)) for _ in range(n_steps)]


def _passes(ids: Sequence[str], seed: int) -> Iterator[int]:
    number = 0
    while True:
        keys = [(unit_hash(seed, "order", number, name), index) for index, name in enumerate(ids)]
        yield from (index for _, index in sorted(keys))
        number += 1


def micro_batches(
    pairs: Sequence[EncodedPair],
    layout: Layout,
    *,
    max_tokens: int,
    max_pairs: int | None = None,
    packing: bool = True,
) -> list[list[int]]:
    """Cut a step's pairs into micro-batches of similar lengths, longest first, as indices.

    `max_tokens` bounds the tokens that are computed: the sum of lengths when packed, rows times the
    longest row when padded. A pair longer than that is a micro-batch of its own.
    """
    lengths = [n_row_tokens(pair, layout) for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda i: (-lengths[i], i))
    cut: list[list[int]] = []
    for index in order:
        current = cut[-1] if cut else []
        full = len(current) == max_pairs or _cost(lengths, [*current, index], packing) > max_tokens
        if full or not current:
            cut.append([index])
        else:
            current.append(index)
    return cut


def _cost(lengths: Sequence[int], members: Sequence[int], packing: bool) -> int:
    mine = [lengths[i] for i in members]
    return sum(mine) if packing else len(mine) * max(mine)


def n_computed_tokens(pairs: Sequence[EncodedPair], layout: Layout, *, packing: bool) -> int:
    """Tokens that one micro-batch of these pairs computes: what `max_tokens` bounds."""
    lengths = [n_row_tokens(pair, layout) for pair in pairs]
    return _cost(lengths, range(len(lengths)), packing)
