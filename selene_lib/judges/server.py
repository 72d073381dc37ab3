"""A judge behind any OpenAI-compatible server: vLLM, Ollama, llama.cpp, hosted services.

Store, retries, limits and budget are those of `selene_lib.models.client`, so a reply is paid for
once, whoever asks again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.judges.draws import check_temperature, seed_of
from selene_lib.judges.fitting import check_counts, note_of_cut, why_unfit
from selene_lib.judges.probabilities import label_probabilities
from selene_lib.judges.protocol import Reply
from selene_lib.models.client import ChatReply, ChatRequest, ServerClient
from selene_lib.prompts.additions import CANNOT_TELL
from selene_lib.prompts.rendering import RESULT_MARK, Prompt, format_reply, shorten
from selene_lib.records import labels_of

# a server's tokenizer is not at hand; only to keep within `max_prompt_tokens`
_CHARACTERS_PER_TOKEN = 4


class ServerJudge:
    """Verdicts of a served model, greedy unless a `temperature` is given.

    The key is read from the environment variable `api_key_env`. `store` is the client's append-only
    file (None: memory only). `logprobs` asks for so many alternatives a token, from which the
    verdict probabilities come; a server that gives none still judges. `max_prompt_tokens`
    (estimated from characters) cuts long responses in the middle, counted in
    `meta["n_cut_characters"]`; one that cannot be cut so far is a failed reply. Budgets stop the
    run with a UserError once what is in flight is stored. `extra_body` goes into every request.
    `guided` asks a server that can (vLLM) to end every reply in one of the labels; reasons stay
    free.
    Address and settings are part of the fingerprint: another address under the same name is another
    judge.
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
        extra_body: Mapping[str, Any] | None = None,
        guided: bool = False,
    ) -> None:
        check_temperature(temperature)
        check_counts(max_new_tokens=max_new_tokens, max_prompt_tokens=max_prompt_tokens)
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
            extra_body=extra_body or {},
        )
        self.name = name or model.rsplit("/", 1)[-1]
        self.max_new_tokens, self.max_prompt_tokens = max_new_tokens, max_prompt_tokens
        self.temperature, self.seed, self.logprobs = temperature, seed, logprobs
        settings = ["server", model, max_new_tokens, temperature, seed, max_prompt_tokens]
        # stores of older versions, whose fingerprint knew no address
        self.older_fingerprints = () if extra_body or guided else (digest(settings),)
        self.guided = guided
        extra = json.dumps(extra_body or {}, sort_keys=True) + (" guided" if guided else "")
        self.fingerprint = digest([*settings, self.client.base_url, extra])

    def usd(self, n_prompt_tokens: int, n_reply_tokens: int) -> float | None:
        """What so many tokens cost, None without prices."""
        if self.client.prices is None:
            return None
        return self.client.prices.usd(n_prompt_tokens, n_reply_tokens)

    @property
    def spent_usd(self) -> float | None:
        """Dollars paid for everything in the client's own store, None without prices."""
        return self.usd(*self.client.opened().tokens(self.client.model))

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Ask the server, in the order of the prompts; what failed is a reply with `error`.

        Errors that concern all prompts are those of `ServerClient.complete`; a prompt that cannot
        be cut to size is a UserError.
        """
        for reason in self.unfit(prompts).values():
            raise UserError(f"{self.name}: {reason}")
        shown = [self._fit(prompt) for prompt in prompts]
        requests = [self._request(prompt) for prompt, _ in shown]
        answers = self.client.complete(requests, on_failure="return")
        return [
            self._reply(prompt, answer, n_cut)
            for (prompt, n_cut), answer in zip(shown, answers, strict=True)
        ]

    def stream(
        self,
        prompts: Sequence[Prompt],
        on_reply: Callable[[int, Reply], None],
        *,
        spent: tuple[int, int],
    ) -> None:
        """Ask the server and hand over each reply when it comes; see `ServerClient.stream`."""
        shown = [self._fit(prompt) for prompt in prompts]

        def hand_over(place: int, answer: ChatReply) -> None:
            prompt, n_cut = shown[place]
            on_reply(place, self._reply(prompt, answer, n_cut))

        requests = [self._request(prompt) for prompt, _ in shown]
        self.client.stream(requests, hand_over, spent=spent)

    def unfit(self, prompts: Sequence[Prompt]) -> dict[int, str]:
        """Which prompts cannot be cut to `max_prompt_tokens`, by place, and why."""
        if self.max_prompt_tokens is None:
            return {}
        return why_unfit(prompts, self._fit)

    def _request(self, prompt: Prompt) -> ChatRequest:
        seed = self.seed
        if prompt.draw and seed is not None:  # of several replies each has a seed of its own
            seed = seed_of(prompt, seed)
        return ChatRequest(
            [{"role": "user", "content": prompt.text}],
            self.temperature,
            self.max_new_tokens,
            seed,
            attempt=prompt.draw,
            logprobs=self.logprobs,
            form=form_of_reply(prompt) if self.guided else None,
        )

    def _fit(self, prompt: Prompt) -> tuple[Prompt, int]:
        if self.max_prompt_tokens is None:
            return prompt, 0
        return shorten(prompt, _estimated_tokens, self.max_prompt_tokens)

    def _reply(self, prompt: Prompt, answer: ChatReply, n_cut: int) -> Reply:
        steps = [
            (step["token"], {**step["top"], step["token"]: step["logprob"]})
            for step in answer.logprobs or []
        ]
        probs = label_probabilities(prompt.kind, steps) if steps else None
        meta: dict[str, Any] = dict(note_of_cut(n_cut))
        if answer.reasoning:
            meta["reasoning"] = answer.reasoning
        if answer.note:
            meta["note"] = answer.note
        return Reply(
            answer.text.strip(),
            answer.finish_reason,
            answer.n_prompt_tokens,
            answer.n_reply_tokens,
            probs,
            meta,
            answer.error,
            answer.is_final,
        )


def form_of_reply(prompt: Prompt) -> dict[str, Any]:
    """The form that a reply to a prompt is held to: any reasons, then the result line."""
    labels = list(labels_of(prompt.kind))
    if "+abstain" in prompt.template:
        labels.append(CANNOT_TELL)
    if "+verdict" in prompt.template:
        return {"choice": [format_reply(None, label) for label in labels]}
    return {"regex": rf"(.|\n)*\n{re.escape(RESULT_MARK)} ({'|'.join(labels)})"}


def _estimated_tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def digest(settings: Sequence[Any]) -> str:
    """16 hex digits that stand for a judge's settings."""
    return hashlib.sha256("\x1f".join(map(str, settings)).encode()).hexdigest()[:16]
