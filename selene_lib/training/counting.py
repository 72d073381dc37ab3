"""Memory and work of a training step, counted from the model's shape.

What autograd keeps per token and layer was counted with saved-tensor hooks on the CPU (a test
counts again): 12 H + 4 I + 7 r numbers with a shared prefix through `segments`, 9 H + 4 I + 7 r
otherwise, H with gradient checkpointing, where H is hidden, I intermediate size and r the adapter's
rank.
"""

from __future__ import annotations

from dataclasses import dataclass

from selene_lib.errors import UserError
from selene_lib.training.shapes import Shape, read_shape
from selene_lib.training.spec import TrainSpec

GB = 1024**3

RUNTIME_BYTES = {"cuda": int(0.9 * GB), "cpu": int(0.6 * GB)}
CEILING_TOKENS = {"cuda": 16384, "cpu": 4096}  # more in one micro-batch is not faster
# without autograd nothing is kept for a backward pass, so far more tokens fit at once
FORWARD_CEILING_TOKENS = {"cuda": 65536, "cpu": 4096}
# positions the output head computes at once: fewer, larger products on a GPU
HEAD_CHUNK_TOKENS = {"cuda": 1024, "cpu": 256}
# host memory: torch with CUDA, transformers and peft; text of a token; a record beside its texts;
# what an encoded pair takes in memory while its tokens lie on disk
HOST_RUNTIME_BYTES = 3 * GB
CHARACTERS_A_TOKEN = 4.5
RECORD_BYTES = 1500
ENCODED_BYTES = 600
SLACK = 1.08  # what an allocator rounds up and fragments
# double quantisation adds 0.127 bit a weight (QLoRA, arXiv 2305.14314, section 3)
NF4_BYTES = 0.5 + 0.127 / 8


def saved_per_token(
    spec: TrainSpec, shape: Shape, *, checkpointing: bool, copies: bool, skip_layers: int = 0
) -> float:
    """Numbers autograd keeps per token over all layers.

    `copies` for the `segments` attention, which copies prompt keys per side. Of a checkpointed
    model, `skip_layers` keep all of theirs.
    """
    layer = (
        (12 if copies else 9) * shape.hidden
        + 4 * shape.intermediate
        + 7 * spec.lora_r * (spec.adapter == "lora")
    )
    if not checkpointing:
        return shape.n_layers * layer
    # of the others a layer's input, and all of the one that is being computed again
    recomputed = shape.n_layers - skip_layers
    return skip_layers * layer + recomputed * shape.hidden + layer


def memory_parts(
    spec: TrainSpec,
    shape: Shape,
    micro_batch_tokens: int,
    *,
    kind: str,
    checkpointing: bool,
    skip_layers: int = 0,
) -> dict[str, float]:
    """Bytes by part of a run.

    Base, adapter with gradients and optimiser, activations of one micro-batch, logits of one chunk,
    runtime.
    """
    wide = _wide(spec, kind)
    linear = NF4_BYTES if spec.quantisation == "nf4" else wide
    base = shape.n_linear * linear + (shape.n_parameters - shape.n_linear) * wide
    paged = spec.optimiser == "paged_adamw_8bit" or (
        spec.optimiser == "auto" and kind == "cuda" and spec.quantisation == "nf4"
    )
    states = 2 if paged else 8
    trained = (
        shape.n_lora(spec.lora_r) * (4 + 4 + states)
        if spec.adapter == "lora"
        else shape.n_parameters * (wide + states)
    )
    copies = kind == "cpu" and spec.layout != "pairs"
    kept = wide * saved_per_token(
        spec, shape, checkpointing=checkpointing, copies=copies, skip_layers=skip_layers
    )
    # the backward pass of a layer holds the gradients of its widest activations beside what was
    # kept
    working = _working_numbers(shape) * wide
    logits = 3 * head_chunk_tokens(spec, kind) * shape.vocabulary * 4
    return {
        "base": base * SLACK,
        "trained": trained * SLACK,
        "activations": micro_batch_tokens * (kept + working) * SLACK,
        "logits": logits,
        "runtime": RUNTIME_BYTES[kind],
    }


def _wide(spec: TrainSpec, kind: str) -> int:
    """Bytes of a number in the run's precision."""
    return 4 if (spec.dtype == "float32" or (spec.dtype == "auto" and kind == "cpu")) else 2


def head_chunk_tokens(spec: TrainSpec, kind: str) -> int:
    """Positions the output head computes at once: the spec's, else the device's default."""
    return spec.logit_chunk_tokens or HEAD_CHUNK_TOKENS[kind]


def _working_numbers(shape: Shape) -> int:
    """Numbers per token that one layer holds while it is computed."""
    return 3 * shape.intermediate + 4 * shape.hidden


def fitting_forward_tokens(spec: TrainSpec, kind: str, memory: int | None) -> int:
    """Tokens of a forward without autograd that 90 % of the memory has room for.

    Never above the device's ceiling, which also serves unknown shapes.
    """
    ceiling = FORWARD_CEILING_TOKENS[kind]
    try:
        shape = read_shape(spec)
    except UserError:
        return CEILING_TOKENS[kind]
    if memory is None:
        return ceiling
    fixed = sum(memory_parts(spec, shape, 0, kind=kind, checkpointing=True).values())
    # a layer's working set beside its input and its output
    one = (_working_numbers(shape) + 2 * shape.hidden) * _wide(spec, kind) * SLACK
    return int(min(ceiling, max(1, (0.9 * memory - fixed) / one)))


def forward_flops(shape: Shape, context_tokens: float) -> float:
    """FLOPs of one token's forward through the blocks.

    2 a weight, and 4 * heads * head_dim a key it looks at (half the context).
    """
    return 2 * shape.n_linear + _attention_flops(shape) * context_tokens / 2


def training_flops_per_token(
    spec: TrainSpec, shape: Shape, context_tokens: float, checkpointing: bool
) -> float:
    """FLOPs of one token's forward and backward.

    The backward counts once for frozen weights and twice for trained ones; under checkpointing
    there is one forward more.
    """
    passes = (2 if spec.adapter == "lora" else 3) + checkpointing
    return passes * forward_flops(shape, context_tokens)


def _attention_flops(shape: Shape) -> float:
    """FLOPs of one query and one key over all layers: two products of heads * head_dim."""
    return 4 * shape.n_layers * shape.n_heads * shape.head_dim


@dataclass(frozen=True)
class PairWork:
    """FLOPs of one pair: a forward through the blocks' weights, its attention, the output head."""

    weights: float
    attention: float
    head: float

    @property
    def forward(self) -> float:
        return self.weights + self.attention + self.head

    def training(self, spec: TrainSpec, *, recomputed_share: float) -> float:
        """Forward and backward; `recomputed_share` of the layers are computed once more.

        The backward of frozen weights is one product a weight, of trained ones two; that of
        attention is five products where the forward has two (FlashAttention, arXiv 2205.14135).
        The head's chunks are always made again.
        """
        per_weight = 1 if spec.adapter == "lora" else 2
        once = 1 + recomputed_share
        blocks = self.weights * (once + per_weight)
        return blocks + self.attention * (once + 2.5) + self.head * (2 + per_weight)


def pair_work(
    shape: Shape, prompt_tokens: int, completion_tokens: int, *, shared: bool
) -> PairWork:
    """Work of one pair: the prompt once where it is `shared`, else twice.

    A token looks at what stands before it in its own sequence; only completions reach the head.
    """
    prompt, completion = prompt_tokens, completion_tokens
    n_prompts = 1 if shared else 2
    keys = n_prompts * prompt**2 / 2 + 2 * completion * (prompt + completion / 2)
    return PairWork(
        2 * shape.n_linear * (n_prompts * prompt + 2 * completion),
        _attention_flops(shape) * keys,
        2 * shape.hidden * shape.vocabulary * 2 * completion,
    )


def longest_row_tokens(spec: TrainSpec) -> int:
    """Tokens of the longest row to expect: a prompt with two completions may be an eighth longer
    than `max_length_tokens`, which bounds the prompt with one.
    """
    return round(spec.max_length_tokens * 9 / 8)


def host_memory_bytes(n_pairs: int, tokens_per_pair: int) -> float:
    """Host memory of a run: interpreter and libraries, the pairs' texts, and what stands beside
    each encoded pair, whose tokens are mapped from disk.
    """
    a_pair = tokens_per_pair * CHARACTERS_A_TOKEN + RECORD_BYTES + ENCODED_BYTES
    return HOST_RUNTIME_BYTES + n_pairs * a_pair


def fitting_tokens(
    spec: TrainSpec, kind: str, checkpointing: bool, memory: int | None, *, skip_layers: int = 0
) -> int:
    """Tokens of a micro-batch that 90 % of the memory has room for; 0 where not one fits.

    Never above the device's ceiling, which also serves unknown shapes.
    """
    try:
        shape = read_shape(spec)
    except UserError:
        return CEILING_TOKENS[kind]
    if memory is None:
        return CEILING_TOKENS[kind]
    none, one = (
        memory_parts(
            spec, shape, n, kind=kind, checkpointing=checkpointing, skip_layers=skip_layers
        )
        for n in (0, 1)
    )
    fixed = sum(none.values())
    return int(min(CEILING_TOKENS[kind], max(0, (0.9 * memory - fixed) / one["activations"])))
