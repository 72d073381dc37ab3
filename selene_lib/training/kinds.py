"""What decides about a model's rows before its weights are loaded, read from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelKind:
    """`model_type` in the words of transformers; `obstacle` is why documents cannot share its rows
    (None where they can); `n_positions` is how many positions it was made for.
    """

    model_type: str
    obstacle: str | None = None
    n_positions: int | None = None


def kind_of(config: Any) -> ModelKind:
    """The kind of the model that a transformers configuration describes."""
    text = config.get_text_config()
    n_positions = getattr(text, "max_position_embeddings", None)
    return ModelKind(config.model_type, config_obstacle(config), n_positions)


def config_obstacle(config: Any) -> str | None:
    """Name a setting that makes a token's reach depend on its place in the row, or that no packed
    attention of ours computes.

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
    if getattr(text, "attn_logit_softcapping", None):
        return f"it caps its attention logits at {text.attn_logit_softcapping}"
    return None
