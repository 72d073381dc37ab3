"""One call to a server: workers that share the requests, the pace, the purse and what was learned.

The first request goes out alone: a wrong key, name or address, or a setting that the server does
not take, costs one request and not one a connection.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from selene_lib.errors import UserError, tell
from selene_lib.models.bodies import Unreadable, as_error, guess_tokens, read_body, words_of
from selene_lib.models.chats import ChatReply, ChatRequest
from selene_lib.models.limits import Budget, Pacer, Purse
from selene_lib.models.refusals import (
    Dialect,
    Server,
    ServerError,
    TryAgain,
    is_about_prompt,
    refusal_of,
)

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_HOPELESS = 8  # failed requests before the first answer that make a call give up
_MAX_UNREADABLE = 2  # answers of one request that are no reply, before it counts as failed
_MAX_LESSONS = 8  # refused settings of one request
_AS_IT_IS = {"X-Stainless-Raw-Response": "true"}  # the client hands over the response unread


# what the requests hold already, or what would change how many replies come and how they are read
_SAMPLING = {"temperature", "seed", "n", "best_of", "logprobs", "top_logprobs"}
_LENGTH = {"max_tokens", "max_completion_tokens"}
_OURS = {"messages", "model", "stream", "stream_options", *_SAMPLING, *_LENGTH}
_OF_CLIENT = ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID")  # which the client sends as headers
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_OF_TRANSPORT = (*_PROXIES, *map(str.lower, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR")


def check_environment() -> None:
    """Raise UserError where a variable that the client sends as a header can be none."""
    for name in _OF_CLIENT:
        value = os.environ.get(name, "")
        if not (value.isprintable() and value.isascii()):
            raise UserError(
                f"{name} holds a line break or a character that no header has; set it again, or "
                "unset it"
            )


def _not_set_up() -> tuple[type[Exception], ...]:
    """What setting up a connection raises, on whichever transport the client was built."""
    transports = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    return (ImportError, ValueError, OSError, *(one.InvalidURL for one in transports))


class NoReply(ServerError):
    """The server answers, but what comes is no reply."""


@dataclass
class Line(Server):
    """How a server is asked, and what was learned about it by asking."""

    max_concurrency: int
    budget: Budget
    timeout_seconds: float
    max_retries: int
    extra_body: Mapping[str, Any]
    progress: bool = True
    dialect: Dialect = field(default_factory=Dialect)
    has_answered: bool = False

    def __post_init__(self) -> None:
        if self.max_concurrency < 1:
            raise UserError("max_concurrency must be at least 1")
        if not self.timeout_seconds > 0:
            raise UserError("timeout_seconds must be above 0")

        own = sorted(_OURS & self.extra_body.keys())
        if own:
            raise UserError(
                f"extra_body holds {', '.join(own)}, which this project sets itself; "
                "leave it out (tokens, temperature, seed and samples have options of their own)"
            )
        try:
            json.dumps(self.extra_body, allow_nan=False).encode()
            json.dumps(self.extra_body, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise UserError(f"extra_body cannot be sent as JSON ({error})") from error

    def api_key(self) -> str:
        """The key as the environment holds it now, without the white space around it."""
        key = os.environ.get(self.api_key_env, "").strip()
        if not key.isprintable() or not key.isascii() or " " in key:
            raise UserError(
                f"the key in {self.api_key_env} holds a space, a line break or a character that no "
                "key has; set it again"
            )
        return key


class Job:
    """Asks `todo` (requests by key); `keep` gets each row when it comes, `fail` each failure."""

    def __init__(
        self,
        line: Line,
        todo: Mapping[str, ChatRequest],
        keep: Callable[[str, dict[str, Any]], None],
        fail: Callable[[str, ChatReply], None],
        *,
        n_all: int,
        spent: tuple[int, int],
    ) -> None:
        self.line, self.keep, self.fail = line, keep, fail
        self.queue: Iterator[tuple[str, ChatRequest]] = iter(todo.items())
        self.n_missing, self.n_all = len(todo), n_all
        self.key = line.api_key()
        self.pacer, self.purse = Pacer(), Purse(line.budget, *spent)
        self.has_paid = any(spent)
        self.is_stopped = False
        self.is_open = asyncio.Event()
        self.held_back: list[tuple[str, ChatReply]] = []
        self.n_failed, self.n_tokens = 0, 0
        self.begin = time.monotonic()

    async def run(self) -> None:
        """Ask everything; raises what concerns all requests once nothing is in flight."""
        from tqdm.auto import tqdm

        bar = tqdm(
            total=self.n_all,
            initial=self.n_all - self.n_missing,
            desc=self.line.model,
            disable=not self.line.progress,
        )
        if self.line.has_answered:
            self.is_open.set()
        async with self._connect() as server:
            n_workers = min(self.line.max_concurrency, self.n_missing)
            workers = [asyncio.create_task(self._work(server, bar, i)) for i in range(n_workers)]
            # Not a task group: that would cancel requests in flight, whose replies are paid for and
            # must be stored.
            results = await asyncio.gather(*workers, return_exceptions=True)
        bar.close()
        for error in results:
            if isinstance(error, BaseException):
                raise error
        self._release()

    def _connect(self) -> AsyncOpenAI:
        import openai

        check_environment()
        try:
            http = openai.DefaultAsyncHttpxClient(
                timeout=self.line.timeout_seconds, follow_redirects=False
            )
        except _not_set_up() as error:
            given = ", ".join(name for name in _OF_TRANSPORT if os.environ.get(name)) or "none"
            raise UserError(
                f"no connection can be set up ({type(error).__name__}): see the proxies and "
                f"certificates in the environment ({given}); a socks proxy needs "
                "`pip install socksio`"
            ) from None  # the error may repeat the password of a proxy
        return openai.AsyncOpenAI(
            base_url=self.line.base_url,
            api_key=self.key or "none",
            max_retries=0,  # `_answer` tries again, and knows when not to
            timeout=self.line.timeout_seconds,
            http_client=http,
        )

    async def _work(self, server: AsyncOpenAI, bar: Any, number: int) -> None:
        """Take requests until there are none left or a worker met a reason to stop."""
        if number:
            await self.is_open.wait()
        try:
            for key, request in self.queue:
                await self._one(server, key, request)
                self._show(bar)
        except BaseException:
            self.is_stopped, self.queue = True, iter(())
            raise
        finally:
            self.is_open.set()

    async def _one(self, server: AsyncOpenAI, key: str, request: ChatRequest) -> None:
        n_bytes = sum(len(m["content"].encode("utf-8", "replace")) for m in request.messages)
        ticket = await self.purse.reserve(n_bytes, request.max_tokens)
        if self.is_stopped:
            self.purse.settle(ticket, 0, 0)
            return
        cost = (0, 0)
        try:
            row = await self._answer(server, request)
            cost = (row["n_prompt_tokens"], row["n_reply_tokens"])
            self._keep(key, request, row)
        except ServerError as error:
            self._fail(key, error)
        finally:
            self.purse.settle(ticket, *cost)
            self.is_open.set()

    def _keep(self, key: str, request: ChatRequest, row: dict[str, Any]) -> None:
        about: dict[str, Any] = {
            "key": key,
            "model": self.line.model,
            "base_url": self.line.base_url,
            "seed": request.seed,
            "attempt": request.attempt,
            "sampling": request.sampling(),
        }
        if self.line.dialect.notes:
            about["settings_changed"] = list(self.line.dialect.notes)
        self.n_tokens += row["n_reply_tokens"]
        self.line.has_answered = True
        self.keep(key, about | row)
        self._release()

    def _fail(self, key: str, error: ServerError) -> None:
        """Report a failure; before the first answer only where it is clear whose fault it is.

        A server that refuses everything is a matter of address or settings, not of the prompts.
        """
        failure = ChatReply("", "error", error=str(error), is_final=error.is_final)
        # a later run asks only for what failed before: that says nothing against the server
        is_of_row = self.has_paid and isinstance(error, NoReply)
        is_of_row = is_of_row or (error.is_final and is_about_prompt(str(error)))
        if self.line.has_answered or is_of_row:
            self.fail(key, failure)
            return
        self.held_back.append((key, failure))
        if len(self.held_back) >= _HOPELESS:
            raise UserError(
                f"no answer from {self.line.base_url} to {len(self.held_back)} requests "
                f"({failure.error}); is the server up, and is that its address?"
            )

    def _release(self) -> None:
        """Report the failures that were held back."""
        for key, failure in self.held_back:
            self.fail(key, failure)
        self.held_back.clear()

    def _show(self, bar: Any) -> None:
        if bar.disable:
            return
        bar.update(1)
        seconds = max(time.monotonic() - self.begin, 1e-9)
        shown = {"tokens/s": f"{self.n_tokens / seconds:.0f}"}
        if self.line.budget.prices is not None:
            shown["USD"] = f"{self.line.budget.prices.usd(*self.purse.spent):.4f}"
        bar.set_postfix(shown, refresh=False)

    async def _answer(self, server: AsyncOpenAI, request: ChatRequest) -> dict[str, Any]:
        """One answer as a row of the store.

        What time may mend is tried again, `max_retries` times; an answer that is no reply once.
        """
        reason, n_unreadable = "", 0
        for trial in range(self.line.max_retries + 1):
            if trial:
                self.is_open.set()
                await asyncio.sleep(min(8.0, 0.25 * 2**trial))
                if self.is_stopped:
                    break
            try:
                body = await self._send(server, request)
                return read_body(body, request.messages, logprobs=request.logprobs > 0)
            except TryAgain as error:
                reason = str(error)
            except Unreadable as error:
                if error.is_paid:
                    n_prompt = sum(guess_tokens(m["content"]) for m in request.messages)
                    self.purse.lose(n_prompt, request.max_tokens)
                reason = self._unreadable(error)
                n_unreadable += 1
                if n_unreadable == _MAX_UNREADABLE:
                    raise NoReply(reason) from error
        raise ServerError(reason)

    def _unreadable(self, error: Unreadable) -> str:
        """What an error inside an answer amounts to, where it names a status of its own."""
        words = self._clean(str(error))
        code = error.error.get("code") if error.error else None
        if error.error and isinstance(code, int) and 400 <= code < 600:
            found = refusal_of(code, error.error, words, self.line)
            if not isinstance(found, TryAgain):
                raise found
        return words

    async def _send(self, server: AsyncOpenAI, request: ChatRequest) -> str:
        """Send a request, in the server's dialect, until it is not refused for a setting."""
        import openai

        line = self.line
        for _ in range(_MAX_LESSONS):
            await self.pacer.wait()
            sent = line.dialect.settings(request)
            messages = [dict(message) for message in request.messages]
            body = {"messages": messages, "model": line.model, **sent, **line.extra_body}
            try:
                # the client's own way for any path: its typed `create` goes through each message
                # and setting again, which took a fifth of a request's time
                response: Any = await server.post(
                    "/chat/completions", cast_to=object, body=body, options={"headers": _AS_IT_IS}
                )
            except openai.APIStatusError as error:
                self.pacer.see(error.status_code, error.response.headers)
                self._refused(error, sent, request)
                continue
            except openai.APITimeoutError as error:
                raise TryAgain(f"no answer within {line.timeout_seconds:g} s") from error
            except openai.APIConnectionError as error:
                raise self._unconnected(error) from None
            except openai.OpenAIError as error:
                raise TryAgain(self._clean(f"{type(error).__name__}: {error}")) from None
            self.pacer.see(response.status_code, response.headers)
            return str(response.text)
        raise ServerError("the server refuses one setting after the other", is_final=True)

    def _refused(self, error: Any, sent: Mapping[str, Any], request: ChatRequest) -> None:
        """Learn from a refused setting and return, or raise what the refusal amounts to."""
        if 300 <= error.status_code < 400:
            where = urlsplit(error.response.headers.get("location", "")).hostname or "elsewhere"
            raise UserError(
                f"{self.line.base_url} sends requests on to {where} (HTTP {error.status_code}); "
                "give the address that answers"
            ) from None
        dialect = self.line.dialect
        body = as_error(error.body) if error.body else {}
        body = as_error(body.get("error", body))
        words = self._clean(words_of(body or error.response.text[:2000]))
        if error.status_code in (400, 422):
            if (
                dialect.settings(request) != sent
            ):  # another request has learned it since this one went out
                return
            if dialect.learn(words, str(body.get("param") or ""), sent):
                tell(f"{self.line.base_url} refuses a setting: {dialect.notes[-1]} ({words})")
                return
        raise refusal_of(error.status_code, body, words, self.line) from None

    def _unconnected(self, error: Exception) -> Exception:
        """A connection that never came about concerns all requests, a broken one only its own."""
        cause = error.__cause__ or error
        words = self._clean(f"{type(cause).__name__}: {cause}")
        if "ConnectError" in type(cause).__name__:
            return UserError(
                f"no answer from {self.line.base_url}: no connection ({words}); is the server up, "
                "and is that its address? What was answered is stored"
            )
        if type(cause).__name__ == "DecodingError" or "complete message body" in words:
            return Unreadable(f"malformed reply: damaged on its way ({words})", is_paid=True)
        return TryAgain(words)

    def _clean(self, text: str) -> str:
        """An error text short and without the key, which some servers repeat."""
        if self.key:
            escaped = self.key.encode("unicode_escape").decode()
            for form in (self.key, quote(self.key, safe=""), escaped):
                text = text.replace(form, "[key]")
        return text[:300]
