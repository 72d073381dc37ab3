"""A judge that gives the replies a test or a publisher wrote, by sample and order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from selene_lib.judges.judging import plan_questions
from selene_lib.judges.protocol import Reply
from selene_lib.judges.replay import ReplayJudge
from selene_lib.records import Order, Sample


def replay_judge(
    name: str, samples: Sequence[Sample], texts: Mapping[tuple[str, Order], str]
) -> ReplayJudge:
    """Answers the project's own prompts for these samples with `texts` by (sample id, order)."""
    replies = {}
    for question in plan_questions(samples):
        asked = (question.sample.id, question.order)
        if asked in texts:
            reply = Reply(texts[asked])
            assert replies.setdefault(question.prompt.sha256, reply) == reply, asked
    return ReplayJudge(name, replies)
