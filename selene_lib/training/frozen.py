"""Hidden states below the first adapted layer: computed once a pair and kept, since nothing that is
trained can change them.

With an adapter on the upper layers only, the lower ones give the same states at every step, for the
policy and the reference alike. What is kept is what enters the first adapted layer, one tensor
[n_row_tokens, hidden] a pair in the precision of the weights; a batch is put together from them. A
pair's row is computed alone, so that a resumed run has the same states to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
        states = self.of_pairs(pairs)
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

    def of_pairs(self, pairs: Sequence[EncodedPair]) -> list[Tensor]:
        """Return the states of each pair's row(s), [n_row_tokens, hidden]; computed at first use.

        A row is too short to keep several threads busy, so on a CPU each row has one thread and
        several rows are computed at once.
        """
        import torch

        keys = [tuple(ids.tobytes() for ids in pair.parts) for pair in pairs]  # ids may be shared
        missing = {key: pair for key, pair in zip(keys, pairs) if key not in self._kept}
        decoder = self.causal_lm.get_decoder()
        on_cpu = next(decoder.parameters()).device.type == "cpu"
        n_workers = min(len(missing), torch.get_num_threads()) if on_cpu else 1
        with only_layers(decoder, 0, self.first_layer):  # once: it changes the decoder for everyone
            if n_workers > 1:
                with ThreadPoolExecutor(n_workers, initializer=_use_one_thread) as pool:
                    computed = list(pool.map(self._compute, missing.values()))
            else:
                computed = [self._compute(pair) for pair in missing.values()]
        self._kept.update(zip(missing, computed))
        return [self._kept[key] for key in keys]

    def _compute(self, pair: EncodedPair) -> Tensor:
        import torch

        decoder = self.causal_lm.get_decoder()
        parameter = next(decoder.parameters())
        batch = lay_out_pairs([pair], self.decision.layout, packing=True, pad_token_id=self.pad_id)
        inputs = completion_inputs(batch.to(parameter.device), self.decision.attention)
        del inputs["predict_at"], inputs["targets"]
        with torch.no_grad(), autocast(self.decision):
            found = decoder(**inputs).last_hidden_state
        return found[0].to(parameter.dtype)


def _use_one_thread() -> None:
    import torch

    torch.set_num_threads(1)  # of the calling thread alone
