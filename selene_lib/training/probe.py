"""Does this model honour the layout?

Proved on a few tokens before training, for any architecture, instead of kept in a list of names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.errors import UserError
from selene_lib.training.encoding import EncodedPair, TokenIds
from selene_lib.training.kinds import config_obstacle

if TYPE_CHECKING:
    from torch import Tensor

    from selene_lib.training.decision import Decision


def probe_layout(model: Any, decision: Decision) -> str | None:
    """Return None when the model computes the layout exactly, else why it may not be used.

    Four tests: the configuration has no attention whose reach depends on the row (sliding windows,
    chunks); the log-probabilities of two packed pairs equal those of four plain sequences through
    the model's untouched forward; the rejected side does not move when the chosen side or the
    neighbour changes; and one backward pass gives the gradients of the plain sequences. A kernel
    that fails on this device is a reason too.
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
    except (RuntimeError, NotImplementedError, IndexError) as error:
        return f"its forward fails here ({_first_line(error)})"
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
    return _gradient_problem(model, [first, other], decision)


def _gradient_problem(
    model: Any, pairs: list[EncodedPair], decision: Decision, *, tolerance: float | None = None
) -> str | None:
    """Compare one backward pass through the layout with that of the plain sequences."""
    tolerance = tolerance or (1e-3 if decision.dtype == "float32" else 0.1)
    try:
        found = _gradient(model, lambda: _layout_logps(model, pairs, decision, frozen=False))
    except (RuntimeError, NotImplementedError, IndexError) as error:
        return f"its backward pass fails here ({_first_line(error)})"
    plain = _gradient(model, lambda: _plain_logps(model, pairs, decision, frozen=False))
    off_by = _distance(found, plain)
    if not off_by <= tolerance:
        return f"gradients differ from those of two plain sequences by {off_by:.1e} of their norm"
    return None


def _gradient(model: Any, logps: Callable[[], list[Tensor]]) -> list[Tensor]:
    """The gradient of every trainable parameter, for a sum with alternating weights."""
    import torch

    # sums of a few log-probabilities would underflow in float16 on their way back
    scale = 256.0
    with torch.enable_grad():
        parts = logps()
        weights = (1.0, -0.5, 0.75, -1.25)
        total = torch.stack([w * part.sum() for w, part in zip(weights, parts)]).sum() * scale
        trainable = [p for p in model.parameters() if p.requires_grad]
        found = torch.autograd.grad(total, trainable, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g.detach() for p, g in zip(trainable, found)]


def _distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """The norm of the difference over the norm of what is expected, over all tensors at once."""
    off = sum((a.double() - b.double()).square().sum().item() for a, b in zip(found, expected))
    norm = sum(b.double().square().sum().item() for b in expected)
    return (off / norm) ** 0.5 if norm else off


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _probe_pairs(vocabulary_size: int) -> tuple[EncodedPair, EncodedPair]:
    rng = np.random.default_rng(0)

    def ids(n_tokens: int) -> TokenIds:
        return rng.integers(0, vocabulary_size, n_tokens, dtype=np.int32)

    first = EncodedPair("first", ids(11), ids(5), ids(7))
    return first, EncodedPair("other", ids(6), ids(4), ids(3))


def _layout_logps(
    model: Any, pairs: list[EncodedPair], decision: Decision, *, frozen: bool = True
) -> list[Tensor]:
    """Token log-probs of each sequence through the layout: first chosen, first rejected, ...

    `frozen`: adapter off, no gradient.
    """
    from selene_lib.training.forward import autocast, lay_out_for
    from selene_lib.training.logprobs import completion_inputs

    batch = lay_out_for(decision, pairs, pad_token_id=0).to(_device(model))
    with _mode(model, frozen), autocast(decision):
        logps = model(**completion_inputs(batch, decision.attention))
    return [logps[batch.owner == sequence] for sequence in range(2 * len(pairs))]


def _plain_logps(
    model: Any, pairs: list[EncodedPair], decision: Decision, *, frozen: bool = True
) -> list[Tensor]:
    """The same by one plain forward a sequence, with full logits."""
    import torch

    from selene_lib.training.forward import autocast

    found = []
    for pair in pairs:
        for completion in (pair.chosen_ids, pair.rejected_ids):
            row = np.concatenate([pair.prompt_ids, completion]).astype(np.int64)
            ids = torch.from_numpy(row)[None].to(_device(model))
            with _mode(model, frozen), autocast(decision):
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


@contextlib.contextmanager
def _mode(model: Any, frozen: bool) -> Iterator[None]:
    """Adapter off and no gradient, or as it trains but without dropout."""
    from selene_lib.training.forward import adapter_off

    if frozen:
        with adapter_off(model):
            yield
        return
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _device(model: Any) -> Any:
    return next(model.parameters()).device
