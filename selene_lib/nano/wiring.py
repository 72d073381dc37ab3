"""A start for the base model in which looking things up works from the first step.

Two pairs of heads are set by hand, then trained on.

Models of this size did not find in-context lookup by themselves within millions of tokens here (the
circuit: Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv 2209.11895). So layer
0 gets heads that attend one and two tokens back (a phase of the rotary embedding on a constant that
all word vectors share) and layer 1 gets two heads: one goes from a word to what followed the same
word before ("tea" -> "hot" in a response "tea hot"), one from two words on to what stood before the
same word ("dark" in a reference "dark tea"). All other weights stay random and everything is
trained afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

WORD_SHARE, CONSTANT_SHARE = 0.8, 0.6
EMBEDDING_NORM = 0.5
BACK_SHARPNESS, MATCH_SHARPNESS = 60.0, 20.0


@dataclass(frozen=True)
class _Spaces:
    """Orthonormal parts of the residual stream.

    A shared constant, the words, room for the words one and two tokens back, a spare.
    """

    constant: Tensor
    words: Tensor
    back1: Tensor
    back2: Tensor
    spare: Tensor


def wire_lookup(model: Any, *, seed: int, silent_ids: tuple[int, ...] = ()) -> None:
    """Set embeddings, two heads of layer 0 and two of layer 1 in place.

    `silent_ids` (the comma) carry no word, so nobody copies them. Needs at least two layers and two
    heads a layer.
    """
    import torch

    config = model.config
    generator = torch.Generator().manual_seed(seed)
    hidden, size = config.hidden_size, config.head_dim
    basis = torch.linalg.qr(torch.randn(hidden, hidden, generator=generator)).Q.T
    width = (hidden - 2) // 3
    spaces = _Spaces(
        basis[0],
        basis[1 : 1 + width],
        basis[1 + width : 1 + 2 * width],
        basis[1 + 2 * width : 1 + 3 * width],
        basis[-1],
    )
    theta = config.rope_parameters["rope_theta"] ** (-torch.arange(size // 2) / (size // 2))
    with torch.no_grad():
        embedding = _embedding(config.vocab_size, spaces, silent_ids, generator)
        model.model.embed_tokens.weight.copy_(embedding)
        first, second = model.model.layers[0].self_attn, model.model.layers[1].self_attn
        _wire_back(first, 0, 1, spaces, spaces.back1, theta, generator)
        _wire_back(first, 1, 2, spaces, spaces.back2, theta, generator)
        after_same_word = (spaces.words, spaces.back1, spaces.words)
        before_same_word = (spaces.back2, spaces.words, spaces.back1)
        _wire_match(second, 0, after_same_word, spaces.words, theta, generator)
        _wire_match(second, 1, before_same_word, spaces.words, theta, generator)


def _embedding(
    n_vocab: int, spaces: _Spaces, silent_ids: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    import torch

    words = torch.randn(n_vocab, len(spaces.words), generator=generator)
    words = words / words.norm(dim=1, keepdim=True)
    contents = words @ spaces.words
    contents[list(silent_ids)] = spaces.spare
    return EMBEDDING_NORM * (WORD_SHARE * contents + CONSTANT_SHARE * spaces.constant)


def _wire_back(
    attention: Any,
    head: int,
    distance: int,
    spaces: _Spaces,
    target: Tensor,
    theta: Tensor,
    generator: torch.Generator,
) -> None:
    """Head `head` writes the word that stands `distance` tokens back into `target`."""
    import torch

    half = len(theta)
    rows, scale = slice(2 * half * head, 2 * half * (head + 1)), len(spaces.constant) ** 0.5
    n_sharp = int((theta > 0.15).sum())
    strength = (torch.arange(half) < n_sharp).float()
    gain = (BACK_SHARPNESS / n_sharp * (2 * half) ** 0.5) ** 0.5 / (CONSTANT_SHARE * scale)
    query = torch.cat([strength, torch.zeros(half)])
    key = torch.cat(
        [strength * torch.cos(theta * distance), strength * torch.sin(theta * distance)]
    )
    attention.q_proj.weight[rows] = torch.outer(query, spaces.constant) * gain
    attention.k_proj.weight[rows] = torch.outer(key, spaces.constant) * gain
    squeeze = _orthogonal(2 * half, len(target), generator)
    attention.v_proj.weight[rows] = squeeze @ spaces.words
    attention.o_proj.weight[:, rows] = (
        target.T @ torch.linalg.pinv(squeeze) * EMBEDDING_NORM / scale
    )


def _wire_match(
    attention: Any,
    head: int,
    parts: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
    theta: Tensor,
    generator: torch.Generator,
) -> None:
    """Head `head` copies the `said` part into `target`.

    It attends where the `held` part equals the `asked` part of the query. Only slowly turning
    dimensions are used, so that the match does not depend on the distance.
    """
    import torch

    asked, held, said = parts
    half, scale = len(theta), asked.shape[1] ** 0.5
    rows = slice(2 * half * head, 2 * half * (head + 1))
    slow = [i for i in range(half) if theta[i] < 0.02]
    dims = torch.tensor(slow + [i + half for i in slow])
    size = EMBEDDING_NORM * WORD_SHARE / 0.75 * scale
    gain = (MATCH_SHARPNESS * (2 * half) ** 0.5) ** 0.5 / size
    mix = _orthogonal(len(dims), len(asked), generator)
    query, key = torch.zeros(2 * half, asked.shape[1]), torch.zeros(2 * half, asked.shape[1])
    query[dims], key[dims] = mix @ asked * gain, mix @ held * gain
    attention.q_proj.weight[rows], attention.k_proj.weight[rows] = query, key
    squeeze = _orthogonal(2 * half, len(said), generator)
    attention.v_proj.weight[rows] = squeeze @ said
    attention.o_proj.weight[:, rows] = target.T @ torch.linalg.pinv(squeeze) * 1.5 / size


def _orthogonal(n_rows: int, n_columns: int, generator: torch.Generator) -> Tensor:
    """A random matrix whose rows (or columns, where they are fewer) are orthonormal."""
    import torch

    shape = max(n_rows, n_columns), min(n_rows, n_columns)
    tall = torch.linalg.qr(torch.randn(*shape, generator=generator)).Q
    return tall if n_rows >= n_columns else tall.T
