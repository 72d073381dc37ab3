"""Attention over rows of documents without computing what the mask would throw away.

`segments` runs two exact attention calls a document: `[prompt | first]` is plain causal, and the
second completion looks at the prompt and at itself. No mask over the whole row exists, so memory
grows with the row and not with its square. `varlen` is one call a layer (`varlen.py`). Both are one
implementation of transformers' attention interface, which goes by the documents it is given, so any
model that calls the interface can use it; whether it does is probed, not assumed
(`probe.probe_layout`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from selene_lib.training.layout import Span

if TYPE_CHECKING:
    from torch import Tensor

    from selene_lib.training.varlen import Sequences

    Documents = Sequence[Span] | Sequences

DOCUMENTS = "selene_documents"
MASK_BYTES = 256 * 1024**2


def register_documents() -> str:
    """Make the implementation known to transformers under the name it returns.

    Without documents it is plain SDPA.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(DOCUMENTS, document_attention)
    AttentionMaskInterface.register(DOCUMENTS, sdpa_mask)
    return DOCUMENTS


def document_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    documents: Documents | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of a transformers layer over documents, as `attend_documents` takes them.

    Query [rows, heads, tokens, head_dim] -> ([rows, tokens, heads, head_dim], None). ValueError for
    attention dropout, which no two layouts draw alike.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if documents is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if dropout:
        raise ValueError(
            "attention dropout differs between layouts; "
            "set attention_dropout to 0 in the model's configuration"
        )
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return attend_documents(query, key, value, documents, scaling), None


def attend_documents(
    query: Tensor, key: Tensor, value: Tensor, documents: Documents, scale: float | None = None
) -> Tensor:
    """Attention of [rows, tokens, heads, head_dim] over documents: the sequences of `varlen`, or
    the spans of `segments`.
    """
    from selene_lib.training.varlen import Sequences, shared_prefix_attention

    if isinstance(documents, Sequences):
        return shared_prefix_attention(query, key, value, documents, scale)
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    return attend_spans(query, key, value, documents, scale)


def attend_spans(
    query: Tensor, key: Tensor, value: Tensor, spans: Sequence[Span], scaling: float | None
) -> Tensor:
    """Two attention calls a document: query [rows, heads, tokens, head_dim] and key and value
    [rows, key_value_heads, tokens, head_dim] -> [rows, tokens, heads, head_dim].
    """
    from transformers.integrations.sdpa_attention import repeat_kv

    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    return _over_rows(query, key, value, spans, scaling).transpose(1, 2).contiguous()


def _over_rows(
    query: Tensor, key: Tensor, value: Tensor, spans: Sequence[Span], scaling: float | None
) -> Tensor:
    """Cut the rows into documents, attend in each, and put them together.

    They are cut by one split, so its backward is one concatenation.
    """
    import torch

    n_rows, n_tokens = query.shape[0], query.shape[2]
    outputs = []
    for row in range(n_rows):
        mine = [span for span in spans if span.row == row]
        sizes: list[int] = []
        for span in mine:
            sizes += [span.n_prompt, span.n_first, span.n_second]
        sizes.append(n_tokens - sum(sizes))
        q, k, v = (x[row : row + 1].split(sizes, dim=2) for x in (query, key, value))
        parts: list[Tensor] = []
        for number, span in enumerate(mine):
            parts += _document(q, k, v, 3 * number, span, scaling)
        outputs.append(torch.cat([*parts, v[-1]], dim=2))
    return torch.cat(outputs) if n_rows > 1 else outputs[0]


def _document(
    q: Sequence[Tensor],
    k: Sequence[Tensor],
    v: Sequence[Tensor],
    at: int,
    span: Span,
    scaling: float | None,
) -> list[Tensor]:
    import torch
    from torch.nn.functional import scaled_dot_product_attention as attend

    query, key, value = (torch.cat([x[at], x[at + 1]], dim=2) for x in (q, k, v))
    out = [attend(query, key, value, is_causal=True, scale=scaling)]
    if span.n_second:
        keys, values = (torch.cat([x[at], x[at + 2]], dim=2) for x in (k, v))
        mask = _after_prompt_mask(span.n_second, span.n_prompt, q[at].device)
        out.append(attend(q[at + 2], keys, values, attn_mask=mask, scale=scaling))
    return out


_masks: OrderedDict[tuple[int, int, Any], Tensor] = OrderedDict()


def _after_prompt_mask(n_completion: int, n_prompt: int, device: Any) -> Tensor:
    """Boolean [n_completion, n_prompt + n_completion]: the prompt, and up to oneself.

    The masks of one batch are asked for by every layer, so the latest `MASK_BYTES` of them are
    kept; one of 2,048 tokens after 8,192 has 20 MB.
    """
    import torch

    key = (n_completion, n_prompt, device)
    if key not in _masks:
        shape = (n_completion, n_prompt + n_completion)
        _masks[key] = torch.ones(shape, dtype=torch.bool, device=device).tril(n_prompt)
        # the newest one stays, however large
        while len(_masks) > 1 and sum(mask.nbytes for mask in _masks.values()) > MASK_BYTES:
            _masks.popitem(last=False)
    _masks.move_to_end(key)
    return _masks[key]
