"""Greedy decoding for judges: shared prefixes once, one key-value buffer, rows that leave early.

`transformers.generate` pays per step for logits processors, stopping criteria and a cache that is
copied whole to grow by one token; a judge needs none of it. The rules of a template stand in every
prompt of a batch, and the two orders of a pair (or several rubrics of one item) share still more:
both are read once (`selene_lib.judges.prefixes`). The replies are those of greedy `generate`;
`bench/judge.py` checks it and prints the ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from selene_lib.errors import UserError
from selene_lib.judges.prefixes import shared_prefixes, whole


@dataclass
class Generated:
    """What was written to one prompt.

    `ids` are token ids without the end token, `finish_reason` is `stop` or `length`, `watched` are
    the logits of the watched tokens at each step.
    """

    ids: list[int] = field(default_factory=list)
    finish_reason: str = "length"
    watched: torch.Tensor | None = None  # [n_steps, n_watched]


class _BufferLayer(DynamicLayer):
    """A cache layer that grows inside a buffer instead of being copied for each token."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, heads, new, width = key_states.shape
        if not self.is_initialized:
            self.dtype, self.device, self.is_initialized = key_states.dtype, key_states.device, True
            self.key_buffer = key_states.new_empty(rows, heads, self.capacity, width)
            self.value_buffer = value_states.new_empty(
                rows, heads, self.capacity, value_states.shape[-1]
            )
        end = self.length + new
        self.key_buffer[:, :, self.length : end] = key_states
        self.value_buffer[:, :, self.length : end] = value_states
        self.length = end
        self.keys, self.values = self.key_buffer[:, :, :end], self.value_buffer[:, :, :end]
        return self.keys, self.values

    def keep(self, rows: torch.Tensor, first_column: int) -> None:
        """Keep some rows, and drop the columns before `first_column`: padding in all of these."""
        self.key_buffer = self.key_buffer[rows, :, first_column:]
        self.value_buffer = self.value_buffer[rows, :, first_column:]
        self.length -= first_column
        self.keys = self.key_buffer[:, :, : self.length]
        self.values = self.value_buffer[:, :, : self.length]


def buffer_cache(n_layers: int, capacity: int) -> DynamicCache:
    """A cache of `n_layers` buffers of `capacity` positions each."""
    cache = DynamicCache()
    cache.layers = [_BufferLayer(capacity) for _ in range(n_layers)]
    return cache


def _buffers(cache: DynamicCache) -> Iterator[_BufferLayer]:
    """The layers of a cache that `buffer_cache` made."""
    for layer in cache.layers:
        assert isinstance(layer, _BufferLayer)
        yield layer


def left_pad(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and mask, both [n_rows, longest], padded on the left."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids.to(device), mask.to(device)


@torch.inference_mode()
def greedy(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    end_ids: Sequence[int],
    pad_id: int,
    watch_ids: Sequence[int] = (),
    may_stop_ids: frozenset[int] = frozenset(),
    is_done: Callable[[list[int]], bool] | None = None,
    share: bool = True,
    draw: Callable[[Sequence[int], torch.Tensor], torch.Tensor] | None = None,
) -> list[Generated]:
    """Continue each prompt until it is done: greedily, or by `draw(places of prompts, logits)`.

    It is done at an end token, at `is_done(ids)` (asked after a token of `may_stop_ids`) or after
    `max_new_tokens`. `watch_ids` are tokens whose logits are kept for each step. `share=False`
    reads every prompt whole. Raises whatever the model raises, out-of-memory included.
    """
    device = model.device
    cache, mask, logits = read_prompts(
        model, prompts, max_new_tokens=max_new_tokens, pad_id=pad_id, share=share
    )
    position = mask.sum(1, keepdim=True) - 1
    ends = frozenset(end_ids)
    watch = torch.tensor(list(watch_ids), device=device, dtype=torch.long)
    results = [Generated() for _ in prompts]
    active = list(range(len(prompts)))
    seen: list[tuple[list[int], torch.Tensor]] = []
    for step in range(max_new_tokens):
        if len(watch_ids):
            seen.append((active, logits[:, watch].float().cpu()))
        ids = logits.argmax(-1, keepdim=True) if draw is None else draw(active, logits)
        _refuse_non_finite(logits, ids)
        tokens = ids[:, 0].tolist()
        going = []
        for row, token in zip(active, tokens):
            going.append(_take(results[row], token, ends, may_stop_ids, is_done))
        if not any(going) or step + 1 == max_new_tokens:
            break
        position = position + 1
        if not all(going):
            ids, mask, position = _compact(cache, going, ids, mask, position)
            active = [row for row, goes in zip(active, going) if goes]
        mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        logits = _forward(model, ids, mask, position, cache)
    _gather(results, seen)
    return results


@torch.inference_mode()
def read_prompts(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    pad_id: int,
    share: bool = True,
) -> tuple[DynamicCache, torch.Tensor, torch.Tensor]:
    """Run the prompts through the model, shared prefixes once.

    Return the cache, the mask over its columns and the last logits. Columns are `[prefix of all |
    padding, prefix of a group | padding, rest]`; positions count the tokens of a row, so padding
    between them changes nothing.
    """
    plan = shared_prefixes(prompts) if share else whole(prompts)
    stages = [[prompts[0][: plan.common]]] if plan.common else []
    if plan.saved_by_groups:
        stages.append([prompts[g.rows[0]][plan.common : g.end] for g in plan.groups])
    # for each row, how many of its tokens the stages before have read, and its group's number
    begin: dict[int, int] = {}
    group_of: dict[int, int] = {}
    for number, group in enumerate(plan.groups):
        for row in group.rows:
            begin[row] = group.end if plan.saved_by_groups else plan.common
            group_of[row] = number
    stages.append([ids[begin[i] :] for i, ids in enumerate(prompts)])
    n_columns = sum(max(map(len, rows)) for rows in stages)
    n_layers = model.config.get_text_config().num_hidden_layers
    cache = buffer_cache(n_layers, n_columns + max_new_tokens)
    mask = torch.zeros(len(stages[0]), 0, dtype=torch.long, device=model.device)
    logits = mask
    for rows in stages:
        if len(mask) != len(rows):
            source = [0] * len(rows) if len(mask) == 1 else [group_of[i] for i in range(len(rows))]
            mask = _take_rows(cache, mask, torch.tensor(source, device=model.device))
        ids, shown = left_pad(rows, pad_id, model.device)
        mask = torch.cat([mask, shown], 1)
        position = mask.cumsum(1).sub_(1).clamp_(min=0)[:, -ids.shape[1] :]
        logits = _forward(model, ids, mask, position, cache)
    return cache, mask, logits


def _refuse_non_finite(logits: torch.Tensor, ids: torch.Tensor) -> None:
    """NaN and infinity are their row's maximum, so one value a row shows them."""
    if not logits.gather(-1, ids).isfinite().all():
        raise UserError(
            "logits are not finite: the weights hold NaN or infinity, or their precision "
            "overflows; check the model's files, or judge with dtype float32"
        )


def _take_rows(cache: DynamicCache, mask: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Make the batch these rows of it, a row as often as it is named."""
    for layer in _buffers(cache):
        layer.keep(index, 0)
    return mask[index]


def _forward(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, position: torch.Tensor, cache: DynamicCache
) -> torch.Tensor:
    """One pass; logits of the last column, [n_rows, vocabulary]."""
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=position,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return output.logits[:, -1]


def _take(
    result: Generated,
    token: int,
    ends: frozenset[int],
    may_stop: frozenset[int],
    is_done: Callable[[list[int]], bool] | None,
) -> bool:
    """Add one token to a reply; return whether the reply goes on."""
    if token in ends:
        result.finish_reason = "stop"
        return False
    result.ids.append(token)
    if token in may_stop and is_done is not None and is_done(result.ids):
        result.finish_reason = "stop"
        return False
    return True


def _compact(
    cache: DynamicCache,
    going: list[bool],
    ids: torch.Tensor,
    mask: torch.Tensor,
    position: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Drop finished rows, and the columns that are padding in all rows left."""
    keep = torch.tensor([row for row, goes in enumerate(going) if goes], device=ids.device)
    mask = mask[keep]
    first_column = int(mask.any(0).int().argmax())
    for layer in _buffers(cache):
        layer.keep(keep, first_column)
    return ids[keep], mask[:, first_column:], position[keep]


def _gather(results: list[Generated], seen: list[tuple[list[int], torch.Tensor]]) -> None:
    steps: list[list[torch.Tensor]] = [[] for _ in results]
    for active, values in seen:
        for row, value in zip(active, values.unbind(0)):
            steps[row].append(value)
    for result, rows in zip(results, steps):
        result.watched = torch.stack(rows) if rows else None
