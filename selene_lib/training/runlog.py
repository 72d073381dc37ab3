"""Two CSV files of a run: `log.csv` must repeat to the last digit, `telemetry.csv` may not."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from selene_lib.files import write_text

LOG_COLUMNS = ("step", "loss", "dpo", "nll", "margin", "reward_accuracy", "learning_rate")
TELEMETRY_COLUMNS = (
    "step",
    "seconds",
    "tokens",
    "tokens_per_second",
    "pairs_per_second",
    "peak_memory_bytes",
    "n_micro_batches",
    "event",
)


class StepLog:
    """One row per optimiser step, appended and flushed.

    A continued run first forgets the rows after its checkpoint; one from the start reads none.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], *, from_step: int) -> None:
        self.path, self.columns = path, columns
        rows = read_log(path) if from_step and path.exists() else []
        kept = [row for row in rows if int(row["step"]) <= from_step]
        write_text(path, _as_csv(columns, kept, header=True))

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; floats are written with all their digits."""
        with open(self.path, "a", encoding="utf-8", newline="") as stream:
            stream.write(_as_csv(self.columns, [row], header=False))


def read_log(path: Path) -> list[dict[str, str]]:
    """Rows of a log; a last line that a kill cut short is left out."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(io.StringIO(whole)))


def _as_csv(columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]], *, header: bool) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows([_plain(row.get(name, "")) for name in columns] for row in rows)
    return stream.getvalue()


def _plain(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value


def peak_memory_bytes() -> int:
    """Peak of this process so far.

    On a GPU what torch allocated, else the resident set of the whole process, whatever it did
    before.
    """
    import resource

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
