"""Critiques from vLLM in this process (extra `vllm`, GPU only), written for the pinned 0.32.0.

Not run by us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selene_lib.curation.generators.batched import generate_batched
from selene_lib.curation.generators.protocol import Generation, Request
from selene_lib.models.vllm_engine import open_engine

if TYPE_CHECKING:
    from selene_lib.models.reply_store import ReplyStore


class VllmGenerator:
    """Samples with one seed a request; `engine` goes to `vllm.LLM` as it is."""

    def __init__(
        self,
        model: str,
        *,
        max_reply_tokens: int = 1024,
        batch_size: int = 512,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = model
        self.settings: Mapping[str, Any] = {"max_reply_tokens": max_reply_tokens, "backend": "vllm"}
        self._size = batch_size
        self._engine = open_engine(model, {"enable_prefix_caching": True, **(engine or {})})

    def generate(
        self, requests: Sequence[Request], *, store: ReplyStore | None = None
    ) -> list[Generation]:
        """Write what the store does not hold, in slices that are stored one after the other."""
        return generate_batched(
            self.name, self.settings, requests, store, self._answer, size=self._size
        )

    def _answer(self, batch: Sequence[Request]) -> list[Generation]:
        from vllm import SamplingParams

        from selene_lib.prompts.chat import encode_chat

        tokenizer = self._engine.get_tokenizer()
        prompts = [
            {"prompt_token_ids": encode_chat(tokenizer, request.prompt, None)} for request in batch
        ]
        limit = self.settings["max_reply_tokens"]
        sampling = [
            SamplingParams(temperature=r.temperature, max_tokens=limit, seed=r.draw_seed)
            for r in batch
        ]
        outputs = self._engine.generate(prompts, sampling)
        return [self._generation(output) for output in outputs]

    def _generation(self, output: Any) -> Generation:
        best = output.outputs[0]
        return Generation(
            best.text.strip(),
            best.finish_reason or "stop",
            len(output.prompt_token_ids),
            len(best.token_ids),
        )
