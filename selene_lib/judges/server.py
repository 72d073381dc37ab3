"""A judge behind any OpenAI-compatible server: vLLM, Ollama, llama.cpp, hosted services.

Store, retries, limits and budget are those of `selene_lib.models.client`, so a reply is paid for
once, whoever asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.judges.fitting import note_of_cut
from selene_lib.judges.probabilities import label_probabilities
from selene_lib.judges.protocol import Reply, slices
from selene_lib.models.client import ChatReply, ChatRequest, ServerClient, ServerError
from selene_lib.prompts.rendering import Prompt, shorten

# a server's tokenizer is not at hand; only to keep within `max_prompt_tokens`
_CHARACTERS_PER_TOKEN = 4


class ServerJudge:
    """Greedy verdicts of a served model.

    The key is read from the environment variable `api_key_env`. `store` is the client's append-only
    file (None: memory only). `logprobs` asks for so many alternatives a token, from which the
    verdict probabilities come; a server that gives none still judges. `max_prompt_tokens`
    (estimated from characters) cuts long responses in the middle, counted in
    `meta["n_cut_characters"]`. Budgets stop the run with a UserError once what is in flight is
    stored.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        name: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        store: str | Path | None = None,
        max_new_tokens: int = 2048,
        temperature: float = 0.0,
        seed: int | None = 0,
        logprobs: int = 10,
        max_prompt_tokens: int | None = None,
        max_concurrency: int = 16,
        budget_tokens: int | None = None,
        budget_usd: float | None = None,
        usd_per_million_prompt_tokens: float | None = None,
        usd_per_million_reply_tokens: float | None = None,
        timeout_seconds: float = 300.0,
        max_retries: int = 6,
    ) -> None:
        self.client = ServerClient(
            base_url,
            model,
            api_key_env=api_key_env,
            store=store,
            max_concurrency=max_concurrency,
            budget_tokens=budget_tokens,
            budget_usd=budget_usd,
            usd_per_million_prompt_tokens=usd_per_million_prompt_tokens,
            usd_per_million_reply_tokens=usd_per_million_reply_tokens,
            timeout_seconds=timeout_seconds,
            max_retries=max_retries,
            progress=False,
        )
        self.name = name or model.rsplit("/", 1)[-1]
        self.max_new_tokens, self.max_prompt_tokens = max_new_tokens, max_prompt_tokens
        self.temperature, self.seed, self.logprobs = temperature, seed, logprobs
        settings = ["server", model, max_new_tokens, temperature, seed, max_prompt_tokens]
        self.fingerprint = hashlib.sha256("\x1f".join(map(str, settings)).encode()).hexdigest()[:16]

    @property
    def spent_usd(self) -> float | None:
        """Dollars paid for everything in the client's store, None without prices."""
        if not self.client.prices:
            return None
        return self.client.prices.usd(*self.client.opened().tokens(self.client.model))

    def batches(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Slices of sixteen rounds of requests: busy servers, and often stored."""
        return slices(len(prompts), 16 * self.client.max_concurrency)

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Ask the server, in the order of the prompts; errors as in `ServerClient.complete`."""
        shown = [self._fit(prompt) for prompt in prompts]
        requests = [self._request(prompt.text) for prompt, _ in shown]
        answers = self.client.complete(requests, on_failure="return")
        self._check(answers)
        return [
            self._reply(prompt, answer, n_cut)
            for (prompt, n_cut), answer in zip(shown, answers, strict=True)
        ]

    def _check(self, answers: Sequence[ChatReply]) -> None:
        """Nothing answered is a matter of address or server.

        Something failed is a matter of asking again. What came is stored.
        """
        failed = [answer.error for answer in answers if answer.error]
        if failed and len(failed) == len(answers):
            raise UserError(
                f"no answer from {self.client.base_url} ({failed[0]}); "
                "is the server up, and is that its address?"
            )
        if failed:
            raise ServerError(
                f"{len(failed)} of {len(answers)} prompts to {self.client.model} failed "
                f"({failed[0]}); run again to ask for these only"
            )

    def _request(self, text: str) -> ChatRequest:
        message = [{"role": "user", "content": text}]
        return ChatRequest(
            message, self.temperature, self.max_new_tokens, self.seed, logprobs=self.logprobs
        )

    def _fit(self, prompt: Prompt) -> tuple[Prompt, int]:
        if self.max_prompt_tokens is None:
            return prompt, 0
        try:
            return shorten(prompt, _estimated_tokens, self.max_prompt_tokens)
        except ValueError as error:
            raise UserError(f"{self.name}: {error}") from error

    def _reply(self, prompt: Prompt, answer: ChatReply, n_cut: int) -> Reply:
        steps = [
            (step["token"], {**step["top"], step["token"]: step["logprob"]})
            for step in answer.logprobs or []
        ]
        probs = label_probabilities(prompt.task, steps) if steps else None
        return Reply(
            answer.text.strip(),
            answer.finish_reason,
            answer.n_prompt_tokens,
            answer.n_reply_tokens,
            probs,
            note_of_cut(n_cut),
        )


def _estimated_tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
