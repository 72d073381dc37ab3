"""The ledger: what went into each stage of the curation, what came out, and why the rest did not.

It always adds up. It always adds up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from selene_lib.files import write_csv

if TYPE_CHECKING:
    import pandas as pd

StageKind = Literal["filter", "generation", "decision"]
STAGE_KINDS: tuple[StageKind, ...] = ("filter", "generation", "decision")
COLUMNS = ("stage", "kind", "source", "n_in", "n_out", "reason", "n_dropped")


@dataclass(frozen=True)
class Entry:
    """One source at one stage: `n_in + n_added = n_out + sum(dropped)`.

    `kind` says how the flow figure draws it.
    """

    stage: str
    kind: StageKind
    source: str
    n_in: int
    n_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    n_added: int = 0

    def __post_init__(self) -> None:
        if self.kind not in STAGE_KINDS:
            raise ValueError(
                f"ledger stage {self.stage!r}: kind {self.kind!r} is not one of "
                f"{', '.join(STAGE_KINDS)}"
            )
        if min([self.n_in, self.n_out, self.n_added, *self.dropped.values()]) < 0:
            raise ValueError(
                f"ledger stage {self.stage!r}, source {self.source!r}: a negative count in {self}"
            )
        if self.n_in + self.n_added != self.n_out + sum(self.dropped.values()):
            raise ValueError(
                f"ledger stage {self.stage!r}, source {self.source!r} does not add up: "
                f"{self.n_in} in, {self.n_out} out, {sum(self.dropped.values())} dropped "
                f"({dict(self.dropped)}); every row that goes needs a reason"
            )


@dataclass
class Ledger:
    """Entries in the order in which things happened.

    One item of the flow is one sample, later the one pair made of it.
    """

    entries: list[Entry] = field(default_factory=list)

    def add(
        self,
        stage: str,
        source: str,
        n_in: int,
        dropped: Mapping[str, int],
        kind: StageKind = "filter",
        *,
        n_out: int | None = None,
    ) -> None:
        """Add one source at one stage.

        Give `n_out` where it was counted by itself: a ValueError names the stage that does not add
        up.
        """
        counts = {reason: int(n) for reason, n in dropped.items() if n}
        if n_out is None:
            n_out = int(n_in) - sum(counts.values())
        self.entries.append(Entry(stage, kind, source, int(n_in), int(n_out), counts))

    def add_records(
        self,
        stage: str,
        before: Iterable[Any],
        after: Iterable[Any],
        reasons: Mapping[str, str],
        kind: StageKind = "filter",
    ) -> None:
        """Add a stage from records with `id` and `source`.

        `before` went in, `after` came out, and `reasons` holds the reason of each id that did not.
        An id that vanished without a reason, or that has a reason and is still there, is a
        ValueError.
        """
        kept = Counter(record.source for record in after)
        seen: dict[str, Counter] = {}
        n_in: Counter = Counter()
        for record in before:
            n_in[record.source] += 1
            if record.id in reasons:
                seen.setdefault(record.source, Counter())[reasons[record.id]] += 1
        for source in n_in:
            self.add(stage, source, n_in[source], seen.get(source, {}), kind, n_out=kept[source])

    def add_growth(self, stage: str, before: Iterable[Any], n_added: Mapping[str, int]) -> None:
        """Add a stage at which one item becomes several: `n_added` more of each source."""
        for source, n_in in Counter(record.source for record in before).items():
            n_new = int(n_added.get(source, 0))
            entry = Entry(stage, "generation", source, n_in, n_in + n_new, n_added=n_new)
            self.entries.append(entry)

    def extend(self, other: Ledger) -> None:
        """Append the entries of another ledger."""
        self.entries.extend(other.entries)

    def check_chain(self) -> None:
        """Raise ValueError unless each stage of a source begins with what the last left of it."""
        left: dict[str, Entry] = {}
        for entry in self.entries:
            before = left.get(entry.source)
            if before is not None and before.n_out != entry.n_in:
                raise ValueError(
                    f"source {entry.source!r}: stage {before.stage!r} left {before.n_out} items, "
                    f"{entry.stage!r} began with {entry.n_in}"
                )
            left[entry.source] = entry

    def rows(self) -> list[dict[str, Any]]:
        """Return the long form: one row per reason, in order; columns are `COLUMNS`.

        An entry that dropped nothing has one row with an empty reason. A ledger in which something
        was added has a column `n_added` too.
        """
        rows = []
        grows = any(entry.n_added for entry in self.entries)
        for entry in self.entries:
            about = (entry.stage, entry.kind, entry.source, entry.n_in, entry.n_out)
            for reason, n_dropped in sorted(entry.dropped.items()) or [("", 0)]:
                row = dict(zip(COLUMNS, (*about, reason, n_dropped)))
                rows.append(row | {"n_added": entry.n_added} if grows else row)
        return rows

    def to_frame(self) -> pd.DataFrame:
        """The rows as a pandas table."""
        import pandas as pd

        rows = self.rows()
        return pd.DataFrame(rows, columns=list(rows[0]) if rows else list(COLUMNS))

    def totals(self) -> pd.DataFrame:
        """One row a stage, all sources together, in order: stage, kind, n_in, n_out, n_dropped."""
        import pandas as pd

        table = pd.DataFrame(
            [(e.stage, e.kind, e.n_in, e.n_out, sum(e.dropped.values())) for e in self.entries],
            columns=["stage", "kind", "n_in", "n_out", "n_dropped"],
        )
        return table.groupby(["stage", "kind"], sort=False, as_index=False).sum()

    def write_csv(self, path: str | Path) -> Path:
        """Write the long form; return the path."""
        return write_csv(path, self.to_frame())

    @classmethod
    def read_csv(cls, path: str | Path) -> Ledger:
        """Read what `write_csv` wrote; a file that does not add up is a ValueError."""
        import pandas as pd

        table = pd.read_csv(path, keep_default_na=False)
        return cls.from_rows(table.to_dict("records"))

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Ledger:
        """Build a ledger from its long form.

        The rows of one entry stand together and end where they add up.
        """
        ledger = cls()
        head: tuple[str, StageKind, str, int, int] | None = None
        n_added = 0
        dropped: dict[str, int] = {}
        for row in rows:
            mine = (row["stage"], row["kind"], row["source"], int(row["n_in"]), int(row["n_out"]))
            if head is not None and (
                mine != head or sum(dropped.values()) >= head[3] + n_added - head[4]
            ):
                ledger.entries.append(Entry(*head, dropped=dropped, n_added=n_added))
                dropped = {}
            head, n_added = mine, int(row.get("n_added") or 0)
            if row["reason"]:
                dropped[row["reason"]] = int(row["n_dropped"])
        if head is not None:
            ledger.entries.append(Entry(*head, dropped=dropped, n_added=n_added))
        return ledger
