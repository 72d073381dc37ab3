"""Generation, reward scoring and judging on many machines, with Ray Data (extra `scale`).

On one machine this is never the faster way (Ray takes seconds to start); it is for a cluster with a
folder that all nodes see. Workers append every batch to a file of their own in that folder before
they hand it on. A batch that is retried because its worker died looks there first, so a death costs
at most the batch in flight, and a second run asks for nothing that stands in the folder.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from selene_lib.curation.generators.batched import key_of
from selene_lib.curation.generators.opening import open_generator
from selene_lib.curation.generators.protocol import Generation, GeneratorSpec, Request
from selene_lib.errors import UserError
from selene_lib.files import from_dict, to_dict
from selene_lib.models.reply_store import ReplyStore, append_shared, read_shared, request_key
from selene_lib.records import Sample

if TYPE_CHECKING:
    from selene_lib.curation.rewards.protocol import RewardModel
    from selene_lib.judges.protocol import JudgeBackend, Reply
    from selene_lib.prompts.rendering import Prompt

Answer = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Cluster:
    """Where stages run.

    `address` is that of a Ray cluster (None: one is started here); `folder` must be visible to all
    of its nodes.
    """

    folder: str | Path
    address: str | None = None
    n_workers: int = 2
    batch_size: int = 16
    n_gpus_per_worker: float = 0.0


def map_stage(
    rows: Mapping[str, dict[str, Any]], make_answer: Callable[[], Answer], cluster: Cluster
) -> dict[str, dict[str, Any]]:
    """Return `answer(row)` for every key of `rows`, in their order.

    An answer with an `error` is neither kept nor returned. `make_answer` is pickled and called once
    in each worker (it loads the model there); what it returns maps a list of rows to as many rows
    of JSON values. Raises UserError where Ray is not installed.
    """
    folder = Path(cluster.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    done = _stored_rows(folder)
    missing = [{"key": key, "row": row} for key, row in rows.items() if key not in done]
    if missing:
        _run(missing, make_answer, cluster, folder)
        done = _stored_rows(folder)
    return {key: done[key] for key in rows if key in done}


def _stored_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Everything that workers have answered in a folder so far, by key."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in read_shared(path, _is_answer, again="answered again"):
            found.setdefault(line["key"], line["row"])
    return found


def _is_answer(line: Mapping[str, Any]) -> bool:
    return isinstance(line.get("key"), str) and isinstance(line.get("row"), dict)


def _run(
    missing: list[dict[str, Any]], make_answer: Callable[[], Answer], cluster: Cluster, folder: Path
) -> None:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "Ray is not installed: pip install 'selene_lib[scale]', or run without it; "
            "it is for many machines only"
        ) from error
    if not ray.is_initialized():
        ray.init(address=cluster.address, include_dashboard=False, log_to_driver=False)
    n_blocks = max(cluster.n_workers, -(-len(missing) // cluster.batch_size))
    data = ray.data.from_items(missing, override_num_blocks=n_blocks).map_batches(
        _Worker,
        fn_constructor_args=(make_answer, str(folder)),
        batch_size=cluster.batch_size,
        compute=ray.data.ActorPoolStrategy(size=cluster.n_workers),
        num_gpus=cluster.n_gpus_per_worker or None,
    )
    for _ in data.iter_batches(batch_size=None):
        pass


class _Worker:
    """Runs in a Ray actor and answers what no worker has answered yet.

    What it answers is in its own file before the batch counts as done.
    """

    def __init__(self, make_answer: Callable[[], Answer], folder: str) -> None:
        self._answer, self._folder = make_answer(), Path(folder)
        self._mine = self._folder / f"{uuid.uuid4().hex}.jsonl"

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        done = _stored_rows(self._folder)
        todo = [
            (key, row)
            for key, row in zip(batch["key"].tolist(), batch["row"].tolist())
            if key not in done
        ]
        if todo:
            answers = self._answer([row for _, row in todo])
            kept = [
                {"key": key, "row": answer}
                for (key, _), answer in zip(todo, answers, strict=True)
                if not answer.get("error")
            ]
            append_shared(self._mine, kept)
        return {"key": batch["key"]}


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

        def answer(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            requests = [
                Request(**(row | {"sample": from_dict(Sample, row["sample"])})) for row in rows
            ]
            return [to_dict(generation) for generation in generator.generate(requests)]

        return answer


def score_on_cluster(
    prompts: Sequence[str],
    replies: Sequence[str],
    make_model: Callable[[], RewardModel],
    cluster: Cluster,
) -> np.ndarray:
    """Rewards of replies, [n]; `make_model` loads the reward model in each worker."""

    def make_answer() -> Answer:
        model = make_model()
        return lambda rows: [
            {"reward": float(x)}
            for x in model.score([r["prompt"] for r in rows], [r["reply"] for r in rows])
        ]

    rows = {
        request_key("reward", [{"p": p, "r": r}], {}, None, 0): {"prompt": p, "reply": r}
        for p, r in zip(prompts, replies)
    }
    found = map_stage(rows, make_answer, cluster)
    return np.array(
        [
            found[request_key("reward", [{"p": p, "r": r}], {}, None, 0)]["reward"]
            for p, r in zip(prompts, replies)
        ]
    )


def judge_on_cluster(
    prompts: Sequence[Prompt], make_judge: Callable[[], JudgeBackend], cluster: Cluster
) -> list[Reply]:
    """Return the replies to prompts, in their order.

    `make_judge` loads the judge in each worker. A folder belongs to one judge.
    """
    from selene_lib.judges.protocol import Reply
    from selene_lib.prompts.rendering import Prompt

    def make_answer() -> Answer:
        judge = make_judge()

        def answer(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
            shown = [
                Prompt(r["text"], r["task"], r["template"], tuple(map(tuple, r["elastic"])))
                for r in rows
            ]
            return [to_dict(reply) for reply in judge.judge(shown)]

        return answer

    rows = {p.sha256: to_dict(p) | {"elastic": [list(span) for span in p.elastic]} for p in prompts}
    found = map_stage(rows, make_answer, cluster)
    return [from_dict(Reply, found[p.sha256]) for p in prompts]
