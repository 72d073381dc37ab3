"""The sizes of a model that memory and work depend on, read without loading a weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json
from selene_lib.models.loading import open_config
from selene_lib.training.spec import TrainSpec

# shapes of models that a spec may name without having them on disk, from their published
# configurations
KNOWN_SHAPES: dict[str, dict[str, int]] = {
    "Llama-3.1-8B-Instruct": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "Qwen2.5-0.5B-Instruct": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": 1,
    },
}
NEEDED = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)
# model types whose linear layers are those of Llama: what they weigh follows from six numbers
LLAMA_LIKE = frozenset({"llama", "mistral", "qwen2", "qwen3"})


@dataclass(frozen=True)
class Counted:
    """Weights counted in a model laid out without memory, where no formula is known.

    `n_linear` are those of linear layers outside the output head, `n_lora_rows` the sum of their
    inputs and outputs (a LoRA of rank r has r times as many weights).
    """

    n_parameters: int
    n_linear: int
    n_lora_rows: int


@dataclass(frozen=True)
class Shape:
    """The sizes of a causal language model that memory and work depend on."""

    hidden: int
    intermediate: int
    n_layers: int
    n_heads: int
    n_key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    model_type: str = "llama"
    counted: Counted | None = None

    @property
    def n_linear(self) -> int:
        """Weights of the blocks' linear layers: what is quantised, and what LoRA sits on."""
        if self.counted:
            return self.counted.n_linear
        query, key_value = self.n_heads * self.head_dim, self.n_key_value_heads * self.head_dim
        return self.n_layers * (
            self.hidden * (2 * query + 2 * key_value) + 3 * self.hidden * self.intermediate
        )

    @property
    def n_embedding(self) -> int:
        """Weights of the input embedding and, unless tied, of the output head."""
        return self.vocabulary * self.hidden * (1 if self.tied else 2)

    @property
    def n_parameters(self) -> int:
        if self.counted:
            return self.counted.n_parameters
        return self.n_linear + self.n_embedding + (2 * self.n_layers + 1) * self.hidden

    def n_lora(self, rank: int) -> int:
        """Weights of a LoRA of this rank on every linear layer of the blocks."""
        if self.counted:
            return rank * self.counted.n_lora_rows
        query, key_value = self.n_heads * self.head_dim, self.n_key_value_heads * self.head_dim
        attention = 2 * (self.hidden + query) + 2 * (self.hidden + key_value)
        return self.n_layers * rank * (attention + 3 * (self.hidden + self.intermediate))


def read_shape(spec: TrainSpec) -> Shape:
    """Shape of a model folder or hub id, from its `config.json`; no weight is read.

    A few well-known models are known by their name, so that they can be planned without a network.
    Raises UserError where there is no configuration to read, or none of a causal language model.
    """
    name = spec.base_model
    path = Path(name) / "config.json"
    if path.is_file():
        values = read_json(path)
        if values.get("model_type", "llama") in LLAMA_LIKE:
            return _llama_shape(values, str(path))
    elif known := KNOWN_SHAPES.get(name.rpartition("/")[2]):
        return _llama_shape(known, name)
    return _shape_of(_config_of(name, spec.revision), name)


def _config_of(name: str, revision: str | None) -> Any:
    try:
        return open_config(name, revision=revision)
    except UserError as error:
        raise UserError(
            f"no config.json of {name!r} can be read ({error}): "
            "download the model (its config.json is enough) and name its folder"
        ) from error


def _llama_shape(values: Mapping[str, Any], where: str) -> Shape:
    for name in NEEDED:
        if name not in values:
            raise UserError(f"{where} has no {name}, which a Llama-type model needs")
    heads = values["num_attention_heads"]
    return Shape(
        values["hidden_size"],
        values["intermediate_size"],
        values["num_hidden_layers"],
        heads,
        values.get("num_key_value_heads") or heads,
        values.get("head_dim") or values["hidden_size"] // heads,
        values["vocab_size"],
        bool(values.get("tie_word_embeddings", False)),
        values.get("model_type", "llama"),
    )


def _shape_of(config: Any, name: str) -> Shape:
    """Shape by any configuration that transformers reads: the weights are counted, not derived."""
    text = config.get_text_config()
    if text.model_type in LLAMA_LIKE:
        return _llama_shape(text.to_dict(), name)
    counted = _count(config, name)
    heads = text.num_attention_heads
    return Shape(
        text.hidden_size,
        getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        text.num_hidden_layers,
        heads,
        getattr(text, "num_key_value_heads", None) or heads,
        getattr(text, "head_dim", None) or text.hidden_size // heads,
        text.vocab_size,
        bool(getattr(text, "tie_word_embeddings", True)),
        text.model_type,
        counted,
    )


def _count(config: Any, name: str) -> Counted:
    """Lay a model out on torch's `meta` device, which has no memory, and count its weights."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D  # the linear layer of GPT-2

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise UserError(
            f"{name} is of type {config.model_type!r}, which is no causal language model: "
            "name one that is"
        ) from error
    head = model.get_output_embeddings()
    kinds = (torch.nn.Linear, Conv1D)
    linear = [m.weight for m in model.modules() if isinstance(m, kinds) and m is not head]
    return Counted(
        sum(parameter.numel() for parameter in model.parameters()),
        sum(weight.numel() for weight in linear),
        sum(sum(weight.shape) for weight in linear),
    )
