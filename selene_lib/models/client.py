"""Ask an OpenAI-compatible server many things at once.

Nothing is paid twice, nothing lost, and no limit passed. vLLM, Ollama, llama.cpp, `transformers
serve` and hosted services speak this protocol. Transport is that of the `openai` client; the key is
read from the environment when a request goes out and is kept nowhere.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from selene_lib.errors import UserError
from selene_lib.models.asking import Job, Line
from selene_lib.models.bodies import guess_tokens
from selene_lib.models.chats import ChatReply, ChatRequest
from selene_lib.models.limits import Budget, Prices
from selene_lib.models.refusals import ServerError
from selene_lib.models.reply_store import ReplyStore, open_store, request_key

__all__ = ["ChatReply", "ChatRequest", "RequestPlan", "ServerClient", "ServerError"]

T = TypeVar("T")


# Called with the place of a request in the call, and its reply, as soon as it came.
OnReply = Callable[[int, ChatReply], None]


@dataclass(frozen=True)
class RequestPlan:
    """What a call would ask: how many requests, and the tokens and dollars of those not yet stored.

    Prompt tokens are counted with the counter given, else taken as characters / 4; reply tokens are
    the most that may come.
    """

    n_requests: int
    n_stored: int
    n_prompt_tokens: int
    n_reply_tokens_max: int
    usd_max: float | None

    def __str__(self) -> str:
        cost = "no prices given" if self.usd_max is None else f"at most {self.usd_max:.4f} USD"
        return (
            f"{self.n_requests} requests, {self.n_stored} stored already; "
            f"the rest: about {self.n_prompt_tokens} prompt tokens, "
            f"at most {self.n_reply_tokens_max} reply tokens, {cost}"
        )


@dataclass
class ServerClient:
    """A model behind an OpenAI-compatible address; see the module docstring and `complete`.

    `store` is the append-only file of replies (None: memory only). Budgets hold for everything in
    the store of this model, so that a second run does not start from zero. `max_retries` is for one
    request; a 4xx other than 408, 409 and 429 is not tried again. `extra_body` is sent with every
    request as it is, and is part of what a request is. `any_address` lets replies from another
    address under the same model name count.
    """

    base_url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    store: str | Path | ReplyStore | None = None
    max_concurrency: int = 16
    budget_tokens: int | None = None
    budget_usd: float | None = None
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_reply_tokens: float | None = None
    timeout_seconds: float = 300.0
    max_retries: int = 6
    progress: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    any_address: bool = False
    _memory: ReplyStore | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.base_url = checked_url(self.base_url)
        given = (self.usd_per_million_prompt_tokens, self.usd_per_million_reply_tokens)
        self.prices = None
        if given != (None, None):
            self.prices = Prices(given[0] or 0.0, given[1] or 0.0)
        self.budget = Budget(self.budget_tokens, self.budget_usd, self.prices)
        self.line = Line(
            self.base_url,
            self.model,
            self.api_key_env,
            self.max_concurrency,
            self.budget,
            self.timeout_seconds,
            self.max_retries,
            self.extra_body,
            self.progress,
        )

    def key(self, request: ChatRequest) -> str:
        """The store's key of a request: the hash of model, messages, sampling, seed and attempt."""
        sampling = request.sampling()
        if self.extra_body:
            sampling["extra_body"] = dict(self.extra_body)
        return request_key(self.model, request.messages, sampling, request.seed, request.attempt)

    def opened(self) -> ReplyStore:
        """The store, opened (and locked) on first use."""
        if self._memory is None:
            self._memory = (
                self.store if isinstance(self.store, ReplyStore) else open_store(self.store)
            )
        return self._memory

    def plan(
        self, requests: Sequence[ChatRequest], count_tokens: Callable[[str], int] | None = None
    ) -> RequestPlan:
        """Foresee a call without asking anything."""
        missing = [requests[places[0]] for places in self._missing(requests).values()]
        counter = count_tokens or guess_tokens
        n_prompt = sum(counter(m["content"]) for r in missing for m in r.messages)
        n_reply = sum(r.max_tokens for r in missing)
        usd = self.prices.usd(n_prompt, n_reply) if self.prices is not None else None
        return RequestPlan(len(requests), len(requests) - len(missing), n_prompt, n_reply, usd)

    def complete(
        self, requests: Sequence[ChatRequest], *, on_failure: Literal["raise", "return"] = "raise"
    ) -> list[ChatReply]:
        """Return one reply a request, in order.

        Only what the store does not hold is asked, and equal requests are asked once. A request
        that fails for good is a `ServerError` once all others are done (`raise`), or a reply with
        `error` (`return`). What concerns all requests (a refused key, an unknown model, spent
        credit, a server that is not there or never answers) is a UserError at once; a spent budget
        is `BudgetReached`, after the requests in flight were stored.
        """
        store = self.opened()
        missing = self._missing(requests)
        failures: dict[str, ChatReply] = {}

        def keep(key: str, row: dict[str, Any]) -> None:
            store.put([row])

        self._ask(requests, missing, store.tokens(self.model), keep, failures.__setitem__)
        if failures and on_failure == "raise":
            first = next(iter(failures.values())).error
            raise ServerError(
                f"{len(failures)} of {len(requests)} requests to {self.model} failed; "
                f"the first: {first}. "
                "The others are stored: run again to ask for these only"
            )
        keys = [self.key(r) for r in requests]
        return [failures[key] if key in failures else _reply(store.get(key)) for key in keys]

    def stream(
        self, requests: Sequence[ChatRequest], on_reply: OnReply, *, spent: tuple[int, int]
    ) -> None:
        """Hand over each reply the moment it comes, failures included; keep none in memory.

        For a caller with a store of its own, which `on_reply` writes to. `spent` is what that store
        has cost so far, in prompt and reply tokens. What the client's own store (where it has one)
        holds is handed over first and not asked, and counts in the budget. Errors are those of
        `complete`.
        """
        store = self.opened() if self.store is not None else None
        if store is not None:  # the caller may have been handed the same replies
            kept = store.tokens(self.model)
            spent = (max(spent[0], kept[0]), max(spent[1], kept[1]))
        missing = self._missing(requests)
        asked = {place for places in missing.values() for place in places}
        for place, request in enumerate(requests):
            if place not in asked:
                on_reply(place, _reply(self.opened().get(self.key(request))))

        def keep(key: str, row: dict[str, Any]) -> None:
            if store is not None:
                store.put([row])
            for place in missing[key]:
                on_reply(place, _reply(row))

        def fail(key: str, failure: ChatReply) -> None:
            for place in missing[key]:
                on_reply(place, failure)

        self._ask(requests, missing, spent, keep, fail)

    def _ask(
        self,
        requests: Sequence[ChatRequest],
        missing: Mapping[str, list[int]],
        spent: tuple[int, int],
        keep: Callable[[str, dict[str, Any]], None],
        fail: Callable[[str, ChatReply], None],
    ) -> None:
        if missing:
            todo = {key: requests[places[0]] for key, places in missing.items()}
            self.line.progress = self.progress
            job = Job(self.line, todo, keep, fail, n_all=len(requests), spent=spent)
            run_to_end(job.run())

    def _missing(self, requests: Sequence[ChatRequest]) -> dict[str, list[int]]:
        """The places of each request that the store does not hold, by key."""
        store = self.opened()
        missing: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            key = self.key(request)
            row = store.get(key)
            if row is None:
                missing.setdefault(key, []).append(place)
            elif not self.any_address and row.get("base_url", self.base_url) != self.base_url:
                raise UserError(
                    f"{store.path or 'the store'}: its replies of {self.model} came from "
                    f"{row['base_url']}, not from {self.base_url}; give this address a store of "
                    "its own, or any_address=True where both serve the same weights"
                )
        return missing


def checked_url(base_url: str) -> str:
    """Return an address without a slash at its end; one with a user and password is refused, and so
    is one that no request could go to.
    """
    odd = UserError(f"{base_url!r} is no address; give one such as http://localhost:8000/v1")
    try:
        parts = urlsplit(base_url)
        port, host = parts.port, (parts.hostname or "").encode("idna")
    except ValueError as error:  # a bracket or port that is none, a name that IDNA does not know
        raise odd from error
    if not base_url.isprintable() or " " in base_url or port == 0:
        raise odd
    if parts.username is not None or parts.password is not None:
        raise UserError(
            f"the address of {parts.hostname} holds a user name or password, which would "
            "be written into results; leave it out and put the key into the environment"
        )
    if parts.scheme not in ("http", "https") or not host:
        raise odd
    return base_url.rstrip("/")


def _reply(row: Mapping[str, Any] | None) -> ChatReply:
    if row is None:  # another request met a reason to stop
        return ChatReply("", "error", error="not asked")
    return ChatReply(
        row["text"],
        row["finish_reason"],
        row["n_prompt_tokens"],
        row["n_reply_tokens"],
        row.get("logprobs"),
        reasoning=row.get("reasoning", ""),
        note=row.get("note", ""),
    )


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    Inside a running loop (a notebook) it gets a thread and a loop of its own.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    results: list[T] = []
    errors: list[BaseException] = []
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def drive() -> None:
        try:
            results.append(loop.run_until_complete(task))
        except BaseException as error:  # handed to the caller's thread below
            errors.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=drive, name="server-client")
    thread.start()
    try:
        thread.join()
    except KeyboardInterrupt:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        raise
    if errors:
        raise errors[0]
    return results[0]
