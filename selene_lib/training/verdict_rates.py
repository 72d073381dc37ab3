"""How many verdicts a second a served judge gives on a card: an estimate to plan with.

Reading a prompt costs FLOPs, writing a reply costs reading the weights once a step for all replies
that are under way, and each reply's keys and values. How many replies are under way is what memory
holds beside the weights in 16 bits. Shares of the chip are assumed; prompts that begin alike, which
vLLM reads once, make it faster than this.
"""

from __future__ import annotations

from selene_lib.training.cards import Card
from selene_lib.training.counting import forward_flops
from selene_lib.training.shapes import Shape

ASSUMED_FLOPS_SHARE = 0.35
ASSUMED_BANDWIDTH_SHARE = 0.6
MEMORY_SHARE = 0.85  # what a server takes of the card's memory
LARGEST_BATCH = 256  # replies under way at once


def verdicts_per_second(
    shape: Shape, card: Card, prompt_tokens: int, reply_tokens: int
) -> float | None:
    """Verdicts a second of a judge of this shape in 16 bits; None where it does not fit the card.

    Lengths are means, in tokens.
    """
    weights = 2.0 * shape.n_parameters
    # keys and values of one token, in 16 bits
    a_token = 2.0 * 2 * shape.n_layers * shape.n_key_value_heads * shape.head_dim
    room = MEMORY_SHARE * card.memory_bytes - weights
    n_at_once = min(LARGEST_BATCH, int(room / (a_token * (prompt_tokens + reply_tokens))))
    if n_at_once < 1:
        return None
    flops = ASSUMED_FLOPS_SHARE * card.flops_per_second
    reading = prompt_tokens * forward_flops(shape, prompt_tokens) / flops
    context = prompt_tokens + reply_tokens / 2
    moved = weights + n_at_once * a_token * context
    step = max(
        moved / (ASSUMED_BANDWIDTH_SHARE * card.bytes_per_second),
        n_at_once * forward_flops(shape, 2 * context) / flops,
    )
    return 1 / (reading + reply_tokens * step / n_at_once)
