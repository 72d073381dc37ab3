"""Rows of a hub data set at its locked revision. Code of a data set's repository is never run.

`datasets` streams data files (Parquet, JSON Lines, CSV) and refuses a repository that holds a
loading script and no data files. Where it would read a file into memory as a whole (one JSON
array), the spec names the files: they are fetched and read as local files are.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selene_lib.data.readers import read_records
from selene_lib.data.revisions import LOCK_FILE, lock_revisions
from selene_lib.data.spec import DataSpec
from selene_lib.errors import UserError


def read_hub(spec: DataSpec, *, lock_file: Path = LOCK_FILE) -> Iterator[tuple[str, Any]]:
    """Yield `(place, record)` of a hub set.

    At first contact its revision is resolved and written to the lock file. Raises UserError with
    the remedy where the set has no hub repository, is gated, absent or out of reach.
    """
    if not spec.hub_id:
        raise UserError(
            f"{spec.name} is not on the hub; {how_to_get(spec)}, and name the data folder"
        )
    revision = lock_revisions([spec], path=lock_file)[spec.hub_id]
    if spec.hub_files:
        yield from _fetch_files(spec, spec.hub_id, revision)
    else:
        yield from _stream(spec, revision)


def _stream(spec: DataSpec, revision: str) -> Iterator[tuple[str, Any]]:
    """Stream with `datasets`; `hub_config` and `hub_split` may name several, parted by commas."""
    configs = (spec.hub_config or "").split(",")
    for config in configs:
        for split in spec.hub_split.split(","):
            part = "/".join(name for name in (spec.hub_id, config, split) if name)
            for number, record in enumerate(_open(spec, config or None, split, revision), 1):
                if len(configs) > 1:
                    record = {**record, "hub_config": config}
                yield f"{part}, row {number}", record


def _open(spec: DataSpec, config: str | None, split: str, revision: str) -> Any:
    import datasets
    import httpx

    try:
        return datasets.load_dataset(
            spec.hub_id, config, split=split, revision=revision, streaming=True
        )
    except (
        datasets.exceptions.DatasetsError,
        httpx.HTTPError,
        ValueError,
        OSError,
        RuntimeError,
    ) as error:
        raise _unreadable(spec, revision, error) from error


def _fetch_files(spec: DataSpec, hub_id: str, revision: str) -> Iterator[tuple[str, Any]]:
    import httpx
    import huggingface_hub

    paths = {}
    try:
        names = huggingface_hub.HfApi().list_repo_files(
            hub_id, repo_type="dataset", revision=revision
        )
        for pattern in spec.hub_files:
            for name in fnmatch.filter(sorted(names), pattern):
                paths[name] = huggingface_hub.hf_hub_download(
                    hub_id, name, repo_type="dataset", revision=revision
                )
    except (httpx.HTTPError, ValueError, OSError) as error:
        raise _unreadable(spec, revision, error) from error
    if not paths:
        raise UserError(
            f"{spec.name}: {hub_id} at {revision} has no file {' or '.join(spec.hub_files)}; "
            "its layout changed"
        )
    for name, path in paths.items():
        yield from read_records(Path(path), f"{hub_id}/{name}")


def _unreadable(spec: DataSpec, revision: str, error: Exception) -> UserError:
    return UserError(
        f"{spec.name}: {spec.hub_id} at {revision} cannot be read ({error}); {how_to_get(spec)}"
    )


def how_to_get(spec: DataSpec) -> str:
    """Say in one sentence how a user comes by the files of a set."""
    ways = []
    if spec.hub_id and spec.gated:
        ways.append(
            f"accept the terms at huggingface.co/datasets/{spec.hub_id}, set HF_TOKEN, "
            "then read it from the hub"
        )
    elif spec.hub_id:
        ways.append(f"read it from the hub ({spec.hub_id})")
    if spec.repository:
        commit = f" at {spec.repository_commit}" if spec.repository_commit else ""
        folder = f", {spec.repository_path}" if spec.repository_path else ""
        ways.append(
            f"copy {_wanted(spec)} of {spec.repository}{folder}{commit} "
            f"into <data-dir>/{spec.folder or spec.name}/"
        )
    elif spec.hub_id:
        ways.append(f"put its data files into <data-dir>/{spec.folder or spec.name}/")
    return "; or ".join(ways)


def _wanted(spec: DataSpec) -> str:
    return ", ".join(entry.split(" | ")[0] for entry in spec.files)
