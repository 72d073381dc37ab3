"""What every generator of critiques is: requests in, generations out, in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from selene_lib.records import Sample, unit_hash

if TYPE_CHECKING:
    from selene_lib.models.reply_store import ReplyStore


@dataclass(frozen=True)
class Request:
    """One critique to be written: of `sample` as shown, for the verdict `asked`.

    `asked=None` leaves the verdict to the generator, for rejection sampling. `prompt` is the whole
    user message. `seed` and `attempt` make two requests of one prompt different ones.
    """

    sample: Sample
    asked: str | None
    prompt: str
    seed: int
    attempt: int = 0
    temperature: float = 0.7

    @property
    def draw_seed(self) -> int:
        """The seed a generator draws with.

        Another one for every sample, verdict and attempt, else a retry would repeat the failure.
        """
        return int(unit_hash(self.seed, "draw", self.sample.id, self.asked, self.attempt) * 2**31)


@dataclass(frozen=True)
class Generation:
    """What a generator wrote.

    A failed call has no text and says why in `error`; it is not kept, so that a second run asks
    again.
    """

    text: str
    finish_reason: str = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    error: str = ""


@runtime_checkable
class Generator(Protocol):
    """Anything with a name and settings that answers requests.

    The name is the model's, with its revision where it has one.
    """

    name: str
    settings: Mapping[str, Any]

    def generate(
        self, requests: Sequence[Request], *, store: ReplyStore | None = None
    ) -> list[Generation]: ...


@dataclass(frozen=True)
class GeneratorSpec:
    """What a run says about its generator.

    Keys are never part of it: `api_key_env` names an environment variable.
    """

    kind: str = "teacher"
    model: str = ""
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    max_reply_tokens: int = 1024
    max_concurrency: int = 16
    budget_tokens: int | None = None
    budget_usd: float | None = None
    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_reply_tokens: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
