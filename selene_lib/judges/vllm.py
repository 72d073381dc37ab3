"""A judge inside vLLM (extra `vllm`, GPU only): prefix caching on, greedy, probabilities from the
log-probs at the verdict.

vLLM's own interface changes between versions; everything of it that is used stands in this file,
written for the pinned 0.32.0. For any other version, or another machine, serve the model and use
`ServerJudge`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.probabilities import label_probabilities
from selene_lib.judges.protocol import Reply
from selene_lib.prompts.chat import encode_chat
from selene_lib.prompts.rendering import Prompt, shorten


class VllmJudge:
    """Greedy verdicts of a model loaded in process by vLLM; `adapter` is a LoRA folder,
    `max_prompt_tokens` as in `LocalJudge`.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        name: str | None = None,
        max_new_tokens: int = 2048,
        max_prompt_tokens: int = 6144,
        n_logprobs: int = 20,
        engine: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise UserError(
                "vLLM is not installed: pip install 'selene_lib[vllm]' on a machine with a GPU, or use a server"
            ) from error
        self.path, self.adapter = str(model), str(adapter) if adapter else None
        self.name = name or Path(self.path).name
        self.max_new_tokens, self.max_prompt_tokens, self.n_logprobs = (
            max_new_tokens,
            max_prompt_tokens,
            n_logprobs,
        )
        options = {
            "max_model_len": max_prompt_tokens + max_new_tokens,
            "enable_prefix_caching": True,
            "seed": 0,
            **(engine or {}),
        }
        self.engine = LLM(model=self.path, enable_lora=self.adapter is not None, **options)
        self.tokenizer = self.engine.get_tokenizer()

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits of weights, adapter and settings."""
        from selene_lib.judges.local import weights_hash

        parts = [
            weights_hash(self.path),
            weights_hash(self.adapter) if self.adapter else "",
            self.max_new_tokens,
            self.max_prompt_tokens,
            "vllm",
        ]
        return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:16]

    def batches(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Slices of 512: vLLM schedules inside them, the store is written between them."""
        return [
            list(range(start, min(start + 512, len(prompts))))
            for start in range(0, len(prompts), 512)
        ]

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer prompts, in their order."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        encoded = [self._encode(prompt) for prompt in prompts]
        sampling = SamplingParams(
            temperature=0.0, max_tokens=self.max_new_tokens, logprobs=self.n_logprobs
        )
        lora = LoRARequest("adapter", 1, self.adapter) if self.adapter else None
        outputs = self.engine.generate(
            [{"prompt_token_ids": ids} for ids, _ in encoded],
            sampling,
            lora_request=lora,
            use_tqdm=False,
        )
        return [
            self._reply(prompt, out, n_cut)
            for prompt, out, (_, n_cut) in zip(prompts, outputs, encoded, strict=True)
        ]

    def _encode(self, prompt: Prompt) -> tuple[list[int], int]:
        ids, n_cut = encode_chat(self.tokenizer, prompt.text, None), 0
        if len(ids) > self.max_prompt_tokens:
            short, n_cut = shorten(
                prompt,
                lambda text: len(encode_chat(self.tokenizer, text, None)),
                self.max_prompt_tokens,
            )
            ids = encode_chat(self.tokenizer, short.text, None)
        return ids, n_cut

    def _reply(self, prompt: Prompt, output: Any, n_cut: int) -> Reply:
        best = output.outputs[0]
        steps = [
            (step[token].decoded_token, {e.decoded_token: e.logprob for e in step.values()})
            for token, step in zip(best.token_ids, best.logprobs or [])
        ]
        probs = label_probabilities(prompt.task, steps)
        meta = {"n_cut_characters": n_cut} if n_cut else {}
        return Reply(
            best.text.strip(),
            best.finish_reason or "stop",
            len(output.prompt_token_ids),
            len(best.token_ids),
            probs,
            meta,
        )
