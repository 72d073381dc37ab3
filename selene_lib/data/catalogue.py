"""All data sets by name.

`selene sources`, `selene benchmarks` and `selene lock` list and act on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from selene_lib.data.hub import how_to_get
from selene_lib.data.local import count_rows, expected_rows, is_present
from selene_lib.data.revisions import LOCK_FILE, lock_revisions, revision_of
from selene_lib.data.spec import DataSpec, Role
from selene_lib.errors import UserError, shown
from selene_lib.records import TASKS

_ROLES: dict[str, tuple[Role, ...]] = {
    "sources": ("source",),
    "benchmarks": (
        "benchmark",
        "domain",
        "component",
        "extra",
        "after",
        "reference",
        "shifted",
    ),
}


def all_specs() -> dict[str, DataSpec]:
    """Return every spec by name: sources, sets that can be judged, reference sets."""
    from selene_lib.data.benchmarks import JUDGED, REFERENCES
    from selene_lib.data.real_tasks import TEST_PARTS, TRAINING_PARTS, TRANSFER_SETS
    from selene_lib.data.sources import SOURCES

    published = {**SOURCES, **JUDGED, **REFERENCES}
    return {**published, **TRAINING_PARTS, **TEST_PARTS, **TRANSFER_SETS}


def find_spec(name: str | DataSpec) -> DataSpec:
    """Return the spec of a name (a spec is returned as it is).

    An unknown name is a UserError that lists the known ones.
    """
    if isinstance(name, DataSpec):
        return name
    specs = all_specs()
    if name not in specs:
        raise UserError(f"no data set {shown(name)}; known are {', '.join(sorted(specs))}")
    return specs[name]


def _status_row(spec: DataSpec, data_dir: Path | str | None) -> dict[str, Any]:
    present = is_present(spec, data_dir)
    counts = count_rows(spec, data_dir) if present and data_dir else {}
    hub_shape = spec.hub_shape_known_from or spec.shape_known_from
    return {
        "name": spec.name,
        "role": spec.role,
        "task": spec.task,
        "licence": spec.licence,
        "training": spec.training,
        "revision": revision_of(spec),
        "shape_known_from": spec.shape_known_from,
        "hub_shape_known_from": hub_shape if spec.hub_id else None,
        "present": present,
        "runnable": spec.task in TASKS,
        "n": sum(counts.values()) if counts else spec.published_n,
        "n_expected": expected_rows(spec, counts) if counts else spec.published_n,
        "read_from": _parts(counts),
        "gated": spec.gated,
        "stand_in": spec.stand_in,
        "how_to_get": how_to_get(spec),
        "title": spec.title,
    }


def _parts(counts: Mapping[str, int]) -> str:
    """Return which files are read, with their rows where there are several; the first three."""
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{name} ({n:,})" for name, n in list(counts.items())[:3]]
    if len(counts) > len(shown):
        shown.append(f"and {len(counts) - len(shown)} more")
    return ", ".join(shown)


def list_rows(role: str, data_dir: Path | str | None) -> list[dict[str, Any]]:
    """Return the rows of `selene sources` or of `selene benchmarks`, one dict per set.

    `role="sources"` is the former; the latter holds everything one is evaluated on. Keys: name,
    role, task, licence, training, revision, shape_known_from, present, n, gated, how_to_get, ...;
    `n` is counted where the set is present, else the published count or None.
    """
    if role not in _ROLES:
        raise UserError(f"no list {role!r}; say {' or '.join(_ROLES)}")
    wanted = [spec for spec in all_specs().values() if spec.role in _ROLES[role]]
    return [_status_row(spec, data_dir) for spec in wanted]


def lock_all(
    names: Iterable[str] = (), *, lock_file: Path = LOCK_FILE, refresh: bool = False
) -> dict[str, str]:
    """Lock the named hub sets, or all; return `{hub id: revision}`.

    The errors are those of `lock_revisions`.
    """
    specs = [find_spec(name) for name in names] or list(all_specs().values())
    return lock_revisions(specs, path=lock_file, refresh=refresh)
