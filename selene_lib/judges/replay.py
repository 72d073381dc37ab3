"""A judge that only remembers: stored replies of any judge, given back without asking anyone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files import read_jsonl
from selene_lib.judges.protocol import Reply
from selene_lib.prompts.rendering import Prompt
from selene_lib.records import Judgement


class ReplayJudge:
    """Answers a prompt with the reply stored for it.

    A prompt without one is a ValueError: nothing is made up.
    """

    def __init__(self, name: str, replies: Mapping[str, Reply]) -> None:
        """`replies` maps the SHA-256 of a prompt's text to its reply."""
        self.name = name
        self.replies = dict(replies)
        told = "\x1f".join(f"{key} {reply.text}" for key, reply in sorted(self.replies.items()))
        self.fingerprint = hashlib.sha256(told.encode()).hexdigest()[:16]

    @classmethod
    def from_store(
        cls, path: str | Path, *, judge: str | None = None, name: str | None = None
    ) -> ReplayJudge:
        """Replay a judgement file.

        `judge` picks one where it holds several. A file without that judge is a UserError.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(f"no stored replies at {path}; judge first, or give another path")
        rows = [
            j for j in read_jsonl(path, Judgement, skip_broken=True) if judge in (None, j.judge)
        ]
        names = sorted({j.judge for j in rows})
        if len(names) != 1:
            known = f"it holds nothing of {judge or 'any judge'}"
            if names:
                known = f"judges there: {', '.join(names)}"
            raise UserError(f"{path}: name one judge to replay; {known}")
        replies = {
            j.prompt_sha256: Reply(
                j.reply, j.finish_reason, j.n_prompt_tokens, j.n_reply_tokens, j.verdict_probs
            )
            for j in rows
        }
        return cls(name or names[0], replies)

    def judge(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """Give back the stored replies, in the order of the prompts."""
        missing = [prompt for prompt in prompts if prompt.sha256 not in self.replies]
        if missing:
            raise UserError(
                f"{self.name}: no stored reply for {len(missing)} of {len(prompts)} prompts; "
                f"the first begins {missing[0].text[:60]!r}; "
                "replay the items, rubric and templates that were judged, or use the model itself"
            )
        return [self.replies[prompt.sha256] for prompt in prompts]
