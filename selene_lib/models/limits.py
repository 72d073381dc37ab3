"""What a server allows and what a run may spend.

One pause for all requests, learned from headers, and a budget that stops hard.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from numbers import Real

from selene_lib.errors import UserError

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*|\.[0-9]+")
_TEMPLATE_TOKENS = 64  # what a chat template puts around a message, generously
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def is_amount(value: object) -> bool:
    """Whether a value is a finite number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return 0 <= float(value) < float("inf")


class BudgetReached(UserError):
    """The budget is spent.

    What was answered is stored; the same call with a higher budget goes on from there.
    """


@dataclass(frozen=True)
class Prices:
    """US dollars for a million tokens, as the server's owner charges them.

    There is no price list in this project.
    """

    prompt_usd_per_million: float = 0.0
    reply_usd_per_million: float = 0.0

    def __post_init__(self) -> None:
        for value in (self.prompt_usd_per_million, self.reply_usd_per_million):
            if not is_amount(value):
                raise UserError(f"a price is {value!r}; it must be a number of USD from 0 on")

    def usd(self, n_prompt_tokens: float, n_reply_tokens: float) -> float:
        """What so many tokens cost."""
        return (
            n_prompt_tokens * self.prompt_usd_per_million
            + n_reply_tokens * self.reply_usd_per_million
        ) / 1e6


@dataclass(frozen=True)
class Budget:
    """The most a store may cost, in tokens (prompt and reply together) or dollars.

    None is no limit.
    """

    tokens: int | None = None
    usd: float | None = None
    prices: Prices | None = None

    def __post_init__(self) -> None:
        for name, value in (("budget_tokens", self.tokens), ("budget_usd", self.usd)):
            if value is not None and not is_amount(value):
                raise UserError(f"{name} is {value!r}; it must be a number from 0 on")
        if self.usd is not None and self.prices is None:
            raise UserError(
                "a budget in USD needs the prices of the model: "
                "USD per million prompt and reply tokens"
            )

    def check(self, n_prompt_tokens: int, n_reply_tokens: int) -> None:
        """Raise `BudgetReached` once the tokens spent so far reach the budget."""
        spent = n_prompt_tokens + n_reply_tokens
        if self.tokens is not None and spent >= self.tokens:
            raise BudgetReached(
                f"budget reached: {spent} of {self.tokens} tokens spent; "
                "raise the budget and run again to go on"
            )
        if self.usd is not None and self.prices is not None:
            usd = self.prices.usd(n_prompt_tokens, n_reply_tokens)
            if usd >= self.usd:
                raise BudgetReached(
                    f"budget reached: {usd:.4f} of {self.usd} USD spent; "
                    "raise the budget and run again to go on"
                )

    def is_reached(self, n_prompt_tokens: float, n_reply_tokens: float) -> bool:
        """Whether so many tokens would reach the budget."""
        if self.tokens is not None and n_prompt_tokens + n_reply_tokens >= self.tokens:
            return True
        if self.usd is None or self.prices is None:
            return False
        return self.prices.usd(n_prompt_tokens, n_reply_tokens) >= self.usd

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return self.tokens is not None or self.usd is not None


class Purse:
    """What one call may still spend: reserved before a request goes out, settled by its usage.

    A request goes out only while all that is spent and all that is reserved stay below the budget,
    so that together they pass it by at most that one request, however many are in flight. A
    reservation is the most a request can cost (a token is at least one byte); where a server counts
    more than that, later reservations grow by as much.
    """

    def __init__(self, budget: Budget, n_prompt_tokens: int, n_reply_tokens: int) -> None:
        self.budget = budget
        self.spent = [n_prompt_tokens, n_reply_tokens]
        self._reserved: dict[int, tuple[int, int]] = {}
        self._growth, self._n_tickets = 1.0, 0
        self._settled = asyncio.Event()

    async def reserve(self, n_prompt_bytes: int, max_reply_tokens: int) -> int:
        """Wait until the request may go out; return a ticket. Raises `BudgetReached`."""
        self.budget.check(*self.spent)
        while self._reserved and self.budget.is_limited:
            if not self.budget.is_reached(*self._committed()):
                break
            self._settled.clear()
            await self._settled.wait()
            self.budget.check(*self.spent)
        self._n_tickets += 1
        self._reserved[self._n_tickets] = (n_prompt_bytes + _TEMPLATE_TOKENS, max_reply_tokens)
        return self._n_tickets

    def _committed(self) -> tuple[float, float]:
        """Tokens spent, and the most that what is in flight can add to them."""
        n_prompt = sum(prompt for prompt, _ in self._reserved.values())
        n_reply = sum(reply for _, reply in self._reserved.values())
        return self.spent[0] + self._growth * n_prompt, self.spent[1] + self._growth * n_reply

    def settle(self, ticket: int, n_prompt_tokens: int, n_reply_tokens: int) -> None:
        """Put what a request cost in the place of its reservation."""
        n_prompt, n_reply = self._reserved.pop(ticket)
        told = max(n_prompt_tokens / n_prompt, n_reply_tokens / max(1, n_reply))
        self._growth = max(self._growth, told)
        self.spent[0] += n_prompt_tokens
        self.spent[1] += n_reply_tokens
        self._settled.set()

    def lose(self, n_prompt_tokens: int, n_reply_tokens: int) -> None:
        """Count what an answer cost that broke on its way; its request may go out once more."""
        self.spent[0] += n_prompt_tokens
        self.spent[1] += n_reply_tokens


class Pacer:
    """Holds every request back while the server asks for it.

    It asks with `Retry-After` of a 429 or 503, or a rate limit with nothing left.
    """

    def __init__(self, max_wait_seconds: float = 900.0) -> None:
        self.max_wait_seconds = max_wait_seconds
        self._open_at = 0.0

    async def wait(self) -> None:
        """Return when requests may go out. Raises UserError where the server asks for longer than
        `max_wait_seconds`.
        """
        while (left := self._open_at - time.monotonic()) > 0:
            if left > self.max_wait_seconds:
                raise UserError(
                    f"the server asks to wait {left:.0f} s (rate limit); "
                    "run again later, stored replies stay"
                )
            await asyncio.sleep(left)

    def see(self, status: int, headers: Mapping[str, str]) -> None:
        """Learn from one response."""
        pause = retry_after_seconds(headers) if status in (429, 503) else 0.0
        for what in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{what}", "").strip() == "0":
                pause = max(pause, duration_seconds(headers.get(f"x-ratelimit-reset-{what}", "")))
        self._open_at = max(self._open_at, time.monotonic() + pause)


def retry_after_seconds(headers: Mapping[str, str]) -> float:
    """Return the seconds of `retry-after-ms` or `Retry-After`; 0 where neither can be read.

    `Retry-After` is a number or an HTTP date.
    """
    milliseconds = headers.get("retry-after-ms", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if not text:
        return 0.0
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):  # no date, or one that no clock reaches
        return 0.0


def duration_seconds(text: str) -> float:
    """Return the seconds of a duration as rate-limit headers write it; 0 where it cannot be read.

    They write `6m0s`, `1.5s`, `120ms`, or plain seconds.
    """
    text = text.strip()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return 0.0
    return sum(float(number) * _SECONDS[unit or None] for number, unit in parts)
