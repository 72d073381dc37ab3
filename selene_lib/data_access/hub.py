"""Rows of a hub data set at its locked revision, streamed by `datasets`. Code of a data set's repository is never run.

`datasets` reads data files only (Parquet, JSON, CSV); a repository that holds a loading script and no data files is refused by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selene_lib.data_access.lock import LOCK_FILE, lock
from selene_lib.data_access.spec import DataSpec
from selene_lib.errors import UserError


def read_hub(spec: DataSpec, *, lock_file: Path = LOCK_FILE) -> Iterator[tuple[str, Any]]:
    """Yield `(place, record)` of a hub set; at first contact its revision is resolved and written to the lock file.

    `hub_config` and `hub_split` of the spec may name several, parted by commas. Raises UserError with the remedy where the set is gated,
    absent or out of reach.
    """
    revision = lock([spec], path=lock_file)[spec.hub_id]
    for config in (spec.hub_config or "").split(","):
        for split in spec.hub_split.split(","):
            part = "/".join(name for name in (spec.hub_id, config, split) if name)
            for number, record in enumerate(_open(spec, config or None, split, revision), 1):
                if config and spec.hub_config and "," in spec.hub_config:
                    record = {**record, "hub_config": config}
                yield f"{part}, row {number}", record


def _open(spec: DataSpec, config: str | None, split: str, revision: str) -> Any:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return datasets.load_dataset(spec.hub_id, config, data_files=spec.hub_data_files, split=split, revision=revision, streaming=True)
    except (datasets.exceptions.DatasetNotFoundError, HfHubHTTPError) as error:
        raise UserError(f"{spec.name}: {how_to_get(spec)} ({error})") from error
    except (ValueError, OSError) as error:
        raise UserError(f"{spec.name}: {spec.hub_id} at {revision} cannot be read ({error}); {how_to_get(spec)}") from error


def how_to_get(spec: DataSpec) -> str:
    """Say in one sentence how a user comes by the files of a set."""
    ways = []
    if spec.hub_id and spec.gated:
        ways.append(f"accept the terms at huggingface.co/datasets/{spec.hub_id}, set HF_TOKEN, then read it from the hub")
    elif spec.hub_id:
        ways.append(f"read it from the hub ({spec.hub_id})")
    if spec.repository:
        commit = f" at {spec.repository_commit}" if spec.repository_commit else ""
        folder = f", {spec.repository_path}" if spec.repository_path else ""
        ways.append(f"copy {_wanted(spec)} of {spec.repository}{folder}{commit} into <data-dir>/{spec.folder or spec.name}/")
    elif spec.hub_id:
        ways.append(f"put its data files into <data-dir>/{spec.folder or spec.name}/")
    return "; or ".join(ways)


def _wanted(spec: DataSpec) -> str:
    return ", ".join(entry.split(" | ")[0] for entry in spec.files)
