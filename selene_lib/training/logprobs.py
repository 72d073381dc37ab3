"""Log-probabilities of completion tokens only, in chunks.

No tensor of all positions by the whole vocabulary ever exists. Llama-3.1 has 128,256 tokens, so one
fp32 row of logits is 0.5 MB and a batch of 2 x 2048 positions 2.1 GB; only the few hundred
completion positions of a pair are needed, and each chunk's logits are made again in the backward
pass instead of being kept.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from selene_lib.training.layout import RowBatch

_DECODER_INPUTS = (
    "input_ids",
    "inputs_embeds",
    "attention_mask",
    "position_ids",
    "use_cache",
    "documents",
)


def chunked_logps(hidden: Tensor, head: Any, targets: Tensor, *, chunk_tokens: int = 256) -> Tensor:
    """Log-probability of each target, [n] float32, from hidden states [n, hidden].

    The softmax runs in float32. With gradients on, a chunk's logits are recomputed in the backward
    pass.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    parts = []
    for h, t in zip(hidden.split(chunk_tokens), targets.split(chunk_tokens)):
        # one chunk is no more memory than the recomputation itself would need
        recompute = torch.is_grad_enabled() and hidden.shape[0] > chunk_tokens
        parts.append(
            checkpoint(_chunk_logps, h, head, t, use_reentrant=False)
            if recompute
            else _chunk_logps(h, head, t)
        )
    return torch.cat(parts)


def _chunk_logps(hidden: Tensor, head: Any, targets: Tensor) -> Tensor:
    from torch.nn.functional import cross_entropy

    return -cross_entropy(head(hidden).float(), targets, reduction="none")


def sum_by_sequence(
    logps: Tensor, owner: Tensor, n_pairs: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sum token log-probs to sequences, each [n_pairs].

    Returns (chosen_logp_sum, rejected_logp_sum, n_chosen_tokens, n_rejected_tokens).
    """
    import torch

    sums = torch.zeros(2 * n_pairs, dtype=logps.dtype, device=logps.device).index_add(
        0, owner, logps
    )
    counts = torch.zeros_like(sums).index_add(0, owner, torch.ones_like(logps))
    return sums[0::2], sums[1::2], counts[0::2], counts[1::2]


def completion_inputs(batch: RowBatch, attention: str) -> dict[str, Any]:
    """Keyword arguments that make a prepared model return a batch's completion log-probs.

    `segments`, `varlen`, `dense` and `flex` honour documents; `causal` is for rows of one sequence
    each, whose padding lies behind it. For the first two, `documents` says where they lie.
    """
    from selene_lib.training import layout
    from selene_lib.training.varlen import sequences_of

    inputs: dict[str, Any] = {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        "use_cache": False,
    }
    inputs |= {"predict_at": batch.predict_at, "targets": batch.targets}
    if attention in ("segments", "varlen"):
        ids = batch.input_ids
        n_rows, width = ids.shape
        is_varlen = attention == "varlen"
        inputs["documents"] = (
            sequences_of(batch.spans, n_rows, width, ids.device) if is_varlen else batch.spans
        )
        # a mask of four axes is handed through as it is; ours stands for "none", the documents say
        # the rest
        inputs["attention_mask"] = ids.new_ones((1, 1, 1, 1))
    elif attention == "dense":
        inputs["attention_mask"] = layout.dense_mask(batch)
    elif attention == "flex":
        inputs["attention_mask"] = layout.block_mask(batch)
    elif attention == "causal":
        inputs["attention_mask"] = (batch.document_ids != layout.PADDING).long()
    else:
        raise ValueError(
            f"attention {attention!r} is not one of segments, varlen, dense, flex, causal"
        )
    return inputs


def logp_sums(
    model: Any, batch: RowBatch, attention: str, kept: dict[str, Any] | None = None
) -> np.ndarray:
    """Summed log-probabilities of a batch's completions under a prepared model, in nats: float64
    [n_pairs, 2] (chosen, rejected). `kept` is what `FrozenStates.inputs` gives for the batch.
    """
    import numpy as np

    logps = model(**{**completion_inputs(batch, attention), **(kept or {})})
    chosen, rejected, _, _ = sum_by_sequence(logps, batch.owner, batch.n_pairs)
    return np.stack([chosen.double().cpu().numpy(), rejected.double().cpu().numpy()], axis=1)


def attach_completion_head(
    causal_lm: Any, *, chunk_tokens: int, documents_argument: str | None = None
) -> None:
    """Teach this one model instance to return completion log-probs [n] when it is called with
    `predict_at` and `targets`; with `first_layer` over 0 and `inputs_embeds` the layers below are
    taken as done (`frozen.FrozenStates`). A decoder that takes documents under a name of
    its own, and no mask beside them, is told by `documents_argument`.

    The call goes through the model's own `forward`, so PEFT, DDP and FSDP wrap it as usual; every
    other call is left alone.
    """
    from contextlib import nullcontext

    from selene_lib.training.forward import only_layers

    plain_forward = causal_lm.forward

    def forward(
        self: Any,
        *args: Any,
        predict_at: Tensor | None = None,
        targets: Tensor | None = None,
        first_layer: int = 0,
        **kwargs: Any,
    ) -> Any:
        if predict_at is None or targets is None:
            return plain_forward(*args, **kwargs)
        # wrappers (peft, unsloth) add arguments of their own for a head that is not called here
        inputs = {name: kwargs[name] for name in _DECODER_INPUTS if kwargs.get(name) is not None}
        if documents_argument is not None and "documents" in inputs:
            inputs[documents_argument] = inputs.pop("documents")
            del inputs["attention_mask"]
        decoder = self.get_decoder()
        above = only_layers(decoder, first_layer, None) if first_layer else nullcontext()
        with above:
            hidden = decoder(**inputs).last_hidden_state
        hidden = hidden.reshape(-1, hidden.shape[-1]).index_select(0, predict_at)
        return chunked_logps(
            hidden, self.get_output_embeddings(), targets, chunk_tokens=chunk_tokens
        )

    causal_lm.forward = types.MethodType(forward, causal_lm)
