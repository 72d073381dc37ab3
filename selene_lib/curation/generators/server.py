"""Critiques from any OpenAI-compatible server, through `ServerClient`.

Concurrency, limits, budget and store are its business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selene_lib.curation.generators.protocol import Generation, GeneratorSpec, Request
from selene_lib.errors import UserError
from selene_lib.models.client import ChatRequest, RequestPlan, ServerClient

if TYPE_CHECKING:
    from selene_lib.models.reply_store import ReplyStore


class ServerGenerator:
    """Asks `spec.model` at `spec.base_url`.

    A failed request is a `Generation` with `error`, counted and asked again by the next run.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        if not spec.base_url:
            raise UserError("generator 'server' needs base_url, e.g. http://localhost:8000/v1")
        self.name = spec.model
        self.settings: Mapping[str, Any] = {"max_reply_tokens": spec.max_reply_tokens}
        self._spec = spec

    def client(self, store: ReplyStore | None = None) -> ServerClient:
        """The client of this generator, on the given store."""
        spec = self._spec
        return ServerClient(
            spec.base_url,
            spec.model,
            spec.api_key_env,
            store,
            max_concurrency=spec.max_concurrency,
            budget_tokens=spec.budget_tokens,
            budget_usd=spec.budget_usd,
            usd_per_million_prompt_tokens=spec.usd_per_million_prompt_tokens,
            usd_per_million_reply_tokens=spec.usd_per_million_reply_tokens,
            # a generator's server may move (a job's other port or node): critiques are those of the
            # model that is named, and what was paid for is not paid again
            **{"any_address": True, **spec.extra},
        )

    def generate(
        self, requests: Sequence[Request], *, store: ReplyStore | None = None
    ) -> list[Generation]:
        """Ask what the store does not hold; see `ServerClient.complete` for what may be raised."""
        replies = self.client(store).complete(
            [self._chat(r) for r in requests], on_failure="return"
        )
        return [
            Generation(r.text, r.finish_reason, r.n_prompt_tokens, r.n_reply_tokens, r.error)
            for r in replies
        ]

    def plan(self, requests: Sequence[Request], *, store: ReplyStore | None = None) -> RequestPlan:
        """The dry run: requests, tokens and cost, without asking."""
        return self.client(store).plan([self._chat(r) for r in requests])

    def key(self, request: Request) -> str:
        """The store's key of a request."""
        return self.client().key(self._chat(request))

    def _chat(self, request: Request) -> ChatRequest:
        return ChatRequest(
            [{"role": "user", "content": request.prompt}],
            temperature=request.temperature,
            max_tokens=self._spec.max_reply_tokens,
            seed=request.draw_seed,
            attempt=request.attempt,
        )
