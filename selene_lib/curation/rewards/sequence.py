"""Reward models of the usual kind: a transformer with one score on the last token of a chat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.errors import UserError
from selene_lib.models.loading import choose_device, choose_dtype, open_model, open_tokenizer
from selene_lib.models.names import short_name

if TYPE_CHECKING:
    import torch

_WHAT = "reward model"


class SequenceClassifierReward:
    """Scores of any `AutoModelForSequenceClassification` with one output; see `score`.

    `model` is a folder or a hub id, read at `revision` and from safetensors only; code from the hub
    is never run. `max_tokens` is a limit: a longer chat is a UserError that says how long it is,
    not a cut.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        batch_tokens: int = 16_384,
        max_tokens: int | None = None,
        dtype: str | None = None,
        device: str | None = None,
    ) -> None:
        self.name, self._path = short_name(model), model
        self.batch_tokens, self.max_tokens = batch_tokens, max_tokens
        self._device = choose_device(device)
        self._dtype = choose_dtype(self._device, dtype)
        self._tokenizer = open_tokenizer(model, what=_WHAT, revision=revision)
        self._model = self._load(revision).to(self._device).eval()
        self.revision = revision or _revision(model, self._model)

    def _load(self, revision: str | None) -> Any:
        from transformers import AutoModelForSequenceClassification

        model = self._open(AutoModelForSequenceClassification, revision)
        if model.config.num_labels != 1:
            raise UserError(
                f"{self._path} has {model.config.num_labels} outputs; "
                "a reward model of this kind has one"
            )
        if model.config.pad_token_id is None:
            # Batches hold no padding, so that no token may be taken for it.
            model.config.pad_token_id = -1
        return model

    def _open(self, loader: type[Any], revision: str | None) -> Any:
        return open_model(
            self._path,
            what=_WHAT,
            revision=revision,
            dtype=self._dtype,
            loader=loader,
            safetensors_only=True,
        )

    def score(self, prompts: Sequence[str], replies: Sequence[str]) -> np.ndarray:
        """Return one reward a reply, [n] float64.

        Batches hold chats of one length only, so nothing is padded and a reply scores the same
        alone and in a batch.
        """
        import torch

        rows = [self._encode(prompt, reply) for prompt, reply in zip(prompts, replies, strict=True)]
        scores = np.full(len(rows), np.nan)
        with torch.inference_mode():
            for batch in self._batches(rows):
                ids = torch.tensor([rows[i] for i in batch], device=self._device)
                scores[batch] = self._forward(ids).double().cpu().numpy()
        if not np.isfinite(scores).all():
            first = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise ValueError(
                f"{self.name} gave {scores[first]} to reply {first}: "
                "it cannot be filtered on; try dtype float32 or bfloat16"
            )
        return scores

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        import torch

        return self._model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, 0].float()

    def _encode(self, prompt: str, reply: str) -> list[int]:
        from selene_lib.prompts.chat import encode_chat

        ids = encode_chat(self._tokenizer, prompt, reply)
        limit = self.max_tokens or getattr(self._model.config, "max_position_embeddings", None)
        if limit and len(ids) > limit:
            raise UserError(
                f"a prompt with its reply has {len(ids)} tokens, {self.name} reads {limit}; "
                "filter by length first"
            )
        return ids

    def _batches(self, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(rows):
            by_length[len(row)].append(index)
        for length in sorted(by_length, reverse=True):
            size = max(1, self.batch_tokens // max(1, length))
            indices = by_length[length]
            yield from (indices[start : start + size] for start in range(0, len(indices), size))


def _revision(path: str, model: Any) -> str:
    """The commit a hub model was read at, or a hash of a local folder."""
    from pathlib import Path

    from selene_lib.files import sha256_file

    found = getattr(model.config, "_commit_hash", None)
    return found or (sha256_file(path)[:16] if Path(path).is_dir() else "unknown")
