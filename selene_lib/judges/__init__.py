"""Judges behind one protocol: `judge(prompts) -> replies`, batch first, in the order of the prompts.

`LocalJudge` runs any checkpoint or adapter with transformers, `ServerJudge` asks any OpenAI-compatible endpoint, `VllmJudge` runs vLLM
in process, `ReplayJudge` gives back stored replies. A new judge is one class with these members and one test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from selene_lib.errors import UserError
from selene_lib.prompts.rendering import Prompt

_HOMES = {"LocalJudge": "local", "ServerJudge": "server", "VllmJudge": "vllm", "ReplayJudge": "replay", "UnslothJudge": "unsloth"}
__all__ = ["Judge", "LocalJudge", "ReplayJudge", "Reply", "ServerJudge", "UnslothJudge", "VllmJudge", "batches_of", "open_judge"]


@dataclass(frozen=True)
class Reply:
    """What a judge wrote to one prompt. `verdict_probs` are probabilities over the task's labels at the verdict, None if not known.

    `finish_reason` is `stop`, `length` or what a server says. `meta` holds what happened on the way (characters cut from the prompt).
    """

    text: str
    finish_reason: str = "stop"
    n_prompt_tokens: int = 0
    n_reply_tokens: int = 0
    verdict_probs: Mapping[str, float] | None = field(default=None, hash=False)
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@runtime_checkable
class Judge(Protocol):
    """Anything with a name that answers prompts.

    `fingerprint` changes when the same name would answer differently (other weights, other settings): a store never mixes two.
    An optional `batches(prompts) -> list[list[int]]` says in which groups the prompts are best asked. A judge with `batch_bound = True`
    may answer in its last digits by what else is in the batch: a batch of which a kill left half is then computed whole again.
    """

    name: str
    fingerprint: str

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]: ...


def batches_of(judge: Judge, prompts: Sequence[Prompt], size: int = 64) -> list[list[int]]:
    """The judge's own batches where it plans them (they depend on all prompts, never on what is already answered), else plain slices."""
    plan = getattr(judge, "batches", None)
    if plan is not None:
        return plan(prompts)
    return [list(range(start, min(start + size, len(prompts)))) for start in range(0, len(prompts), size)]


def open_judge(model: str, **options: Any) -> Judge:
    """Open the judge that a name means: `http://host/v1#model` a server, `vllm:PATH`, `unsloth:PATH`, `replay:FILE`, else local.

    `options` go to that judge's constructor; those that are None are left to its defaults.
    """
    import importlib

    given = {name: value for name, value in options.items() if value is not None}
    kind, _, rest = model.partition(":")
    if kind in ("http", "https"):
        address, _, served = model.partition("#")
        if not served:
            raise UserError(f"{model}: name the served model after a '#', as in http://localhost:8000/v1#my-model")
        return importlib.import_module("selene_lib.judges.server").ServerJudge(address, served, **given)
    if kind == "vllm" and rest:
        return importlib.import_module("selene_lib.judges.vllm").VllmJudge(rest, **given)
    if kind == "unsloth" and rest:
        return importlib.import_module("selene_lib.judges.unsloth").UnslothJudge(rest, **given)
    if kind == "replay" and rest:
        return importlib.import_module("selene_lib.judges.replay").ReplayJudge.from_store(rest, **given)
    return importlib.import_module("selene_lib.judges.local").LocalJudge(model, **given)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"selene_lib.judges.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
