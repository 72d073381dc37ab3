"""A judge inside vLLM (extra `vllm`, GPU only): greedy, with prefix caching and probabilities.

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

from selene_lib.judges.fitting import encode_fitting, note_of_cut, why_unfit
from selene_lib.judges.probabilities import label_probabilities
from selene_lib.judges.protocol import Reply, slices
from selene_lib.models.vllm_engine import engine_lora_rank, open_engine
from selene_lib.prompts.rendering import Prompt
from selene_lib.prompts.thoughts import ReplyDecoder


class VllmJudge:
    """Greedy verdicts of a model loaded in process by vLLM.

    `adapter` is a LoRA folder, `max_prompt_tokens` as in `LocalJudge`.
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
        self.path, self.adapter = str(model), str(adapter) if adapter else None
        self.name = name or Path(self.path).name
        self.max_new_tokens, self.max_prompt_tokens = max_new_tokens, max_prompt_tokens
        self.n_logprobs = n_logprobs
        options = {
            "max_model_len": max_prompt_tokens + max_new_tokens,
            "enable_prefix_caching": True,
            "enable_lora": self.adapter is not None,
            **({"max_lora_rank": engine_lora_rank(self.adapter)} if self.adapter else {}),
            "seed": 0,
            **(engine or {}),
        }
        self.engine = open_engine(self.path, options)
        self.tokenizer = self.engine.get_tokenizer()
        self._decoder = ReplyDecoder(self.tokenizer)

    @functools.cached_property
    def fingerprint(self) -> str:
        """16 hex digits of weights, adapter and settings."""
        from selene_lib.models.fingerprints import weights_hash

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
        return slices(len(prompts), 512)

    def unfit(self, prompts: Sequence[Prompt]) -> dict[int, str]:
        """Which prompts cannot be cut to `max_prompt_tokens`, by place, and why."""
        return why_unfit(
            prompts, lambda prompt: encode_fitting(self.tokenizer, prompt, self.max_prompt_tokens)
        )

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Answer prompts, in their order."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        encoded = [encode_fitting(self.tokenizer, p, self.max_prompt_tokens) for p in prompts]
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

    def _reply(self, prompt: Prompt, output: Any, n_cut: int) -> Reply:
        best = output.outputs[0]
        steps = [
            (step[token].decoded_token, {e.decoded_token: e.logprob for e in step.values()})
            for token, step in zip(best.token_ids, best.logprobs or [])
        ]
        opened: tuple[str, dict[str, float]] = (self._decoder.opening, {})
        probs = label_probabilities(prompt.kind, [opened, *steps])
        return Reply(
            self._decoder.reply(list(best.token_ids)).strip(),
            best.finish_reason or "stop",
            len(output.prompt_token_ids),
            len(best.token_ids),
            probs,
            note_of_cut(n_cut),
        )
