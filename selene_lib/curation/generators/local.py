"""Critiques from a transformers model in this process, on the CPU or one GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selene_lib.curation.generators.batched import generate_batched
from selene_lib.curation.generators.protocol import Generation, Request
from selene_lib.models.loading import choose_device, choose_dtype, open_model, open_tokenizer
from selene_lib.models.names import resolve_model
from selene_lib.prompts.chat import encode_chat

if TYPE_CHECKING:
    import torch

    from selene_lib.models.reply_store import ReplyStore


class LocalGenerator:
    """Samples replies of `model` in left-padded batches of `batch_size`.

    `model` is a folder, a hub id or `embedded`. Every request draws from a stream of its own seed,
    so a reply does not depend on its neighbours in the batch (up to rounding) nor on what was
    stored before. Temperature 0 is greedy.
    """

    def __init__(
        self,
        model: str,
        *,
        max_reply_tokens: int = 1024,
        batch_size: int = 16,
        dtype: str | None = None,
        device: str | None = None,
    ) -> None:
        self.name = model
        self.settings: Mapping[str, Any] = {
            "max_reply_tokens": max_reply_tokens,
            "backend": "transformers",
        }
        self._size = batch_size
        device = choose_device(device)
        path = resolve_model(model)
        self._tokenizer = open_tokenizer(path, what="generator")
        opened = open_model(
            path, what="generator", dtype=choose_dtype(device, dtype), safetensors_only=True
        )
        self._model = opened.to(device).eval()

    def generate(
        self, requests: Sequence[Request], *, store: ReplyStore | None = None
    ) -> list[Generation]:
        """Write what the store does not hold; return one generation a request, in their order.

        The longest prompts come first.
        """
        order = sorted(range(len(requests)), key=lambda i: -len(requests[i].prompt))
        found = generate_batched(
            self.name,
            self.settings,
            [requests[i] for i in order],
            store,
            self._answer,
            size=self._size,
        )
        replies = dict(zip(order, found))
        return [replies[i] for i in range(len(requests))]

    def _answer(self, batch: Sequence[Request]) -> list[Generation]:
        import torch
        from transformers import LogitsProcessorList

        rows = [encode_chat(self._tokenizer, request.prompt, None) for request in batch]
        width = max(map(len, rows))
        pad = (
            self._tokenizer.pad_token_id
            if self._tokenizer.pad_token_id is not None
            else self._tokenizer.eos_token_id
        )
        ids = torch.tensor(
            [[pad] * (width - len(row)) + row for row in rows], device=self._model.device
        )
        mask = torch.tensor(
            [[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self._model.device
        )
        with torch.inference_mode():
            written = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                max_new_tokens=self.settings["max_reply_tokens"],
                pad_token_id=pad,
                logits_processor=LogitsProcessorList(
                    [GumbelRows([(r.draw_seed, r.temperature) for r in batch])]
                ),
            )
        return [
            self._generation(row[width:].tolist(), len(prompt))
            for row, prompt in zip(written, rows)
        ]

    def _generation(self, ids: list[int], n_prompt_tokens: int) -> Generation:
        end = self._model.generation_config.eos_token_id
        ends = {self._tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])}
        cut = next((i for i, token in enumerate(ids) if token in ends), None)
        text = self._tokenizer.decode(
            ids[:cut], skip_special_tokens=True, clean_up_tokenization_spaces=False
        ).strip()
        n_reply = len(ids) if cut is None else cut
        return Generation(text, "length" if cut is None else "stop", n_prompt_tokens, n_reply)


class GumbelRows:
    """A logits processor that makes greedy decoding sample.

    The largest of `logits / T + Gumbel noise` is a draw from softmax(logits / T). Each row has a
    random stream of its own; temperature 0 leaves a row greedy.
    """

    def __init__(self, rows: Sequence[tuple[int, float]]) -> None:
        import torch

        self._rows = [
            (torch.Generator().manual_seed(seed), temperature) for seed, temperature in rows
        ]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the perturbed scores, [batch, vocabulary]."""
        import torch

        scores = scores.float().clone()
        for i, (generator, temperature) in enumerate(self._rows):
            if temperature > 0:
                uniform = torch.rand(
                    scores.shape[1], generator=generator, dtype=torch.float64
                ).clamp_(1e-12, 1 - 1e-12)
                scores[i] = scores[i] / temperature - torch.log(-torch.log(uniform)).to(scores)
        return scores
