"""The append-only store of paid replies: one JSON line a reply, keyed by what was asked.

Nothing in it is ever asked again. The key is the hash of model, messages, sampling settings, seed
and attempt. A reply is with the operating system before it is used, and on the disk half a second
later, so a killed process loses at most the requests that were in flight. One process writes at a
time (a lock beside the file, released when the process ends).
"""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.errors import tell
from selene_lib.files import (
    LineAppender,
    PathLock,
    append_jsonl,
    check_regular,
    mend_jsonl,
    read_jsonl,
    scan_jsonl,
)


def request_key(
    model: str,
    messages: Sequence[Mapping[str, str]],
    sampling: Mapping[str, Any],
    seed: int | None,
    attempt: int,
) -> str:
    """Return 32 hex digits that name one request; the same on every machine."""
    parts = {
        "model": model,
        "messages": [dict(m) for m in messages],
        "sampling": dict(sampling),
        "seed": seed,
        "attempt": attempt,
    }
    return hashlib.sha256(
        json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()[:32]


def is_reply(row: Mapping[str, Any]) -> bool:
    """Whether a row has what every row of a reply store has."""
    counts = (row.get("n_prompt_tokens", 0), row.get("n_reply_tokens", 0))
    texts = (row.get("key"), row.get("text", ""))
    return all(isinstance(n, int) for n in counts) and all(isinstance(t, str) for t in texts)


def mend_store(
    path: Path, is_good: Callable[[dict[str, Any]], bool], *, again: str = "asked again"
) -> None:
    """Move damaged lines of a store aside and say which; the caller holds its lock."""
    damaged = mend_jsonl(path, is_good)
    if damaged:
        shown = ", ".join(map(str, damaged[:5])) + (", ..." if len(damaged) > 5 else "")
        tell(
            f"{path}: {len(damaged)} damaged line(s) ({shown}) moved to {path.name}.damaged; "
            f"what they held is {again}"
        )


def read_shared(
    path: Path, is_good: Callable[[dict[str, Any]], bool], *, again: str = "computed again"
) -> list[dict[str, Any]]:
    """Return the rows of a cache that several processes fill by `append_shared`.

    Damaged lines are moved aside and named; half a line is one that another process is writing, or
    was killed at.
    """
    lines = [line for line in scan_jsonl(path) if not line.is_half]
    rows = [line.row for line in lines if line.row is not None and is_good(line.row)]
    if len(rows) == len(lines):
        return rows
    with _turn(path):
        mend_store(path, is_good, again=again)
        return read_jsonl(path, skip_broken=True)


def append_shared(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows to a cache that several processes fill, one of them at a time."""
    with _turn(path):
        append_jsonl(path, rows)


def _turn(path: Path) -> PathLock:
    busy = f"{path} is being written by another process for a minute; is that one stopped?"
    return PathLock(path, busy=busy, patience_seconds=60.0)


class ReplyStore:
    """Replies by key; see the module docstring. Use it as a context manager, or call `close`.

    `path=None` keeps replies in memory only. A row holds at least `key`; `n_prompt_tokens` and
    `n_reply_tokens` feed the budget.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = Path(path) if path is not None else None
        self._lock: PathLock | None = None
        self._lines: LineAppender | None = None
        rows = self._open(self.path) if self.path is not None else []
        self._rows: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}

    def _open(self, path: Path) -> list[dict[str, Any]]:
        check_regular(path)
        self._lock = PathLock(
            path,
            busy=f"{path} is written by another process: "
            "wait for it, or give this one a store of its own",
        )
        if not path.is_file():
            return []
        mend_store(path, is_reply)
        return read_jsonl(path, skip_broken=True)

    def get(self, key: str) -> dict[str, Any] | None:
        """The stored row, or None."""
        return self._rows.get(key)

    def put(self, rows: Sequence[dict[str, Any]]) -> None:
        """Append rows; they are with the operating system when this returns.

        A key that is already there is a ValueError: it would be paid twice.
        """
        for row in rows:
            if row["key"] in self._rows:
                raise ValueError(
                    f"reply {row['key']} is already stored; it must not be asked again"
                )
        if self.path is not None:
            if self._lines is None:
                self._lines = LineAppender(self.path)
            self._lines.write(rows)
        self._rows.update((row["key"], row) for row in rows)

    def sync(self) -> None:
        """Force what was put so far onto the disk."""
        if self._lines is not None:
            self._lines.sync()

    @property
    def is_open(self) -> bool:
        """Whether this object still holds the file's lock (always, for a store in memory)."""
        return self.path is None or self._lock is not None

    def __len__(self) -> int:
        return len(self._rows)

    def tokens(self, model: str | None = None) -> tuple[int, int]:
        """Return the prompt and reply tokens stored so far (of one model, if named)."""
        rows = [row for row in self._rows.values() if model is None or row.get("model") == model]
        n_prompt = sum(row.get("n_prompt_tokens", 0) for row in rows)
        return n_prompt, sum(row.get("n_reply_tokens", 0) for row in rows)

    def fill(
        self,
        keys: Sequence[str],
        answer: Callable[[list[int]], list[dict[str, Any]]],
        *,
        size: int = 64,
    ) -> list[dict[str, Any]]:
        """Return the rows of `keys` in order.

        Missing ones come from `answer(indices)` in batches of `size`, each stored when it comes.
        """
        first_of: dict[str, int] = {}  # equal keys are answered once
        for i, key in enumerate(keys):
            if key not in self._rows:
                first_of.setdefault(key, i)
        missing = list(first_of.values())
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            self.put([{"key": keys[i], **row} for i, row in zip(batch, answer(batch), strict=True)])
        return [self._rows[key] for key in keys]

    def close(self) -> None:
        """Sync, close the file and release the lock."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> ReplyStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_OPEN: weakref.WeakValueDictionary[Path, ReplyStore] = weakref.WeakValueDictionary()


def open_store(path: str | Path | None) -> ReplyStore:
    """Return the store at `path`.

    Whoever asks for the same file in this process gets the same object (a notebook cell run twice).
    """
    if path is None:
        return ReplyStore(None)
    where = Path(path).resolve()
    store = _OPEN.get(where)
    if store is None or not store.is_open:
        store = _OPEN[where] = ReplyStore(where)
    return store
