"""What every judge is: prompts in, replies out, in the order of the prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from selene_lib.prompts.rendering import Prompt
from selene_lib.records import Order, Sample


@dataclass(frozen=True)
class Question:
    """One prompt to be asked: which sample, in which order."""

    sample: Sample
    order: Order
    prompt: Prompt


@dataclass(frozen=True)
class Reply:
    """What a judge wrote to one prompt.

    `verdict_probs` are probabilities over the task's labels at the verdict, None if not known.
    `finish_reason` is `stop`, `length` or what a server says. `meta` holds what happened on the way
    (characters cut from the prompt). `error` says why there is no reply at all; `is_final` then
    says that asking again would change nothing.
    """

    text: str
    finish_reason: str = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    verdict_probs: Mapping[str, float] | None = field(default=None, hash=False)
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    error: str = ""
    is_final: bool = True


@runtime_checkable
class JudgeBackend(Protocol):
    """Anything with a name that answers prompts.

    `fingerprint` changes when the same name would answer differently (other weights, other
    settings): a store never mixes two. An optional `batches(prompts) -> list[list[int]]` says in
    which groups the prompts are best asked. A judge with `batch_bound = True` may answer in its
    last digits by what else is in the batch: a batch of which a kill left half is then computed
    whole again. What else a judge may have: the methods of `Choosy`, `Streaming`,
    `KnowsSamples` and `Priced`, and `older_fingerprints` that it goes by as well.
    """

    name: str

    @property
    def fingerprint(self) -> str: ...

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]: ...


@runtime_checkable
class Choosy(Protocol):
    """A judge that cannot take every prompt, and knows it before it is asked."""

    def unfit(self, prompts: Sequence[Prompt]) -> dict[int, str]:
        """Which prompts cannot be asked, by place, and why."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A judge whose replies come one by one, and are handed over when they come."""

    def stream(
        self,
        prompts: Sequence[Prompt],
        on_reply: Callable[[int, Reply], None],
        *,
        spent: tuple[int, int],
    ) -> None:
        """Ask all; `spent` is what the caller's store has cost in prompt and reply tokens."""
        ...


@runtime_checkable
class KnowsSamples(Protocol):
    """A judge that tells samples of one text apart."""

    def judge_questions(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer questions, in their order."""
        ...


@runtime_checkable
class Spreading(Protocol):
    """A judge that is told all prompts of a run at once, and then only gives the replies."""

    def spread(self, prompts: Iterable[Prompt]) -> int:
        """Ask what has no answer yet; return how many prompts that were."""
        ...


@runtime_checkable
class Priced(Protocol):
    """A judge that is paid for."""

    def usd(self, n_prompt_tokens: int, n_reply_tokens: int) -> float | None:
        """What so many tokens cost, None without prices."""
        ...


def batches_of(judge: JudgeBackend, prompts: Sequence[Prompt], size: int = 64) -> list[list[int]]:
    """The judge's own batches where it plans them, else plain slices.

    A plan depends on all prompts, never on what is already answered.
    """
    plan = getattr(judge, "batches", None)
    if plan is not None:
        return plan(prompts)
    return slices(len(prompts), size)


def slices(n: int, size: int) -> list[list[int]]:
    """The indices of `n` prompts in slices of `size`."""
    return [list(range(start, min(start + size, n))) for start in range(0, n, size)]
