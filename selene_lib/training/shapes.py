"""The sizes of a model that memory and work depend on, read without loading a weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files import read_json
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


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama-type model that memory and work depend on."""

    hidden: int
    intermediate: int
    n_layers: int
    n_heads: int
    n_key_value_heads: int
    head_dim: int
    vocabulary: int
    tied: bool

    @property
    def n_linear(self) -> int:
        """Weights of the blocks' linear layers: what is quantised, and what LoRA sits on."""
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
        return self.n_linear + self.n_embedding + (2 * self.n_layers + 1) * self.hidden

    def n_lora(self, rank: int) -> int:
        """Weights of a LoRA of this rank on every linear layer of the blocks."""
        query, key_value = self.n_heads * self.head_dim, self.n_key_value_heads * self.head_dim
        attention = 2 * (self.hidden + query) + 2 * (self.hidden + key_value)
        return self.n_layers * rank * (attention + 3 * (self.hidden + self.intermediate))


def read_shape(spec: TrainSpec) -> Shape:
    """Shape from a model folder's `config.json`, or of a well-known model by its name."""
    path = Path(spec.base_model) / "config.json"
    values = (
        read_json(path) if path.is_file() else KNOWN_SHAPES.get(spec.base_model.rpartition("/")[2])
    )
    if values is None:
        raise UserError(
            f"no config.json in {spec.base_model!r}: "
            "download the model (its config.json is enough) and name its folder"
        )
    for name in NEEDED:
        if name not in values:
            raise UserError(f"{path} has no {name}: the planner knows Llama-type models only")
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
    )
