"""A judge that only remembers: stored replies of any judge, given back without asking anyone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.judges.protocol import Question, Reply
from selene_lib.judges.store import JudgementReader, iterate_judgements, iterate_rows
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import Judgement


@dataclass(frozen=True, slots=True)
class _Told:
    """A reply that is known: as it is, or where its line begins in the file."""

    sample_id: str
    order: str
    reply: Reply | None
    begin: int = 0
    draw: int = 0


class ReplayJudge:
    """Answers a prompt with the reply stored for it.

    A prompt without one is a UserError: nothing is made up. Of several replies to one text a sample
    gets its own, by id and order; where ids say nothing, the first asked gets the first, the second
    the second.
    """

    def __init__(self, name: str, replies: Mapping[str, Reply]) -> None:
        """`replies` maps the SHA-256 of a prompt's text to its reply."""
        self.name = name
        self._told = {key: [_Told("", "", reply)] for key, reply in replies.items()}
        self._reader: JudgementReader | None = None
        self._n_given: Counter[str] = Counter()
        self.fingerprint = _digest(sorted(f"{key} {r.text}" for key, r in replies.items()))

    @classmethod
    def from_store(
        cls, path: str | Path, *, judge: str | None = None, name: str | None = None
    ) -> ReplayJudge:
        """Replay a judgement file.

        `judge` picks one where it holds several, and so does its name after the file's and a `#`. A
        file without that judge, or that is no file of judgements, is a UserError.
        """
        if judge is None and not Path(path).is_file() and "#" in str(path):
            path, _, judge = str(path).rpartition("#")
        path = Path(path)
        if not path.is_file():
            raise UserError(f"no stored replies at {path}; judge first, or give another path")
        latest: dict[tuple[str, str, str, int], int] = {}
        names, hashes = set(), []
        for begin, found in iterate_judgements(path):
            if judge in (None, found.judge):
                names.add(found.judge)
                latest[found.prompt_sha256, found.sample_id, found.order, found.draw] = begin
                hashes.append(_digest([found.prompt_sha256, found.sample_id, found.reply]))
        if len(names) != 1:
            known = f"it holds nothing of {judge or 'any judge'}"
            if names:
                known = f"judges there: {', '.join(sorted(names))}"
            raise UserError(f"{path}: name one judge to replay; {known}")
        replay = cls(name or names.pop(), {})
        for (key, sample_id, order, draw), begin in latest.items():
            replay._told.setdefault(key, []).append(_Told(sample_id, order, None, begin, draw))
        replay._reader = JudgementReader(path)
        replay.fingerprint = _digest(sorted(hashes))
        return replay

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Give back the stored replies, in the order of the prompts."""
        self._check(prompts)
        n_before: Counter[str] = Counter()
        found = []
        for prompt in prompts:
            told = self._told[prompt.sha256]
            found.append(self._reply(told[min(n_before[prompt.sha256], len(told) - 1)]))
            n_before[prompt.sha256] += 1
        return found

    def judge_questions(self, questions: Sequence[Question]) -> list[Reply]:
        """Give back the stored replies, each sample's own where several have one text."""
        self._check([q.prompt for q in questions])
        return [self._reply(self._told_of(question)) for question in questions]

    def _told_of(self, question: Question) -> _Told:
        key = question.prompt.sha256
        told = self._told[key]
        if len(told) == 1:
            return told[0]
        mine = (question.sample.id, question.order, question.prompt.draw)
        for one in told:
            if (one.sample_id, one.order, one.draw) == mine:
                return one
        place = min(self._n_given[key], len(told) - 1)
        self._n_given[key] += 1
        return told[place]

    def _reply(self, told: _Told) -> Reply:
        if told.reply is not None:
            return told.reply
        if self._reader is None:
            raise ValueError("a reply in a file needs the file")
        return _reply_of(self._reader.at(told.begin))

    def _check(self, prompts: Sequence[Prompt]) -> None:
        missing = [prompt for prompt in prompts if prompt.sha256 not in self._told]
        if missing:
            raise UserError(
                f"{self.name}: no stored reply for {len(missing)} of {len(prompts)} prompts; "
                f"the first begins {missing[0].text[:60]!r}; "
                "replay the items, rubric and templates that were judged, or use the model itself"
            )


def judges_of(path: Path) -> list[str]:
    """Return who wrote the judgements of a file, in the order in which they first did."""
    return list(dict.fromkeys(row["judge"] for _, row in iterate_rows(path)))


def _reply_of(j: Judgement) -> Reply:
    meta = {k: v for k, v in j.meta.items() if k in ("n_cut_characters", "reasoning")}
    failed = str(j.meta.get("reason", "failed")) if j.status == "failed" else ""
    return Reply(
        j.reply,
        j.finish_reason,
        j.n_prompt_tokens,
        j.n_reply_tokens,
        j.verdict_probs,
        meta,
        failed,
    )


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
