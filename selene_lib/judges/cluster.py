"""A judge on many machines: one in each worker of a Ray cluster, the same replies as one machine.

Replies of a served judge come one by one and are kept one by one, so that a worker that dies has at
most the requests in flight to pay for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import from_dict, to_dict
from selene_lib.judges.judging import ask
from selene_lib.judges.opening import open_judge
from selene_lib.judges.protocol import Question, Reply
from selene_lib.models.cluster import Answer, Cluster, Keep, Row, StoredAnswers, open_ray, spread
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import Sample

NO_ANSWER = Reply("", "error", error="no worker got an answer", is_final=False)
SPANS = ("elastic", "context")
_NOBODY = Sample("-", "-", "absolute", "", "")  # a judge of prompts asks for no sample


@dataclass(frozen=True)
class _MakeJudge:
    """Opens the judge in a worker."""

    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Name and fingerprint, as the judge has them there."""
        judge = open_judge(self.model, **self.options)
        return {"name": judge.name, "fingerprint": judge.fingerprint}

    def __call__(self) -> Answer:
        judge = open_judge(self.model, **self.options)

        def answer(rows: list[Row], keep: Keep) -> None:
            questions = [Question(_NOBODY, "AB", _prompt(row)) for row in rows]
            ask(judge, questions, lambda place, reply: keep(place, to_dict(reply)))

        return answer


class RayJudge:
    """A judge whose prompts are spread over a cluster; a budget cannot be, and is a UserError.

    `spread` asks all prompts of a run at once; `judge` then only reads. Name and fingerprint are
    those of the judge run alone, so that either goes on in the other's store.
    """

    def __init__(self, model: str, options: Mapping[str, Any], cluster: Cluster) -> None:
        for name in ("budget_tokens", "budget_usd"):
            if options.get(name) is not None:
                raise UserError(
                    "workers of a cluster cannot share a budget: look at --dry-run and leave "
                    f"{name} out, or run without --engine ray"
                )
        self._make, self.cluster = _MakeJudge(model, dict(options)), cluster
        self._answers: StoredAnswers | None = None
        told = self._describe()
        self.name, self.fingerprint = str(told["name"]), str(told["fingerprint"])

    def _describe(self) -> dict[str, Any]:
        """Ask a worker, for a judge that needs a GPU cannot be opened here."""
        ray = open_ray(self.cluster.address)
        told = ray.remote(num_gpus=self.cluster.n_gpus_per_worker)(_MakeJudge.describe)
        return dict(ray.get(told.remote(self._make)))

    def spread(self, prompts: Iterable[Prompt]) -> int:
        """Ask every prompt that has no answer in the folder; return how many were asked."""
        rows = ((self._key(prompt), _row(prompt)) for prompt in prompts)
        n = spread(rows, self._make, self.cluster)
        self._answers = StoredAnswers(self.cluster.folder)
        return n

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Return the replies, in the order of the prompts; what `spread` was not told is asked.

        What no worker got an answer to is a failed reply that the next run asks again.
        """
        if self._answers is None:
            self.spread(prompts)
            return self._replies(prompts, last=True)
        return self._replies(prompts, last=False)

    def _replies(self, prompts: Sequence[Prompt], *, last: bool) -> list[Reply]:
        found = self._answers
        if found is None:
            raise ValueError("replies are read once the prompts were spread")
        rows = [found.get(self._key(prompt)) for prompt in prompts]
        if last:
            found.close()
            self._answers = None
        return [NO_ANSWER if row is None else from_dict(Reply, row) for row in rows]

    def batches(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """One batch: the cluster makes its own."""
        return [list(range(len(prompts)))] if prompts else []

    def _key(self, prompt: Prompt) -> str:
        return f"{self.fingerprint} {prompt.kind} {prompt.draw} {prompt.sha256}"


def _row(prompt: Prompt) -> Row:
    row = {f.name: getattr(prompt, f.name) for f in fields(Prompt)}
    return row | {name: [list(span) for span in row[name]] for name in SPANS}


def _prompt(row: Row) -> Prompt:
    spans = {name: tuple((begin, end) for begin, end in row[name]) for name in SPANS}
    return Prompt(**(row | spans))
