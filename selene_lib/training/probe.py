"""Does this model honour the layout?

Proved on a few tokens before training, for any architecture, instead of kept in a list of names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.errors import UserError
from selene_lib.training.encoding import EncodedPair, TokenIds

if TYPE_CHECKING:
    from torch import Tensor

    from selene_lib.training.decision import Decision


def probe_layout(model: Any, decision: Decision) -> str | None:
    """Return None when the model computes the layout exactly, else why it may not be used.

    Three tests: the configuration has no attention whose reach depends on the row (sliding windows,
    chunks); the log-probabilities of two packed pairs equal those of four plain sequences through
    the model's untouched forward; and the rejected side does not move when the chosen side or the
    neighbour changes.
    """
    obstacle = config_obstacle(model.config)
    if obstacle and decision.attention != "causal":
        return obstacle
    first, other = _probe_pairs(model.config.vocab_size)
    try:
        together = _layout_logps(model, [first, other], decision)
        changed = EncodedPair(
            "changed",
            first.prompt_ids,
            np.full_like(first.chosen_ids, other.chosen_ids[0]),
            first.rejected_ids,
        )
        moved = _layout_logps(model, [changed, other], decision)
    except TypeError as error:
        return f"its forward does not take what the layout needs ({error})"
    if not all(logps.isfinite().all() for logps in together):
        raise UserError(
            "logits are not finite: the base model's weights hold NaN or infinity, or "
            f"{decision.dtype} overflows; check its files, or train with dtype float32"
        )
    tolerance, blind_tolerance = (1e-4, 1e-6) if decision.dtype == "float32" else (0.15, 1e-3)
    blind = (together[1] - moved[1]).abs().max().item()
    if not blind <= blind_tolerance:
        return (
            f"the rejected completion sees the chosen one (its log-probability moved by "
            f"{blind:.1e} nats): the mask is not honoured"
        )
    plain = _plain_logps(model, [first, other], decision)
    off_by = max((a - b).abs().max().item() for a, b in zip(together, plain))
    if not off_by <= tolerance:
        return (
            f"log-probabilities differ from two plain sequences by {off_by:.1e} nats: "
            "mask or positions are not honoured"
        )
    return None


def config_obstacle(config: Any) -> str | None:
    """Name a setting that makes a token's reach depend on its place in the row.

    A short probe could not see it.
    """
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    kinds = set(getattr(text, "layer_types", None) or []) - {"full_attention"}
    if kinds:
        return f"it has {', '.join(sorted(kinds))} layers"
    if (
        getattr(text, "layer_types", None) is None
        and getattr(text, "sliding_window", None)
        and getattr(text, "use_sliding_window", True)
    ):
        return f"it attends in a sliding window of {text.sliding_window} tokens"
    if getattr(text, "attention_dropout", 0):
        return "it has attention dropout, which no two layouts draw alike"
    return None


def _probe_pairs(vocabulary_size: int) -> tuple[EncodedPair, EncodedPair]:
    rng = np.random.default_rng(0)

    def ids(n_tokens: int) -> TokenIds:
        return rng.integers(0, vocabulary_size, n_tokens, dtype=np.int32)

    first = EncodedPair("first", ids(11), ids(5), ids(7))
    return first, EncodedPair("other", ids(6), ids(4), ids(3))


def _layout_logps(model: Any, pairs: list[EncodedPair], decision: Decision) -> list[Tensor]:
    """Token log-probs of each sequence through the layout: first chosen, first rejected, ..."""
    from selene_lib.training.forward import adapter_off, autocast, lay_out_for
    from selene_lib.training.logprobs import completion_inputs

    batch = lay_out_for(decision, pairs, pad_token_id=0).to(_device(model))
    with adapter_off(model), autocast(decision):
        logps = model(**completion_inputs(batch, decision.attention))
    return [logps[batch.owner == sequence] for sequence in range(2 * len(pairs))]


def _plain_logps(model: Any, pairs: list[EncodedPair], decision: Decision) -> list[Tensor]:
    """The same by one plain forward a sequence, with full logits."""
    import torch

    from selene_lib.training.forward import adapter_off, autocast

    found = []
    for pair in pairs:
        for completion in (pair.chosen_ids, pair.rejected_ids):
            row = np.concatenate([pair.prompt_ids, completion]).astype(np.int64)
            ids = torch.from_numpy(row)[None].to(_device(model))
            with adapter_off(model), autocast(decision):
                logits = (
                    model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
                    .logits[0]
                    .float()
                )
            start = len(pair.prompt_ids)
            found.append(
                logits[start - 1 : -1].log_softmax(-1).gather(1, ids[0, start:, None])[:, 0]
            )
    return found


def _device(model: Any) -> Any:
    return next(model.parameters()).device
