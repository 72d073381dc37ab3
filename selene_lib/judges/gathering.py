"""Awaited calls, judged together: what coroutines ask at once becomes one batch.

A batch is judged in a thread, since a local model computes and a server's client has a loop of its
own; each caller goes on as soon as its own result is there. What is asked meanwhile is the next
batch. So a judge never answers two batches at a time, and its budget and its memory of answers hold
for all callers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

Item = TypeVar("Item")
Result = TypeVar("Result")
Give = Callable[[int, Result], None]


class Gathering(Generic[Item, Result]):
    """Gathers the items that coroutines wait for, and hands each its result.

    `ask(items, give)` calls `give(place, result)` once an item; it may raise what concerns all.
    """

    def __init__(self, ask: Callable[[Sequence[Item], Give[Result]], None]) -> None:
        self._ask = ask
        self._lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line[Item, Result]]
        self._lines = WeakKeyDictionary()

    async def one(self, item: Item) -> Result:
        """Return the result of an item."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = _Line(self._ask)
        return await line.wait_for(item, loop)


class _Line(Generic[Item, Result]):
    """What the coroutines of one event loop wait for."""

    def __init__(self, ask: Callable[[Sequence[Item], Give[Result]], None]) -> None:
        self._ask = ask
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def wait_for(self, item: Item, loop: asyncio.AbstractEventLoop) -> Result:
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work(loop))
        return await future

    async def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        await asyncio.sleep(0)  # what was called together is asked together
        while self._waiting:
            batch = [(item, future) for item, future in self._waiting if not future.done()]
            self._waiting = []
            if batch:
                await asyncio.to_thread(self._run, batch, loop)

    def _run(
        self,
        batch: Sequence[tuple[Item, asyncio.Future[Result]]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Judge a batch, in a thread; an error belongs to all who have no result yet."""

        def give(place: int, result: Result) -> None:
            loop.call_soon_threadsafe(_settle, batch[place][1], result)

        try:
            self._ask([item for item, _ in batch], give)
        except BaseException as error:  # handed to those who wait
            for _, future in batch:
                loop.call_soon_threadsafe(_fail, future, error)


def _settle(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():  # a caller may have been cancelled
        future.set_result(result)


def _fail(future: asyncio.Future[Result], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
