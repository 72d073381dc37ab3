"""Equality before speed: each way to attend against float64, and a whole model's log-probs and
gradients against the dense mask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpu_world import (
    MIDDLE,
    ODD_PAIRS,
    REST,
    TINY,
    backend_of,
    drawn_pairs,
    relative,
    say,
    seconds_of,
    write_base,
)


def compare_attention(args: Any) -> None:
    """Each way to attend against float64, the same bits twice; then its time at the row of the
    table.
    """
    import torch

    device, dtype = ("cpu", torch.float32) if args.dry else ("cuda", torch.bfloat16)
    shape = [(args.prompt, args.completion, args.completion)] * (1 if args.dry else 8)
    for label, lengths in (("odd", ODD_PAIRS), ("table", shape)):
        batch = lay_out_lengths(lengths).to(device)
        real = (batch.document_ids >= 0)[:, :, None, None]
        n_tokens = batch.input_ids.shape[1]
        torch.manual_seed(1)
        tensors = [torch.randn(1, n_tokens, n, 128, device=device, dtype=dtype) for n in (32, 8, 8)]
        weights = torch.randn(1, n_tokens, 32, 128, device=device, dtype=dtype) * real
        exact = exact_attention(batch, tensors, weights) if label == "odd" else None
        for name, attend in ways_to_attend(batch, args.dry):
            try:
                if exact is not None:
                    check_way(name, attend, tensors, weights, real, exact)
                elif not args.dry:
                    once = backward_of(attend, tensors, weights)
                    say(**{f"ms {name}, {n_tokens} tokens": 1e3 * seconds_of(once, 5)})
            except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
                say(**{f"{label} {name}": f"failed: {type(error).__name__}: {error}"[:250]})


def lay_out_lengths(lengths: list[tuple[int, int, int]]) -> Any:
    from selene_lib.training.encoding import EncodedPair
    from selene_lib.training.layout import lay_out_pairs

    pairs = [EncodedPair(str(i), *((1,) * n for n in parts)) for i, parts in enumerate(lengths)]
    # whole blocks of 128, which FlexAttention wants
    return lay_out_pairs(pairs, "shared_prefix", packing=True, pad_token_id=0, pad_to_multiple=128)


def ways_to_attend(batch: Any, dry: bool) -> Iterator[tuple[str, Callable]]:
    """Every way this project knows to attend to documents that lie in one row."""
    from selene_lib.training.attention import attend_spans
    from selene_lib.training.varlen import sequences_of, shared_prefix_attention

    sequences = sequences_of(batch.spans, *batch.input_ids.shape, device=batch.input_ids.device)

    def varlen(kernel: Any) -> Callable:
        return lambda *qkv: shared_prefix_attention(*qkv, sequences, kernel=kernel)

    def segments(*qkv: Any) -> Any:
        return attend_spans(*(x.transpose(1, 2) for x in qkv), batch.spans, None)

    yield "segments", segments
    if dry:
        yield "varlen loop", varlen("loop")
        return
    yield "varlen flash", varlen("flash")
    yield "varlen efficient (a T4's)", varlen("efficient")
    import torch
    from torch.nn.attention.flex_attention import flex_attention

    from selene_lib.training.layout import block_mask

    compiled, mask = torch.compile(flex_attention), block_mask(batch)

    def flex(*qkv: Any) -> Any:
        heads_first = (x.transpose(1, 2) for x in qkv)
        return compiled(*heads_first, block_mask=mask, enable_gqa=True).transpose(1, 2)

    yield "flex", flex


def exact_attention(batch: Any, tensors: list[Any], weights: Any) -> tuple[Any, Any]:
    """Output and gradients under the dense mask in float64."""
    import torch

    from selene_lib.training.layout import dense_mask

    leaves = [x.double().requires_grad_() for x in tensors]
    query, key, value = (x.transpose(1, 2) for x in leaves)
    key, value = (x.repeat_interleave(4, 1) for x in (key, value))
    attend = torch.nn.functional.scaled_dot_product_attention
    out = attend(query, key, value, attn_mask=dense_mask(batch)).transpose(1, 2)
    return out.detach(), torch.autograd.grad((out * weights.double()).sum(), leaves)


def backward_of(attend: Callable, tensors: list[Any], weights: Any) -> Callable[[], Any]:
    """A call that goes forward and backward once and returns the gradients."""
    import torch

    leaves = [x.clone().requires_grad_() for x in tensors]
    return lambda: torch.autograd.grad((attend(*leaves) * weights).sum(), leaves)


def check_way(
    name: str, attend: Callable, tensors: list[Any], weights: Any, real: Any, exact: Any
) -> None:
    import torch

    once = backward_of(attend, tensors, weights)
    gradients, again = once(), once()
    out, expected = attend(*tensors) * real, exact[0] * real
    errors = [relative(out, expected), *map(relative, gradients, exact[1])]
    say(**{f"relative error {name}": errors})
    say(**{f"same bits twice {name}": all(map(torch.equal, gradients, again))})


def compare_passes(args: Any, unsloth: bool) -> None:
    """One forward and backward of a small Llama, against the dense mask in float32.

    The stage `equal` leaves that for `equal-unsloth` to read.
    """
    import torch
    from safetensors.torch import load_file, save_file

    folder = args.out.resolve() / "equal"
    reference = folder / "dense-float32.safetensors"
    if not (folder / "base/config.json").is_file():
        write_base(folder / "base", (TINY if args.dry else MIDDLE) | REST, torch.float32)
    if not reference.is_file():
        if unsloth:
            # it has rewritten the forward that the reference is to come from
            sys.exit("run stage `equal` first: it leaves the reference of this one")
        save_file(one_pass(folder / "base", args, dtype="float32", attention="dense"), reference)
    expected = load_file(reference)
    attentions = ("varlen", "segments") if not unsloth else ("varlen",)
    for dtype in ("float32",) if args.dry else ("float32", "bfloat16"):
        for attention in attentions:
            for checkpointing in (False, True):
                how = {"dtype": dtype, "attention": attention, "checkpointing": checkpointing}
                found = one_pass(folder / "base", args, unsloth=unsloth, **how)
                name = f"{attention} {dtype}{' checkpointed' if checkpointing else ''}"
                say(**{name: distances(found, expected)})


def one_pass(
    base: Path,
    args: Any,
    *,
    dtype: str,
    attention: str,
    checkpointing: bool = False,
    unsloth: bool = False,
) -> dict[str, Any]:
    """Log-probs and every LoRA gradient of packed pairs, at an adapter that is not zero."""
    import torch

    from selene_lib.training.forward import autocast, lay_out_for
    from selene_lib.training.logprobs import completion_inputs
    from selene_lib.training.model import open_for_training
    from selene_lib.training.spec import TrainSpec

    spec = TrainSpec(
        base_model=str(base),
        backend=backend_of(unsloth, args.dry),
        attention=attention,
        dtype=dtype,
        gradient_checkpointing=checkpointing,
        max_length_tokens=512,
        micro_batch_tokens=10**9,
    )
    loaded = open_for_training(spec)
    adapter = {n: p for n, p in sorted(loaded.model.named_parameters()) if "lora_" in n}
    draw = torch.Generator().manual_seed(0)
    for name, value in adapter.items():
        if "lora_B" in name:
            value.data.copy_(0.05 * torch.randn(value.shape, generator=draw))
    pairs = drawn_pairs(ODD_PAIRS, TINY["vocab_size"])
    batch = lay_out_for(loaded.decision, pairs, pad_token_id=0)
    device = next(loaded.model.parameters()).device
    loaded.model.train()
    if checkpointing and loaded.decision.backend == "transformers":
        loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
        loaded.model.enable_input_require_grads()
    with autocast(loaded.decision):
        logps = loaded.model(**completion_inputs(batch.to(device), loaded.decision.attention))
    (logps * torch.linspace(-1, 1, logps.numel(), device=device)).sum().backward()
    gradients = {name: value.grad.float().cpu() for name, value in adapter.items()}
    return {"logps": logps.detach().float().cpu(), **gradients}


def distances(found: dict[str, Any], expected: dict[str, Any]) -> dict[str, float]:
    worst = max(relative(found[name], expected[name]) for name in expected if name != "logps")
    return {
        "largest_nats": (found["logps"] - expected["logps"]).abs().max().item(),
        "worst_gradient": worst,
        "n_gradients": len(expected) - 1,
    }
