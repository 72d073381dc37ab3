"""Reward models of the usual kind: a transformer with one linear score on the last token of a chat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.errors import UserError

if TYPE_CHECKING:
    import torch


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
        import torch
        from transformers import AutoTokenizer

        from selene_lib.models.names import short_name

        self.name, self._path = short_name(model), model
        self.batch_tokens, self.max_tokens = batch_tokens, max_tokens
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = (
            getattr(torch, dtype)
            if dtype
            else (torch.float32 if self._device == "cpu" else torch.bfloat16)
        )
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
            self._model = self._load(revision).to(self._device).eval()
        except OSError as error:
            reason = (str(error).strip().splitlines() or ["not found"])[0]
            raise UserError(
                f"cannot load reward model {model}: {reason}; give a local folder, or a hub id with network and access"
            ) from error
        self.revision = revision or _revision(model, self._model)

    def _load(self, revision: str | None) -> Any:
        from transformers import AutoModelForSequenceClassification

        model = AutoModelForSequenceClassification.from_pretrained(
            self._path,
            revision=revision,
            dtype=self._dtype,
            use_safetensors=True,
            trust_remote_code=False,
        )
        if model.config.num_labels != 1:
            raise UserError(
                f"{self._path} has {model.config.num_labels} outputs; a reward model of this kind has one"
            )
        if model.config.pad_token_id is None:
            model.config.pad_token_id = (
                -1
            )  # batches hold no padding, so that no token may be taken for it
        return model

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
                f"{self.name} gave {scores[first]} to reply {first}: it cannot be filtered on; try dtype float32 or bfloat16"
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
                f"a prompt with its reply has {len(ids)} tokens, {self.name} reads {limit}; filter by length first"
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
