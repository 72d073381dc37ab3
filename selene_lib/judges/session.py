"""What a server answered in one session, without a file: nothing is asked, or paid, twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selene_lib.judges.judging import ask
from selene_lib.judges.protocol import JudgeBackend, Question, Reply, Streaming


class AskingSession:
    """What a server answered in this session, by prompt, and what that has cost in tokens."""

    def __init__(self) -> None:
        self._replies: dict[tuple[str, str, int], Reply] = {}
        self._n_tokens = [0, 0]

    def ask(
        self,
        judge: JudgeBackend,
        questions: Sequence[Question],
        keep: Callable[[int, Reply], None],
    ) -> None:
        """Ask what was not answered yet; other judges than servers are always asked."""
        known = [i for i, question in enumerate(questions) if _place(question) in self._replies]
        for place in known:
            keep(place, self._replies[_place(questions[place])])

        def hand_over(place: int, reply: Reply) -> None:
            if isinstance(judge, Streaming) and (reply.is_final or not reply.error):
                self._remember(_place(questions[place]), reply)
            keep(place, reply)

        spent = (self._n_tokens[0], self._n_tokens[1])
        ask(judge, questions, hand_over, known=set(known), spent=spent)

    def _remember(self, place: tuple[str, str, int], reply: Reply) -> None:
        if place not in self._replies:
            self._n_tokens[0] += reply.n_prompt_tokens
            self._n_tokens[1] += reply.n_reply_tokens
        self._replies[place] = reply


def _place(question: Question) -> tuple[str, str, int]:
    return question.prompt.kind, question.prompt.sha256, question.prompt.draw
