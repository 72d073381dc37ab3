"""One variable-length attention call a layer for rows whose documents share a prompt.

A document `[prompt | chosen | rejected]` becomes two sequences of one call: the queries of
`[prompt | chosen]` look at the keys of `[prompt | chosen]`, and the queries of `[rejected]` look at
the keys of `[prompt | rejected]`. Keys and values are gathered in that order, so those of a shared
prompt are shown twice; queries and outputs stay where they lie. Both sequences are causal from the
bottom right (the last query sees every key), which lets query `i` of the rejected side see the
whole prompt and its own side up to itself. No mask exists and nothing is merged afterwards, and the
backward pass adds the two showings of a prompt without atomics. The loop on a CPU gives the same
bits each time; the CUDA kernels add in an order of their own and do not (`reports/gpu`).

Three kernels compute the call: torch's FlashAttention op (compute capability 8.0 and newer, 16
bit), its memory-efficient op (any other CUDA card, and float32), and a loop over sequences on a
CPU. Whether they are right on the card at hand is proved before the first step
(`probe.probe_layout`).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from selene_lib.training.layout import Span

Kernel = Literal["flash", "efficient", "loop"]
# causal from the bottom right, in the words of torch's memory-efficient op
_CAUSAL_FROM_BOTTOM_RIGHT = 2


@dataclass(frozen=True)
class Sequences:
    """How rows of documents are read by one variable-length call.

    Rows are taken as one long row of `n_tokens`. `key_at` [n_keys] are the places whose keys are
    shown, in order. `cu_seqlens_q` and `cu_seqlens_k` [n_sequences + 1], int32, are where each
    sequence's queries and keys begin. `first_at` [n_tokens] is where in `key_at` a place is shown
    first; the places `again` [n_again], each once, are shown a second time at `again_at`.
    """

    key_at: Tensor
    cu_seqlens_q: Tensor
    cu_seqlens_k: Tensor
    max_seqlen_q: int
    max_seqlen_k: int
    first_at: Tensor
    again: Tensor
    again_at: Tensor


def sequences_of(
    spans: Sequence[Span], n_rows: int, row_tokens: int, device: Any = "cpu"
) -> Sequences:
    """The sequences of documents that lie in `n_rows` rows of `row_tokens`.

    Documents of a row lie one behind the other from its start. What is left of a row is padding and
    makes a sequence of its own, whose output nobody reads.
    """
    query_lengths: list[int] = []
    key_places: list[np.ndarray] = []
    again: list[np.ndarray] = []
    again_at: list[np.ndarray] = []
    n_keys = 0

    def show(places: np.ndarray, n_queries: int) -> None:
        nonlocal n_keys
        query_lengths.append(n_queries)
        key_places.append(places)
        n_keys += len(places)

    for row in range(n_rows):
        end = row * row_tokens
        for span in (span for span in spans if span.row == row):
            begin = row * row_tokens + span.start
            second = begin + span.n_prompt + span.n_first
            end = begin + span.n_tokens
            show(np.arange(begin, second), second - begin)
            if span.n_second:
                prompt = np.arange(begin, begin + span.n_prompt)
                again.append(prompt)
                again_at.append(n_keys + np.arange(span.n_prompt))
                show(np.concatenate([prompt, np.arange(second, end)]), span.n_second)
        if end < (row + 1) * row_tokens:
            rest = np.arange(end, (row + 1) * row_tokens)
            show(rest, len(rest))
    return _to_tensors(key_places, query_lengths, again, again_at, n_rows * row_tokens, device)


def _to_tensors(
    key_places: list[np.ndarray],
    query_lengths: list[int],
    again: list[np.ndarray],
    again_at: list[np.ndarray],
    n_tokens: int,
    device: Any,
) -> Sequences:
    key_at = np.concatenate(key_places)
    first_at = np.empty(n_tokens, np.int64)
    # written from the back, so that the first showing is what stays
    first_at[key_at[::-1]] = np.arange(len(key_at))[::-1]
    key_lengths = [len(places) for places in key_places]
    nothing = np.empty(0, np.int64)

    def indices(parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.concatenate([nothing, *parts])).to(device)

    def starts(lengths: list[int]) -> Tensor:
        return torch.from_numpy(np.cumsum([0, *lengths], dtype=np.int32)).to(device)

    return Sequences(
        key_at=indices(key_places),
        cu_seqlens_q=starts(query_lengths),
        cu_seqlens_k=starts(key_lengths),
        max_seqlen_q=max(query_lengths),
        max_seqlen_k=max(key_lengths),
        first_at=torch.from_numpy(first_at).to(device),
        again=indices(again),
        again_at=indices(again_at),
    )


class _Show(torch.autograd.Function):
    """`x[key_at]` along the first axis, with a backward of gathers and one add to places that occur
    once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, sequences: Sequences) -> Tensor:
        ctx.sequences = sequences
        return x.index_select(0, sequences.key_at)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        shown, sequences = gradients[0], ctx.sequences
        total = shown.index_select(0, sequences.first_at)
        if sequences.again.numel():
            second = shown.index_select(0, sequences.again_at)
            total[sequences.again] = total[sequences.again] + second
        return total, None


def shared_prefix_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sequences: Sequences,
    scale: float | None = None,
    *,
    kernel: Kernel | None = None,
) -> Tensor:
    """Attention of rows of documents: query [rows, tokens, heads, head_dim] and key and value
    [rows, tokens, key_value_heads, head_dim] -> [rows, tokens, heads, head_dim].

    Heads may share keys (grouped queries). `scale` defaults to 1 / sqrt(head_dim), `kernel` to the
    fastest one for the device and precision.
    """
    shape = query.shape
    query, key, value = (x.reshape(-1, *x.shape[2:]) for x in (query, key, value))
    key, value = (_Show.apply(x, sequences) for x in (key, value))
    kernel = kernel or _kernel_of(query)
    return _call(query, key, value, sequences, scale, kernel).reshape(shape)


def kernel_for(device_type: str, capability: tuple[int, int] | None, dtype: Any) -> Kernel:
    """The kernel that computes the call on a device in a precision."""
    if device_type != "cuda":
        return "loop"
    is_16_bit = dtype in (torch.float16, torch.bfloat16)
    if capability is not None and capability >= (8, 0) and is_16_bit:
        return "flash"
    return "efficient"


def _kernel_of(query: Tensor) -> Kernel:
    capability = torch.cuda.get_device_capability(query.device) if query.is_cuda else None
    return kernel_for(query.device.type, capability, query.dtype)


def _call(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sequences: Sequences,
    scale: float | None,
    kernel: Kernel,
) -> Tensor:
    if kernel == "flash":
        return _flash(query, key, value, sequences, scale)
    if key.shape[1] != query.shape[1]:
        groups = query.shape[1] // key.shape[1]
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    if kernel == "efficient":
        return _Efficient.apply(query, key, value, sequences, scale)
    return _loop(query, key, value, sequences, scale)


@cache
def _flash_parameters() -> frozenset[str]:
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def _flash(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float | None
) -> Tensor:
    """torch's own op; its words for "causal" and for grouped queries changed between versions."""
    from torch.nn.attention.varlen import varlen_attn

    known = _flash_parameters()
    words: dict[str, Any] = {"scale": scale}
    words |= {"window_size": (-1, 0)} if "window_size" in known else {"is_causal": True}
    if key.shape[1] != query.shape[1]:
        if "enable_gqa" in known:
            words["enable_gqa"] = True
        else:
            groups = query.shape[1] // key.shape[1]
            key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    out = varlen_attn(
        query,
        key,
        value,
        sequences.cu_seqlens_q,
        sequences.cu_seqlens_k,
        sequences.max_seqlen_q,
        sequences.max_seqlen_k,
        **words,
    )
    assert isinstance(out, torch.Tensor)  # a tuple only where the log-sum-exps are asked for
    return out


class _Efficient(torch.autograd.Function):
    """aten's memory-efficient op with variable lengths, whose own backward wants more arguments
    than autograd gives it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        sequences: Sequences,
        scale: float | None,
    ) -> Tensor:
        out, lse, seed, offset, max_q, max_k = torch.ops.aten._efficient_attention_forward(
            query[None],
            key[None],
            value[None],
            None,
            sequences.cu_seqlens_q,
            sequences.cu_seqlens_k,
            sequences.max_seqlen_q,
            sequences.max_seqlen_k,
            0.0,
            _CAUSAL_FROM_BOTTOM_RIGHT,
            True,
            scale=scale,
        )
        ctx.save_for_backward(query, key, value, out, lse, seed, offset)
        ctx.sequences, ctx.scale, ctx.longest = sequences, scale, (max_q, max_k)
        return out[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value, out, lse, seed, offset = ctx.saved_tensors
        d_query, d_key, d_value, _ = torch.ops.aten._efficient_attention_backward(
            gradients[0][None].contiguous(),
            query[None],
            key[None],
            value[None],
            None,
            out,
            ctx.sequences.cu_seqlens_q,
            ctx.sequences.cu_seqlens_k,
            *ctx.longest,
            lse,
            0.0,
            seed,
            offset,
            _CAUSAL_FROM_BOTTOM_RIGHT,
            False,
            scale=ctx.scale,
        )
        return d_query[0], d_key[0], d_value[0], None, None


def _loop(
    query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float | None
) -> Tensor:
    """What the kernels compute, sequence by sequence: [tokens, heads, head_dim] each."""
    from torch.nn.functional import scaled_dot_product_attention as attend

    n_queries = sequences.cu_seqlens_q.diff().tolist()
    n_keys = sequences.cu_seqlens_k.diff().tolist()
    outputs = []
    parts = zip(query.split(n_queries), key.split(n_keys), value.split(n_keys))
    for q, k, v in parts:
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        sees = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device)
        mask = sees.tril(k.shape[2] - q.shape[2])
        outputs.append(attend(q, k, v, attn_mask=mask, scale=scale)[0].transpose(0, 1))
    return torch.cat(outputs)
