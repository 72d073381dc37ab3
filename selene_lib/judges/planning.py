"""What judging a file would ask and cost at most, without asking anything."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.data.table_writing import blocks
from selene_lib.files import scan_jsonl
from selene_lib.judges.file_job import BLOCK_ROWS, FileJob
from selene_lib.judges.opening import PRICES, of_member, opener_of
from selene_lib.judges.store import place_of
from selene_lib.models.bodies import guess_tokens
from selene_lib.models.limits import Prices


@dataclass(frozen=True)
class FilePlan:
    """What judging a file would ask.

    Prompt tokens are estimated (characters / 4), reply tokens are the most that may come, and of
    what is stored already nothing is asked again. `usd_max` is None without prices.
    """

    n_rows: int
    n_requests: int
    n_stored: int
    n_prompt_tokens: int
    n_reply_tokens_max: int
    usd_max: float | None

    def __str__(self) -> str:
        cost = "no prices given (--price)"
        if self.usd_max is not None:
            cost = f"at most {self.usd_max:.4f} USD"
        return (
            f"{self.n_rows} rows: {self.n_requests} requests, {self.n_stored} of them answered "
            f"already; the rest: about {self.n_prompt_tokens} prompt tokens, at most "
            f"{self.n_reply_tokens_max} reply tokens, {cost}"
        )


def plan_job(job: FileJob, store: Path) -> FilePlan:
    """Foresee a job; `store` is the file where its replies are kept, or will be."""
    asked = job.asked
    options = asked.opened_with
    known = _stored_questions(store)
    n_requests = n_stored = 0
    rooms = [_room(model, options.max_new_tokens) for model in asked.models]
    prompts, replies = [0 for _ in rooms], [0 for _ in rooms]
    for block in blocks(job.rows, BLOCK_ROWS):
        for question in asked.opinion.questions([one.sample for one in block]):
            prompt = question.prompt
            place = _place(question.sample.id, question.order, prompt.sha256, prompt.draw)
            n_answered = min(known.get(place, 0), len(asked.models))
            n_requests += len(asked.models)
            n_stored += n_answered
            # judges answer one after the other, so that the first have answered
            for i in range(n_answered, len(rooms)):
                prompts[i] += guess_tokens(prompt.text)
                replies[i] += rooms[i]
    usd = _cost(options.of_backend(), prompts, replies)
    return FilePlan(job.n, n_requests, n_stored, sum(prompts), sum(replies), usd)


def _cost(
    options: Mapping[str, Any], prompts: Sequence[int], replies: Sequence[int]
) -> float | None:
    """What so many tokens of each judge cost at most, None without prices."""
    if not any(name in options for name in PRICES):
        return None
    usd = 0.0
    for i, tokens in enumerate(zip(prompts, replies, strict=True)):
        mine = of_member(options, i, len(prompts))
        usd += Prices(*(float(mine.get(name) or 0.0) for name in PRICES)).usd(*tokens)
    return usd


def _stored_questions(store: Path) -> dict[bytes, int]:
    """By how many judges each question is answered in a file of replies."""
    found: dict[bytes, set[str]] = {}
    for line in scan_jsonl(store) if store.is_file() else ():
        row = line.row
        if row is None or "prompt_sha256" not in row:
            continue
        draw = row.get("meta", {}).get("draw", 0)
        place = _place(row["sample_id"], row["order"], row["prompt_sha256"], draw)
        found.setdefault(place, set()).add(row["judge"])
    return {place: len(judges) for place, judges in found.items()}


def _place(sample_id: str, order: str, sha256: str, draw: int) -> bytes:
    return place_of(sample_id, order, sha256, str(draw))


def _room(model: str, max_new_tokens: int | None) -> int:
    """The most tokens of one reply."""
    if max_new_tokens is not None:
        return max_new_tokens
    room = inspect.signature(opener_of(model)[0]).parameters.get("max_new_tokens")
    return int(room.default) if room is not None else 0
