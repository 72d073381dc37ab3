"""How a forward of a run happens: in which precision, with or without adapter, in which rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selene_lib.training.decision import Decision
    from selene_lib.training.encoding import EncodedPair
    from selene_lib.training.layout import RowBatch

FLEX_BLOCK = 128


@contextlib.contextmanager
def adapter_off(model: Any) -> Iterator[Any]:
    """The reference model: the weights without the adapter, in eval mode, without gradients."""
    import torch

    was_training = model.training
    model.eval()
    off = model.disable_adapter() if hasattr(model, "disable_adapter") else contextlib.nullcontext()
    try:
        with torch.no_grad(), off:
            yield model
    finally:
        model.train(was_training)


def autocast(decision: Decision) -> Any:
    """The mixed-precision context every forward of a run happens in."""
    import torch

    if decision.dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(decision.device, dtype=getattr(torch, decision.dtype))


def lay_out_for(decision: Decision, pairs: Sequence[EncodedPair], *, pad_token_id: int) -> RowBatch:
    """Lay encoded pairs out as a decision says (FlexAttention wants whole blocks of 128)."""
    from selene_lib.training.layout import lay_out_pairs

    multiple = FLEX_BLOCK if decision.attention == "flex" else 1
    return lay_out_pairs(
        pairs,
        decision.layout,
        packing=decision.packing,
        pad_token_id=pad_token_id,
        pad_to_multiple=multiple,
    )


@contextlib.contextmanager
def only_layers(decoder: Any, begin: int, end: int | None) -> Iterator[None]:
    """Let a decoder run its layers `begin` to `end` alone.

    Short of its last layer also without the final norm. Outside of the context it is whole again,
    so names in a checkpoint never change.
    """
    from torch import nn

    layers, norm = decoder.layers, decoder.norm
    decoder.layers = nn.ModuleList(list(layers)[begin:end])
    if end is not None and end < len(layers):
        decoder.norm = nn.Identity()
    try:
        yield
    finally:
        decoder.layers, decoder.norm = layers, norm
