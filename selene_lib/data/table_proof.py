"""Whether a table may be written: not over a file that is read, nor over one that was not written
here or was edited since. The samples beside a table hold the hash that proves it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files import check_outputs, sha256_file

# columns of every version's samples, and what is noted in their file of the table beside it
_OF_SAMPLES = ("id", "task", "instruction", "response", "label")
_WRITTEN, _REPLACED = "selene_table_sha256", "selene_replaced_sha256"


def check_output(
    output: Path,
    store: Path,
    read: Iterable[str | os.PathLike | None] = (),
    more: Iterable[Path] = (),
) -> None:
    """Raise a UserError for an output that could not be written, or that would destroy a file: one
    that is `read`, or a table that was not written here or was edited since.
    `more` are further files that are written.
    """
    samples = samples_beside(output)
    if output.is_file() and output.stat().st_size and not store.exists():
        check_outputs([(output, None), (store, None)], read)  # what is read is told before
        raise UserError(
            f"{output} is there already and no replies of a judge are beside it ({store.name}); "
            "move it away or give another output"
        )
    check_outputs(
        [
            (output, lambda path: _is_as_written(path, samples)),
            (samples, _holds_samples),
            (store, None),  # what is no store is refused when it is opened
            (store.with_name(f"{store.name}.damaged"), None),
            *((path, None) for path in more),
        ],
        read,
    )


def samples_beside(output: Path) -> Path:
    """Where the samples lie that a table was judged from."""
    return output.with_name(f"{output.name}.samples.parquet")


def proof_of(table: Path, before: Path) -> dict[str, str]:
    """Return what is noted beside a table, so that one that was edited since is known: the hash of
    what was written, and of the table that it takes the place of until a moment later.
    """
    replaced = sha256_file(before) if before.is_file() else ""
    return {_WRITTEN: sha256_file(table), _REPLACED: replaced}


def _is_as_written(table: Path, samples: Path) -> bool:
    if not _holds_samples(samples):
        return False
    noted = _notes_of(samples)
    if _WRITTEN not in noted:  # an older version noted nothing
        return True
    return sha256_file(table) in (noted[_WRITTEN], noted.get(_REPLACED))


def _holds_samples(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return set(_OF_SAMPLES) <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
        return False


def _notes_of(path: Path) -> dict[str, str]:
    import pyarrow.parquet as pq

    noted = pq.read_metadata(path).metadata or {}
    return {name.decode(): value.decode("utf-8", "replace") for name, value in noted.items()}
