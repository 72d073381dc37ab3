"""A table cut into shards by the ids of its rows, and the replies of the shards put together.

Each shard is judged by a command of its own, on any machine. The command without a shard then finds
their replies beside its output, takes them over, and asks for what is missing: the output is that
of one machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import LineAppender, PathLock, scan_jsonl
from selene_lib.judges.store import is_judgement, place_of

_SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `n` shards, counted from 1."""

    number: int
    n: int

    @classmethod
    def read(cls, text: str) -> Shard:
        """Read `3/8`; another form is a UserError."""
        found = _SHARD.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UserError(f"shard {text!r}: give its number and how many there are, as in 3/8")
        return cls(int(found[1]), int(found[2]))

    def takes(self, sample_id: str) -> bool:
        """Whether an item is of this shard: a matter of its id, not of its place in the file."""
        return int.from_bytes(place_of(sample_id)[:8], "little") % self.n == self.number - 1

    def output(self, whole: Path) -> Path:
        """Return the output of this shard, beside the one of the whole file."""
        return whole.with_name(f"{whole.stem}.shard-{self.number}-of-{self.n}{whole.suffix}")


def stores_of_shards(whole: Path) -> list[Path]:
    """Return the files of replies that shards left beside the output of the whole file."""
    pattern = f"{whole.stem}.shard-*-of-*{whole.suffix}.replies.jsonl"
    return sorted(path for path in whole.parent.glob(pattern) if path.is_file())


def take_over(store: Path, shards: list[Path]) -> int:
    """Append the judgements of shards that a store does not hold; return how many those are."""
    busy = f"{store} is being written by another process; wait for it or give another store"
    n = 0
    with PathLock(store, busy=busy):
        known = {_place(row) for row in _rows(store)} if store.is_file() else set()
        with LineAppender(store) as lines:
            for shard in shards:
                for row in _rows(shard):
                    if (place := _place(row)) not in known:
                        known.add(place)
                        lines.write([row])
                        n += 1
    return n


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Whole judgements of a file; half a line is one that was being written."""
    for line in scan_jsonl(path):
        if line.row is not None and is_judgement(line.row):
            yield line.row


def _place(row: Mapping[str, Any]) -> bytes:
    draw = str(row.get("meta", {}).get("draw", 0))
    return place_of(row["judge"], row["sample_id"], row["order"], row["prompt_sha256"], draw)
