"""Critiques from many machines: the requests of one generator, spread over a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selene_lib.curation.generators.batched import key_of
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import Generation, GeneratorSpec, Request
from selene_lib.errors import UserError
from selene_lib.files import from_dict, to_dict
from selene_lib.models.cluster import Answer, Cluster, Keep, Row, hand_over, map_stage
from selene_lib.models.reply_store import ReplyStore
from selene_lib.records import Sample


@dataclass(frozen=True)
class RayGenerator:
    """A generator whose requests are spread over a cluster.

    Replies end in the store that they would be in without it. A budget cannot be shared between
    workers, so a spec with one is a UserError.
    """

    spec: GeneratorSpec
    cluster: Cluster

    def __post_init__(self) -> None:
        if self.spec.budget_tokens is not None or self.spec.budget_usd is not None:
            raise UserError(
                "workers of a cluster cannot share a budget: "
                "look at the dry run and leave the budget out, or run without Ray"
            )

    @property
    def name(self) -> str:
        """The model's name: that of the generator run alone."""
        return self.spec.model or self.spec.kind

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that shape a reply: those of the generator run alone."""
        backend = {"local": "transformers", "vllm": "vllm"}.get(self.spec.kind)
        return {"max_reply_tokens": self.spec.max_reply_tokens} | (
            {"backend": backend} if backend else {}
        )

    def generate(
        self, requests: Sequence[Request], *, store: ReplyStore | None = None
    ) -> list[Generation]:
        """Answer requests; what got no answer carries `error`, a second run asks for it again."""
        kept = store if store is not None else ReplyStore(None)
        keys = self._keys(requests)
        waiting = {
            k: to_dict(r) | {"sample": to_dict(r.sample)}
            for k, r in zip(keys, requests)
            if kept.get(k) is None
        }
        found = map_stage(waiting, _MakeGeneration(self.spec), self.cluster)
        kept.put([{"key": key, "model": self.name, **row} for key, row in found.items()])
        return [_generation(kept.get(key)) for key in keys]

    def _keys(self, requests: Sequence[Request]) -> list[str]:
        if self.spec.kind == "server":
            from selene_lib.curation.generators.server import ServerGenerator

            server = ServerGenerator(self.spec)
            return [server.key(request) for request in requests]
        return [key_of(self.name, self.settings, request) for request in requests]


def _generation(row: Mapping[str, Any] | None) -> Generation:
    if row is None:
        return Generation("", "error", error="no worker got an answer")
    return Generation(
        row["text"], row["finish_reason"], row["n_prompt_tokens"], row["n_reply_tokens"]
    )


@dataclass(frozen=True)
class _MakeGeneration:
    spec: GeneratorSpec

    def __call__(self) -> Answer:
        generator = open_generator(self.spec)
        if generator is None:
            raise UserError(
                "generator 'published' generates nothing; there is nothing to spread over a cluster"
            )

        def answer(rows: list[Row], keep: Keep) -> None:
            requests = [
                Request(**(row | {"sample": from_dict(Sample, row["sample"])})) for row in rows
            ]
            hand_over([to_dict(found) for found in generator.generate(requests)], keep)

        return answer
