"""Hidden states below the first adapted layer: computed once a pair and kept, since nothing that is
trained can change them.

With an adapter on the upper layers only, the lower ones give the same states at every step, for the
policy and the reference alike. What is kept is what enters the first adapted layer, one tensor
[n_row_tokens, hidden] a pair in the precision of the weights; a batch is put together from them. A
pair's row is computed alone, so that a resumed run has the same states to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from selene_lib.training.decision import Decision
from selene_lib.training.encoding import EncodedPair
from selene_lib.training.forward import autocast, only_layers
from selene_lib.training.layout import RowBatch, lay_out_pairs
from selene_lib.training.logprobs import completion_inputs

if TYPE_CHECKING:
    from torch import Tensor


class FrozenStates:
    """Keeps the states that enter layer `first_layer` of a causal model whose lower layers are
    frozen.

    Memory is tokens x hidden size x bytes of a weight: 135M parameters and 800 pairs of 120 tokens
    take 220 MB in float32. For rows of documents only (`segments` attention), on one device.
    """

    def __init__(self, causal_lm: Any, first_layer: int, decision: Decision, pad_id: int) -> None:
        self.causal_lm = causal_lm
        self.first_layer = first_layer
        self.decision = decision
        self.pad_id = pad_id
        self._kept: dict[tuple[bytes, ...], Tensor] = {}

    def inputs(self, pairs: Sequence[EncodedPair], batch: RowBatch) -> dict[str, Any]:
        """Return what replaces `input_ids` of a batch laid out of these pairs."""
        states = [self.of_pair(pair) for pair in pairs]
        n_rows, width = batch.input_ids.shape
        rows = states[0].new_zeros(n_rows, width, states[0].shape[-1])
        documents_a_pair = len(batch.spans) // len(pairs)
        for number, pair_states in enumerate(states):
            used = 0
            for span in batch.spans[number * documents_a_pair : (number + 1) * documents_a_pair]:
                there = span.start + span.n_tokens
                rows[span.row, span.start : there] = pair_states[used : used + span.n_tokens]
                used += span.n_tokens
        return {"input_ids": None, "inputs_embeds": rows, "first_layer": self.first_layer}

    def of_pair(self, pair: EncodedPair) -> Tensor:
        """Return the states of one pair's row(s), [n_row_tokens, hidden]; computed at first use."""
        key = tuple(ids.tobytes() for ids in pair.parts)  # two pairs may share an id
        if key not in self._kept:
            self._kept[key] = self._compute(pair)
        return self._kept[key]

    def _compute(self, pair: EncodedPair) -> Tensor:
        import torch

        decoder = self.causal_lm.get_decoder()
        device = next(decoder.parameters()).device
        batch = lay_out_pairs([pair], self.decision.layout, packing=True, pad_token_id=self.pad_id)
        inputs = completion_inputs(batch.to(device), self.decision.attention)
        del inputs["predict_at"], inputs["targets"]
        with torch.no_grad(), autocast(self.decision), only_layers(decoder, 0, self.first_layer):
            found = decoder(**inputs).last_hidden_state
        return found[0].to(next(decoder.parameters()).dtype)
