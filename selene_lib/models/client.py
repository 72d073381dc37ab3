"""Ask an OpenAI-compatible server many things at once.

Nothing is paid twice, nothing lost, and no limit passed. vLLM, Ollama, llama.cpp, `transformers
serve` and hosted services speak this protocol. Transport, retries and exponential back-off are
those of the `openai` client; the key is read from the environment when a request goes out and is
kept nowhere.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from selene_lib.errors import UserError
from selene_lib.models.limits import Budget, Pacer, Prices
from selene_lib.models.reply_store import ReplyStore, open_store, request_key

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionMessageParam

T = TypeVar("T")
_HOPELESS = 8  # failed requests before the first answer that make a call give up
_CHARACTERS_PER_TOKEN = 4  # only to foresee costs, and where a server reports no usage


class ServerError(RuntimeError):
    """Requests that got no answer after all retries; what was answered is stored."""


@dataclass(frozen=True)
class ChatRequest:
    """One chat to complete.

    `seed` and `attempt` are part of its identity; `logprobs` asks for so many alternatives a token
    (0: none).
    """

    messages: Sequence[Mapping[str, str]]
    temperature: float = 0.0
    max_tokens: int = 1024
    seed: int | None = None
    attempt: int = 0
    logprobs: int = 0

    def sampling(self) -> dict[str, Any]:
        """The settings that, with messages, seed and attempt, make this request what it is."""
        return {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "logprobs": self.logprobs,
        }


@dataclass(frozen=True)
class ChatReply:
    """What came back.

    `logprobs` is a list of `{"token", "logprob", "top": {token: logprob}}`, None where not asked
    for or not given. `error` is empty for an answer; else `text` is empty, `finish_reason` is
    `error`, and nothing was stored.
    """

    text: str
    finish_reason: str = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    logprobs: list[dict[str, Any]] | None = None
    error: str = ""


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
            f"{self.n_requests} requests, {self.n_stored} stored already; the rest: "
            f"about {self.n_prompt_tokens} prompt tokens, "
            f"at most {self.n_reply_tokens_max} reply tokens, {cost}"
        )


@dataclass
class ServerClient:
    """A model behind an OpenAI-compatible address; see the module docstring and `complete`.

    `store` is the append-only file of replies (None: memory only). Budgets hold for everything in
    the store of this model, so that a second run does not start from zero. `max_retries` is for one
    request; a 4xx other than 408, 409 and 429 is not tried again.
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
    _memory: ReplyStore | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        given = (self.usd_per_million_prompt_tokens, self.usd_per_million_reply_tokens)
        self.prices: Prices | None = None
        if given != (None, None):
            self.prices = Prices(given[0] or 0.0, given[1] or 0.0)
        self.budget = Budget(self.budget_tokens, self.budget_usd, self.prices)
        if self.max_concurrency < 1:
            raise UserError("max_concurrency must be at least 1")

    def key(self, request: ChatRequest) -> str:
        """The store's key of a request: the hash of model, messages, sampling, seed and attempt."""
        return request_key(
            self.model, request.messages, request.sampling(), request.seed, request.attempt
        )

    def opened(self) -> ReplyStore:
        """The store, opened (and locked) on first use."""
        if self._memory is None:
            if isinstance(self.store, ReplyStore):
                self._memory = self.store
            else:
                self._memory = open_store(self.store)
        return self._memory

    def plan(
        self, requests: Sequence[ChatRequest], count_tokens: Callable[[str], int] | None = None
    ) -> RequestPlan:
        """Foresee a call without asking anything."""
        missing = self._missing(requests, self.opened())
        counter = count_tokens or _guess_tokens
        n_prompt = sum(counter(m["content"]) for r in missing.values() for m in r.messages)
        n_reply = sum(r.max_tokens for r in missing.values())
        usd = self.prices.usd(n_prompt, n_reply) if self.prices is not None else None
        return RequestPlan(len(requests), len(requests) - len(missing), n_prompt, n_reply, usd)

    def complete(
        self, requests: Sequence[ChatRequest], *, on_failure: Literal["raise", "return"] = "raise"
    ) -> list[ChatReply]:
        """Return one reply a request, in order.

        Only what the store does not hold is asked, and equal requests are asked once. A request
        that fails for good is a `ServerError` once all others are done (`raise`), or a reply with
        `error` (`return`). A refused key, an unknown model, or a server that never answers is a
        UserError at once; a spent budget is `BudgetReached`, after the requests in flight were
        stored.
        """
        store = self.opened()
        missing = self._missing(requests, store)
        failures: dict[str, str] = {}
        if missing:
            job = _Job(self, store, missing, failures, len(requests))
            _run(job.run())
        if failures and on_failure == "raise":
            raise ServerError(
                f"{len(failures)} of {len(requests)} requests to {self.model} failed; the first: "
                f"{next(iter(failures.values()))}. "
                "The others are stored: run again to ask for these only"
            )
        keys = [self.key(request) for request in requests]
        return [_reply(store.get(key), failures.get(key, "")) for key in keys]

    def _missing(
        self, requests: Sequence[ChatRequest], store: ReplyStore
    ) -> dict[str, ChatRequest]:
        missing = {}
        for request in requests:
            key = self.key(request)
            if store.get(key) is None:
                missing[key] = request
        return missing


def _reply(row: Mapping[str, Any] | None, error: str) -> ChatReply:
    if row is None:
        return ChatReply("", "error", error=error)
    return ChatReply(
        row["text"],
        row["finish_reason"],
        row["n_prompt_tokens"],
        row["n_reply_tokens"],
        row.get("logprobs"),
    )


class _Job:
    """One call of `complete`: workers that share the requests, the pace and the purse."""

    def __init__(
        self,
        client: ServerClient,
        store: ReplyStore,
        missing: dict[str, ChatRequest],
        failures: dict[str, str],
        n_all: int,
    ) -> None:
        self.client, self.store, self.failures = client, store, failures
        self.queue: Iterator[tuple[str, ChatRequest]] = iter(missing.items())
        self.n_missing, self.n_all = len(missing), n_all
        self.pacer = Pacer()
        self.tokens = list(store.tokens(client.model))
        self.n_answered, self.n_tokens_now = 0, 0
        self.begin = time.monotonic()

    async def run(self) -> None:
        from tqdm.auto import tqdm

        bar = tqdm(
            total=self.n_all,
            initial=self.n_all - self.n_missing,
            desc=self.client.model,
            disable=not self.client.progress,
        )
        async with self._connect() as server:
            workers = [
                asyncio.create_task(self._work(server, bar))
                for _ in range(min(self.client.max_concurrency, self.n_missing))
            ]
            # Not a task group: that would cancel requests in flight, whose replies are paid for and
            # must be stored.
            results = await asyncio.gather(*workers, return_exceptions=True)
        bar.close()
        for error in results:
            if isinstance(error, BaseException):
                raise error

    def _connect(self) -> AsyncOpenAI:
        import openai

        async def before(_: Any) -> None:
            await self.pacer.wait()

        async def after(response: Any) -> None:
            self.pacer.see(response.status_code, response.headers)

        http = openai.DefaultAsyncHttpxClient(
            timeout=self.client.timeout_seconds,
            event_hooks={"request": [before], "response": [after]},
        )
        return openai.AsyncOpenAI(
            base_url=self.client.base_url,
            api_key=self._key() or "none",
            max_retries=self.client.max_retries,
            timeout=self.client.timeout_seconds,
            http_client=http,
        )

    def _key(self) -> str:
        return os.environ.get(self.client.api_key_env, "")

    async def _work(self, server: AsyncOpenAI, bar: Any) -> None:
        """Take requests until there are none left, the budget is spent or another worker met a
        reason to stop.
        """
        for key, request in self.queue:
            try:
                self.client.budget.check(*self.tokens)
                row = await self._ask(server, request)
            except UserError:
                self.queue = iter(())
                raise
            except ServerError as error:
                self._fail(key, str(error))
                continue
            self._keep(key, request, row)
            self._show(bar)

    def _keep(self, key: str, request: ChatRequest, row: dict[str, Any]) -> None:
        about = {
            "model": self.client.model,
            "seed": request.seed,
            "attempt": request.attempt,
            "sampling": request.sampling(),
        }
        self.store.put([{"key": key, **about, **row}])
        self.tokens[0] += row["n_prompt_tokens"]
        self.tokens[1] += row["n_reply_tokens"]
        self.n_answered += 1
        self.n_tokens_now += row["n_reply_tokens"]

    def _fail(self, key: str, reason: str) -> None:
        self.failures[key] = reason
        if self.n_answered == 0 and len(self.failures) >= _HOPELESS:
            self.queue = iter(())
            raise UserError(
                f"no answer from {self.client.base_url} ({reason}); "
                "is the server up, and is that its address?"
            )

    def _show(self, bar: Any) -> None:
        bar.update(1)
        shown = {"tokens/s": f"{self.n_tokens_now / max(time.monotonic() - self.begin, 1e-9):.0f}"}
        if self.client.prices is not None:
            shown["USD"] = f"{self.client.prices.usd(*self.tokens):.4f}"
        bar.set_postfix(shown, refresh=False)

    async def _ask(self, server: AsyncOpenAI, request: ChatRequest) -> dict[str, Any]:
        """One answer as a row of the store. Replies that cannot be read are asked for again, as
        often as failed ones.
        """
        reason = ""
        for trial in range(self.client.max_retries + 1):
            if trial:
                await asyncio.sleep(min(8.0, 0.1 * 2**trial))
            raw = await self._send(server, request)
            try:
                return _read(raw, request)
            except ValueError as error:
                reason = f"malformed reply: {error}"
        raise ServerError(self._clean(reason))

    async def _send(self, server: AsyncOpenAI, request: ChatRequest) -> str:
        import openai

        try:
            response = await server.chat.completions.with_raw_response.create(
                model=self.client.model,
                # A message is {"role", "content"}; the client's type is a union of seven such.
                messages=cast("list[ChatCompletionMessageParam]", [*map(dict, request.messages)]),
                temperature=request.temperature,
                max_tokens=request.max_tokens,
                seed=openai.omit if request.seed is None else request.seed,
                logprobs=True if request.logprobs else openai.omit,
                top_logprobs=request.logprobs or openai.omit,
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise UserError(
                f"{self.client.base_url} refuses the key (HTTP {error.status_code}); "
                f"set {self.client.api_key_env}"
            ) from None
        except openai.NotFoundError:
            raise UserError(
                f"{self.client.base_url} knows no model {self.client.model!r} (HTTP 404); "
                "check name and address"
            ) from None
        except openai.APIStatusError as error:
            raise ServerError(self._clean(f"HTTP {error.status_code}: {error.message}")) from None
        except openai.APIConnectionError as error:
            raise ServerError(
                self._clean(f"{type(error).__name__}: {error.__cause__ or error}")
            ) from None
        return response.text

    def _clean(self, text: str) -> str:
        """An error text short and without the key, which some servers repeat."""
        key = self._key()
        return (text.replace(key, "[key]") if key else text)[:300]


def _read(body: str, request: ChatRequest) -> dict[str, Any]:
    """The store's row of a response body; a ValueError says what is wrong with it."""
    data = json.loads(body)
    try:
        choice = data["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason")
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"no message in it ({error!r})") from error
    if not isinstance(text, str) and finish != "content_filter":
        raise ValueError("its message has no text")
    usage = data.get("usage") or {}
    n_prompt, n_reply = usage.get("prompt_tokens"), usage.get("completion_tokens")
    row = {
        "text": text or "",
        "finish_reason": finish or "stop",
        "n_prompt_tokens": n_prompt,
        "n_reply_tokens": n_reply,
    }
    if not isinstance(n_prompt, int) or not isinstance(n_reply, int):
        row["usage"] = "estimated"
        row["n_prompt_tokens"] = sum(_guess_tokens(m["content"]) for m in request.messages)
        row["n_reply_tokens"] = _guess_tokens(text or "")
    if request.logprobs:
        row["logprobs"] = _logprobs(choice)
    return row


def _logprobs(choice: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    content = (choice.get("logprobs") or {}).get("content")
    if not content:
        return None
    found = []
    for item in content:
        top = {other["token"]: other["logprob"] for other in item.get("top_logprobs") or []}
        found.append({"token": item["token"], "logprob": item["logprob"], "top": top})
    return found


def _guess_tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def _run(work: Coroutine[Any, Any, T]) -> T:
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
