"""What every judge is: prompts in, replies out, in the order of the prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from selene_lib.prompts.rendering import Prompt


@dataclass(frozen=True)
class Reply:
    """What a judge wrote to one prompt.

    `verdict_probs` are probabilities over the task's labels at the verdict, None if not known.
    `finish_reason` is `stop`, `length` or what a server says. `meta` holds what happened on the way
    (characters cut from the prompt).
    """

    text: str
    finish_reason: str = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    verdict_probs: Mapping[str, float] | None = field(default=None, hash=False)
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@runtime_checkable
class JudgeBackend(Protocol):
    """Anything with a name that answers prompts.

    `fingerprint` changes when the same name would answer differently (other weights, other
    settings): a store never mixes two. An optional `batches(prompts) -> list[list[int]]` says in
    which groups the prompts are best asked. A judge with `batch_bound = True` may answer in its
    last digits by what else is in the batch: a batch of which a kill left half is then computed
    whole again.
    """

    name: str

    @property
    def fingerprint(self) -> str: ...

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]: ...


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
