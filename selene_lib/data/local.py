"""The publisher's own files in a local folder.

Where they must lie, whether they are there, and their records in a fixed order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from selene_lib.data.readers import read_records
from selene_lib.data.spec import DataSpec
from selene_lib.errors import UserError


def read_local(spec: DataSpec, data_dir: Path | str) -> Iterator[tuple[str, Any]]:
    """Yield `(place, record)` of the local files of a set.

    They come in the order of the spec's patterns and of the names.
    """
    folder = _set_folder(spec, data_dir)
    if spec.rows is not None:
        yield from spec.rows(folder, spec)
        return
    for name, path in local_files(spec, data_dir).items():
        yield from read_records(path, name)


def local_files(spec: DataSpec, data_dir: Path | str) -> dict[str, Path]:
    """Return the local files of a set as `{name below its folder: path}`.

    Empty when one of the needed patterns matches nothing.
    """
    folder = _set_folder(spec, data_dir)
    found: dict[str, Path] = {}
    for entry in spec.files:
        matches = _first_matches(folder, entry.split(" | "))
        if not matches:
            return {}
        found.update({path.relative_to(folder).as_posix(): path for path in matches})
    return found


def _first_matches(folder: Path, alternatives: Sequence[str]) -> list[Path]:
    """Return the files of the first alternative that has any; its patterns stand apart by ` + `."""
    for alternative in alternatives:
        matches = {path for pattern in alternative.split(" + ") for path in folder.glob(pattern)}
        if matches:
            return sorted(matches)
    return []


def _set_folder(spec: DataSpec, data_dir: Path | str) -> Path:
    """Return `<data_dir>/<name>`; a data folder that does not exist is a UserError."""
    root = Path(data_dir)
    if not root.is_dir():
        wanted = f"holding a folder per set (such as {spec.folder or spec.name}/)"
        raise UserError(
            f"the data folder {root} does not exist; give one with --data-dir, {wanted}"
        )
    return root / (spec.folder or spec.name)


def is_present(spec: DataSpec, data_dir: Path | str | None) -> bool:
    """Tell whether all files a set needs lie in the data folder."""
    return data_dir is not None and bool(local_files(spec, data_dir))


def way_in(spec: DataSpec, data_dir: Path | str | None) -> Literal["local", "hub"] | None:
    """Tell how a set can be read.

    From the data folder where its files lie there, else from the hub where it is, else not (None).
    """
    if is_present(spec, data_dir):
        return "local"
    return "hub" if spec.hub_id else None


def count_rows(spec: DataSpec, data_dir: Path | str) -> dict[str, int]:
    """Count the rows of each local file that is read, without making samples of them.

    A set that joins or rearranges its files is counted by the file its records come from.
    """
    counts: Counter[str] = Counter()
    for place, _ in read_local(spec, data_dir):
        counts[place.rpartition(", row ")[0]] += 1
    return dict(counts)


def expected_rows(spec: DataSpec, files: Iterable[str]) -> int | None:
    """Return how many rows the publisher gives for these files, None where one is not known."""
    known = {**spec.n_rows, **spec.expected_n}
    rows = [known.get(file) for file in files]
    if rows and None not in rows:
        return sum(row for row in rows if row is not None)
    return spec.published_n
