"""The lock file: which 40-hex revision of each hub data set is read.

Written by `selene lock`, kept in git, never typed by hand. A set that stands here is always read at
that revision; a set that does not is 'not locked yet' until the hub was asked once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from selene_lib.data.spec import DataSpec
from selene_lib.errors import UserError
from selene_lib.files import write_text
from selene_lib.files.yaml_text import read_yaml

LOCK_FILE = Path(__file__).parent / "sources" / "lock.yaml"
NOT_LOCKED = "not locked yet"
_HEAD = (
    "# Revisions of the hub data sets this project reads. "
    "Written by `selene lock`; do not edit by hand.\n"
)
_REVISION = re.compile(r"[0-9a-f]{40}")


def read_lock(path: Path = LOCK_FILE) -> dict[str, str]:
    """Return `{hub id: 40-hex revision}`; one of another form is a ValueError that names it."""
    rows: dict[str, str] = {}
    if path.is_file():
        rows = read_yaml(path, all_text=True) or {}
        if not isinstance(rows, dict):
            raise UserError(f"{path} holds no revisions by hub id; restore it, or delete it")
    for hub_id, revision in rows.items():
        if not _REVISION.fullmatch(str(revision)):
            raise ValueError(
                f"{path}: {hub_id} is locked at {revision!r}, which is no 40-hex revision; "
                f"run `selene lock {hub_id}` again"
            )
    return rows


def _write_lock(rows: Mapping[str, str], path: Path) -> Path:
    in_order = dict(sorted(rows.items()))
    return write_text(path, _HEAD + yaml.safe_dump(in_order, default_flow_style=False))


def revision_of(spec: DataSpec, path: Path = LOCK_FILE) -> str:
    """Return the revision a set is read at.

    The hub's if locked, `repository@commit` for a publisher's repository, or 'not locked yet'.
    """
    if spec.hub_id:
        locked = spec.hub_revision or read_lock(path).get(spec.hub_id)
        if locked:
            return locked
    known = _repository_revision(spec)
    if known:
        return known
    return NOT_LOCKED if spec.hub_id else "no revision: the publisher's files have no version"


def local_revision(spec: DataSpec) -> str:
    """Return what local files are taken for.

    The publisher's commit whose files the spec knows, else `local files` (see their hashes).
    """
    return _repository_revision(spec) or "local files"


def _repository_revision(spec: DataSpec) -> str:
    if spec.repository and spec.repository_commit:
        return f"{spec.repository}@{spec.repository_commit}"
    return ""


def lock_revisions(
    specs: Iterable[DataSpec], *, path: Path = LOCK_FILE, refresh: bool = False
) -> dict[str, str]:
    """Ask the hub for the current revision of every set that has none yet.

    Of all with `refresh`; a set whose spec names the revision its numbers belong to stays there.
    Writes the lock file and returns it. Raises UserError with the remedy
    when the hub cannot be reached or wants a token.
    """
    rows = read_lock(path)
    for spec in sorted((s for s in specs if s.hub_id), key=lambda s: str(s.hub_id)):
        hub_id = str(spec.hub_id)
        if spec.hub_revision is not None:
            rows[hub_id] = spec.hub_revision
        elif refresh or hub_id not in rows:
            rows[hub_id] = resolve_revision(hub_id)
        else:
            continue
        _write_lock(rows, path)
    return rows


def resolve_revision(hub_id: str) -> str:
    """Return the commit hash the hub names for a data set's main branch."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        revision = HfApi().dataset_info(hub_id).sha
    except HfHubHTTPError as error:
        raise UserError(
            f"{hub_id}: the hub refused ({error}); "
            "for a gated set accept its terms on its page and set HF_TOKEN"
        ) from error
    except (httpx.HTTPError, OSError) as error:
        raise UserError(
            f"{hub_id}: the hub cannot be reached ({error}); "
            "connect, or give local files with --data-dir"
        ) from error
    if not revision or not _REVISION.fullmatch(revision):
        raise UserError(
            f"{hub_id}: the hub named no 40-hex revision but {revision!r}; try again later"
        )
    return revision
