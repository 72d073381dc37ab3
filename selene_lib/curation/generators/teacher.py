"""The teacher of the embedded world: critiques by rule.

True evidence for the gold verdict, plausible wrong evidence otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selene_lib.curation.generators.protocol import Generation, Request
from selene_lib.errors import UserError
from selene_lib.records import unit_hash

if TYPE_CHECKING:
    from selene_lib.models.reply_store import ReplyStore

Teach = Callable[..., str]


class TeacherGenerator:
    """Calls `teach(sample, verdict, seed=...)`, by default `selene_lib.nano.teacher_critique`.

    Costs nothing, so nothing is stored. `error_rate` is the share of requests it answers carelessly
    (with the verdict left out), to see the retries at work.
    """

    def __init__(self, teach: Teach | None = None, *, error_rate: float = 0.0) -> None:
        self.name = "nano-teacher"
        self.settings: Mapping[str, Any] = {"error_rate": error_rate}
        self._teach = teach
        self._error_rate = error_rate

    def generate(
        self, requests: Sequence[Request], *, store: ReplyStore | None = None
    ) -> list[Generation]:
        """Write one critique a request.

        Raises UserError for a request without a verdict: the teacher has no opinion of its own.
        """
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Generation:
        if request.asked is None:
            raise UserError(
                "the teacher argues for the verdict it is given; "
                "use method 'argue', not rejection sampling"
            )
        text = self._teacher()(request.sample, request.asked, seed=request.draw_seed)
        key = (request.sample.id, request.asked, request.attempt)
        if unit_hash(request.seed, "careless", *key) < self._error_rate:
            text = text.rsplit("**Result:**", 1)[0].rstrip()
        return Generation(text, n_reply_tokens=len(text.split()))

    def _teacher(self) -> Teach:
        if self._teach is None:
            from selene_lib.nano import teacher_critique

            self._teach = teacher_critique
        return self._teach
