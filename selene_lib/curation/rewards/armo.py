"""ArmoRM (arXiv 2406.12845) without code from the hub: body by transformers, head by us.

Weights beside the body, as the checkpoint names them: `regression_layer.weight` [objectives,
hidden], `reward_transform_matrix` [objectives, objectives], `gating.logit_scale` [1],
`gating.layers.<i>.weight/.bias`. Score = sum over objectives of gate times (rewards @ transform);
the rewards read the last token, the gate reads the end of the user's turn. Names and formula were
read in copies of the model's published code; the 8B checkpoint itself was not run by us.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.curation.rewards.protocol import ARMO
from selene_lib.curation.rewards.sequence import SequenceClassifierReward
from selene_lib.errors import UserError

if TYPE_CHECKING:
    import torch

_END_OF_TURN = "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
_ARCHITECTURE = "LlamaForRewardModelWithGating"
_GATING_TEMPERATURE = 10.0


def is_armo(model: str) -> bool:
    """Whether a hub id or a folder is an ArmoRM checkpoint."""
    config = Path(model) / "config.json"
    return model == ARMO or (
        config.is_file()
        and _ARCHITECTURE in json.loads(config.read_text()).get("architectures", [])
    )


class ArmoReward(SequenceClassifierReward):
    """ArmoRM's preference score; batches as in `SequenceClassifierReward`."""

    def _load(self, revision: str | None) -> Any:
        from transformers import LlamaModel

        body = self._open(LlamaModel, revision)
        self._head = {
            name: t.to(self._device, self._dtype)
            for name, t in _head_weights(self._path, revision).items()
        }
        self._marker = self._tokenizer.encode(_END_OF_TURN, add_special_tokens=False)
        self._temperature = float(getattr(body.config, "gating_temperature", _GATING_TEMPERATURE))
        return body

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        hidden = self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        rows = torch.arange(len(ids), device=hidden.device)
        turn = torch.tensor(
            [find_last(row, self._marker) for row in ids.tolist()], device=hidden.device
        )
        rewards = hidden[:, -1] @ self._head["regression_layer.weight"].T
        gate = gating(hidden[rows, turn], self._head, self._temperature)
        return (gate * (rewards @ self._head["reward_transform_matrix"])).sum(dim=1).float()


def gating(x: torch.Tensor, head: dict[str, torch.Tensor], temperature: float) -> torch.Tensor:
    """The gate's weights over the objectives, [batch, objectives].

    ReLU layers, then a softmax at `temperature`, times the logit scale.
    """
    import torch

    n_layers = sum(name.startswith("gating.layers.") and name.endswith(".weight") for name in head)
    for i in range(n_layers):
        x = torch.nn.functional.linear(
            x, head[f"gating.layers.{i}.weight"], head.get(f"gating.layers.{i}.bias")
        )
        x = torch.relu(x) if i < n_layers - 1 else x
    return torch.softmax(x / temperature, dim=1) * head["gating.logit_scale"][0]


def find_last(row: Sequence[int], pattern: Sequence[int]) -> int:
    """Where `pattern` begins for the last time in `row`.

    A ValueError where it is not: another chat template was used.
    """
    for start in range(len(row) - len(pattern), -1, -1):
        if list(row[start : start + len(pattern)]) == list(pattern):
            return start
    raise ValueError(
        "the end of the user's turn was not found: ArmoRM needs the Llama 3 chat template"
    )


def _head_weights(path: str, revision: str | None) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint that is not of the body."""
    from safetensors import safe_open

    folder = Path(path)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(path, revision=revision, allow_patterns=["*.safetensors", "*.json"])
        )
    found: dict[str, torch.Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as stream:
            for name in stream.keys():  # noqa: SIM118  no mapping, it cannot be iterated
                if not name.startswith("model."):
                    found[name] = stream.get_tensor(name)
    needed = {
        "regression_layer.weight",
        "reward_transform_matrix",
        "gating.logit_scale",
        "gating.layers.0.weight",
    }
    if missing := sorted(needed - set(found)):
        raise UserError(
            f"{path}: no tensor {missing[0]!r}; "
            "this is no ArmoRM checkpoint, or its files are not whole"
        )
    return found
