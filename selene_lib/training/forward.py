"""How a forward of a run happens: the mixed-precision context, the adapter on or off, the rows laid
out as decided.
"""

from __future__ import annotations

import contextlib
from typing import Any

from selene_lib.training.decision import Decision

FLEX_BLOCK = 128


@contextlib.contextmanager
def adapter_off(model: Any) -> Any:
    """The reference model: the same weights without the adapter, in eval mode, without gradients."""
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


def lay_out_for(decision: Decision, pairs: Any, *, pad_token_id: int) -> Any:
    """Lay encoded pairs out as a decision says (FlexAttention wants whole blocks of 128)."""
    from selene_lib.training.layout import lay_out

    multiple = FLEX_BLOCK if decision.attention == "flex" else 1
    return lay_out(
        pairs,
        decision.layout,
        packing=decision.packing,
        pad_token_id=pad_token_id,
        pad_to_multiple=multiple,
    )
