"""The HTTP side of a judge: `POST /judge`, `POST /judge/batch`, `GET /health`, OpenAPI at `/docs`.

Status codes: 401 no or another key, 413 a body that is too long, 422 an item that cannot be judged
(the text says why), 429 too much is under way, 502 the judge's own server refuses (key, credit,
budget). 429 carries `Retry-After`.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from selene_lib import __version__
from selene_lib.errors import UserError
from selene_lib.judge import Judge
from selene_lib.judges.items import sample_of
from selene_lib.records import Sample
from selene_lib.serving.items import Batch, Health, Item, Verdict, Verdicts, verdict_of


@dataclass(frozen=True)
class ServeLimits:
    """What one server takes: items under way at once, items and bytes of a request."""

    max_waiting: int = 1024
    max_items: int = 256
    max_body_bytes: int = 4_000_000

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise UserError(f"{name} is {value}; it must be at least 1")


@dataclass
class Tally:
    """Items taken and answered, refusals of the judge's server among them."""

    n_taken: int = 0
    n_answered: int = 0

    def __str__(self) -> str:
        return f"{self.n_taken} items taken, {self.n_answered} answered"


def make_app(
    judge: Judge,
    *,
    key: str = "",
    limits: ServeLimits | None = None,
    say: Callable[[str], None] = print,
) -> FastAPI:
    """Return the application. With `key` every request but `/health` must carry it, as
    `Authorization: Bearer KEY`. `say` is told at the end what was taken and answered.

    Items that come while others are being judged are judged together, in one batch.
    """
    limits, tally = limits or ServeLimits(), Tally()
    name = ", ".join(member.name for member in judge.judges)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        say(f"stopped: {tally}")

    app = FastAPI(title="Selene judge", version=__version__, lifespan=lifespan)
    app.add_middleware(_BodyLimit, max_bytes=limits.max_body_bytes)
    allowed = [Depends(_KeyCheck(key))]

    async def results(items: Sequence[Item]) -> list[Verdict]:
        samples = [_sample(item, judge) for item in items]
        if tally.n_taken - tally.n_answered + len(samples) > limits.max_waiting:
            detail = f"{limits.max_waiting} items may be under way at once"
            raise HTTPException(429, detail, {"Retry-After": "1"})
        tally.n_taken += len(samples)
        try:
            found = await judge.ascore_samples(samples)
        except UserError as error:
            raise HTTPException(502, str(error)) from error
        finally:
            tally.n_answered += len(samples)
        return [verdict_of(result, name) for result in found]

    @app.post("/judge", dependencies=allowed)
    async def judge_one(item: Item) -> Verdict:
        """Judge one response, or compare two."""
        (verdict,) = await results([item])
        return verdict

    @app.post("/judge/batch", dependencies=allowed)
    async def judge_batch(batch: Batch) -> Verdicts:
        """Judge many items; the answer comes when all of them are judged."""
        if len(batch.items) > limits.max_items:
            detail = f"{len(batch.items)} items in one request, {limits.max_items} may be"
            raise HTTPException(413, detail)
        return Verdicts(results=await results(batch.items))

    @app.get("/health")
    async def health() -> Health:
        """Tell that the server is up, and what it has done."""
        done = tally.n_taken, tally.n_answered
        return Health(status="ok", judge=name, n_taken=done[0], n_answered=done[1])

    return app


def _sample(item: Item, judge: Judge) -> Sample:
    """Return an item as a sample; one that no prompt can be made of is a 422."""
    try:
        sample = sample_of(item.texts(), {}, item.task, judge.asked)
        judge.asked.opinion.questions([sample])
    except ValueError as error:  # UserError is one
        raise HTTPException(422, str(error)) from error
    return sample


class _KeyCheck:
    """Lets a request pass that carries the key."""

    def __init__(self, key: str) -> None:
        self._wanted = f"Bearer {key}".encode() if key else b""

    async def __call__(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        if self._wanted and not hmac.compare_digest(given, self._wanted):
            raise HTTPException(401, "give the key as 'Authorization: Bearer KEY'")


class _BodyLimit:
    """Answers 413 once a body is longer than it may be, whatever its header says."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app, self._max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        words = f"a body of more than {self._max_bytes} bytes"
        n_bytes, told = 0, dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > self._max_bytes:
            await JSONResponse({"detail": words}, 413)(scope, receive, send)
            return

        async def counted() -> Message:
            nonlocal n_bytes
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._max_bytes:
                raise HTTPException(413, words)
            return message

        await self._app(scope, counted, send)
