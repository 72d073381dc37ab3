"""The file of judgements: one sealed line a judgement, found by question, never all in memory.

A verdict is read again from the reply whenever a line is read, so that no stored verdict can differ
from what the judge wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import (
    LineAppender,
    PathLock,
    check_regular,
    from_dict,
    parse_line,
    scan_jsonl,
)
from selene_lib.judges.protocol import JudgeBackend, Question
from selene_lib.models.reply_store import mend_store
from selene_lib.prompts.verdicts import parse_verdict
from selene_lib.records import TASKS, Judgement

_FIELDS = set(Judgement.__dataclass_fields__)
_NEEDED = ("judge", "set", "sample_id", "prompt_sha256", "reply", "finish_reason")


def is_judgement(row: Mapping[str, Any]) -> bool:
    """Whether a row of a file has the fields and kinds of a judgement."""
    if not set(row) <= _FIELDS or row.get("task") not in TASKS:
        return False
    if row.get("order") not in ("AB", "BA") or not isinstance(row.get("meta", {}), dict):
        return False
    counts = (row.get("n_prompt_tokens", 0), row.get("n_reply_tokens", 0))
    return all(isinstance(row.get(name), str) for name in _NEEDED) and all(
        isinstance(n, int) for n in counts
    )


def as_judgement(row: Mapping[str, Any]) -> Judgement:
    """Return a row as a judgement whose verdict is read again from its reply.

    A failed request has no reply to read and stays as it is.
    """
    return read_again(from_dict(Judgement, {"status": "failed", "verdict": None, **row}))


def read_again(judgement: Judgement) -> Judgement:
    """Apply the present parser to a raw reply; the reply itself is not touched."""
    if judgement.status == "failed":
        return replace(judgement, verdict=None) if judgement.verdict else judgement
    found = parse_verdict(judgement.reply, judgement.kind, finish_reason=judgement.finish_reason)
    if (found.status, found.value) == (judgement.status, judgement.verdict):
        return judgement
    meta = {name: value for name, value in judgement.meta.items() if name != "reason"}
    if found.reason:
        meta["reason"] = found.reason
    return replace(judgement, status=found.status, verdict=found.value, meta=meta)


def iterate_judgements(path: Path) -> Iterator[tuple[int, Judgement]]:
    """Yield `(where it begins, judgement)` for every line; damage is a UserError that names it."""
    for begin, row in iterate_rows(path):
        yield begin, as_judgement(row)


def iterate_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """As `iterate_judgements`, without reading the verdicts."""
    for line in scan_jsonl(path):
        if line.is_half:
            continue
        if line.row is None or not is_judgement(line.row):
            fault = line.fault or "its fields are not those of a judgement"
            raise UserError(
                f"{path}, line {line.number}: {fault}; judge again into this file (a damaged line "
                "is moved aside and asked again), or give the file that judging wrote"
            )
        yield line.begin, line.row


class JudgementReader:
    """Reads single judgements of a file by where they begin."""

    def __init__(self, path: Path) -> None:
        self._stream = open(path, "rb")  # noqa: SIM115 (closed by `close`)

    def at(self, begin: int) -> Judgement:
        """Return the judgement whose line begins there."""
        self._stream.seek(begin)
        return as_judgement(parse_line(self._stream.readline().rstrip()))

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> JudgementReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def place_of(*parts: str) -> bytes:
    """Return 16 bytes that stand for a question: short enough to hold half a million of them."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()


class JudgementStore:
    """What one judge answered, in an append-only file; locked until `close`.

    `own_ids` are the sample ids of the file that is judged: a stored line of another id but the
    same prompt (another version numbered the rows) is taken over, not asked again.
    `retry_failed=True` forgets failed requests. `beside` is an open store of another judge in the
    same file, which then writes for both and is closed last. Raises UserError for a second writer.
    """

    def __init__(
        self,
        path: str | Path,
        judge: JudgeBackend,
        *,
        own_ids: Container[str] | None = None,
        retry_failed: bool = False,
        beside: JudgementStore | None = None,
    ) -> None:
        self.path, self.judge = Path(path), judge
        self.set_name: str | None = None
        self.n_tokens = [0, 0]
        check_regular(self.path)
        busy = f"{path} is being written by another process; wait for it or give another store"
        self._beside = beside
        self._lock = PathLock(self.path, busy=busy) if beside is None else None
        self._lines: LineAppender | None = None
        self._reader: JudgementReader | None = None
        self._begins: dict[bytes, int] = {}
        self._spare: dict[bytes, list[int]] = {}
        try:
            if self.path.is_file():
                if beside is None:
                    mend_store(self.path, is_judgement)
                self._read(own_ids, retry_failed)
        except BaseException:
            self.close()
            raise

    def _read(self, own_ids: Container[str] | None, retry_failed: bool) -> None:
        for line in scan_jsonl(self.path):
            row = line.row
            if row is None or row["judge"] != self.judge.name:
                continue
            self.set_name = self.set_name or row["set"]
            self.n_tokens[0] += row.get("n_prompt_tokens", 0)
            self.n_tokens[1] += row.get("n_reply_tokens", 0)
            prompt = row["order"], row["prompt_sha256"], *_draw(row.get("meta", {}).get("draw", 0))
            place = place_of(row["sample_id"], *prompt)
            if retry_failed and row.get("status") == "failed":
                continue
            if own_ids is None or row["sample_id"] in own_ids:
                self._begins[place] = line.begin
            else:
                self._spare.setdefault(place_of(*prompt), []).append(line.begin)

    def get(self, question: Question, set_name: str) -> Judgement | None:
        """Return the stored judgement of a question, None where there is none.

        One that another judge of this name wrote (other weights, settings or address) is a
        UserError.
        """
        place = _place(question)
        begin = self._begins.get(place)
        if begin is None:
            return self._take_over(question, set_name)
        return self._checked(begin, set_name)

    def _take_over(self, question: Question, set_name: str) -> Judgement | None:
        prompt = question.prompt
        spare = self._spare.get(place_of(question.order, prompt.sha256, *_draw(prompt.draw)))
        if not spare:
            return None
        found = replace(self._checked(spare.pop(0), set_name), sample_id=question.sample.id)
        tokens = list(self.n_tokens)
        self.put(found)
        self.n_tokens = tokens  # it was paid for under its other id
        return found

    def _checked(self, begin: int, set_name: str) -> Judgement:
        if self._reader is None:
            self._reader = JudgementReader(self.path)
        found = self._reader.at(begin)
        known = (self.judge.fingerprint, *getattr(self.judge, "older_fingerprints", ()))
        if found.meta.get("fingerprint", self.judge.fingerprint) not in known:
            raise UserError(
                f"{self.path}: another judge of the name {self.judge.name!r} (other weights, "
                "settings or address) wrote it; give another name or move it"
            )
        return found if found.set == set_name else replace(found, set=set_name)

    def put(self, judgement: Judgement) -> None:
        """Append a judgement; it is with the operating system when this returns."""
        (begin,) = self._appender().write([judgement])
        place = place_of(
            judgement.sample_id, judgement.order, judgement.prompt_sha256, *_draw(judgement.draw)
        )
        self._begins[place] = begin
        self.n_tokens[0] += judgement.n_prompt_tokens
        self.n_tokens[1] += judgement.n_reply_tokens

    def _appender(self) -> LineAppender:
        if self._beside is not None:
            return self._beside._appender()
        if self._lines is None:
            self._lines = LineAppender(self.path)
        return self._lines

    def close(self) -> None:
        """Sync, close and release the lock; a second call does nothing."""
        for part in (self._lines, self._reader, self._lock):
            if part is not None:
                part.close()

    def __enter__(self) -> JudgementStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _place(question: Question) -> bytes:
    prompt = question.prompt
    return place_of(question.sample.id, question.order, prompt.sha256, *_draw(prompt.draw))


def _draw(number: int) -> tuple[str, ...]:
    """What tells one draw from the others; nothing for the only reply."""
    return (f"draw {number}",) if number else ()
