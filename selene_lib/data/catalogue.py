"""All data sets by name.

`selene sources`, `selene benchmarks` and `selene lock` list and act on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from selene_lib.data.hub import how_to_get
from selene_lib.data.local import count_rows, is_present
from selene_lib.data.revisions import LOCK_FILE, lock, revision_of
from selene_lib.data.spec import DataSpec, Role
from selene_lib.errors import UserError


def all_specs() -> dict[str, DataSpec]:
    """Return every spec by name: sources, benchmarks, domains, components, reference sets."""
    from selene_lib.data.benchmarks import BENCHMARKS, COMPONENTS, DOMAINS, EXTRAS, REFERENCES
    from selene_lib.data.sources import SOURCES

    return {**SOURCES, **BENCHMARKS, **DOMAINS, **COMPONENTS, **EXTRAS, **REFERENCES}


def find_spec(name: str | DataSpec) -> DataSpec:
    """Return the spec of a name (a spec is returned as it is).

    An unknown name is a UserError that lists the known ones.
    """
    if isinstance(name, DataSpec):
        return name
    specs = all_specs()
    if name not in specs:
        raise UserError(f"no data set {name!r}; known are {', '.join(sorted(specs))}")
    return specs[name]


def status_rows(
    data_dir: Path | str | None, *, roles: Iterable[Role] | None = None, lock_file: Path = LOCK_FILE
) -> list[dict[str, Any]]:
    """Return one dict per set.

    Its keys: name, role, task, licence, training, revision, shape_known_from, present, n, gated,
    how_to_get, ...
    """
    wanted = None if roles is None else set(roles)
    return [
        status_row(spec, data_dir, lock_file)
        for spec in all_specs().values()
        if wanted is None or spec.role in wanted
    ]


def status_row(
    spec: DataSpec, data_dir: Path | str | None, lock_file: Path = LOCK_FILE
) -> dict[str, Any]:
    """One line of `selene sources` or `selene benchmarks`.

    `n` is counted where the set is present, else the published count or None.
    """
    present = is_present(spec, data_dir)
    return {
        "name": spec.name,
        "role": spec.role,
        "task": spec.task,
        "licence": spec.licence,
        "training": spec.training,
        "revision": revision_of(spec, lock_file),
        "shape_known_from": spec.shape_known_from,
        "hub_shape_known_from": (spec.hub_shape_known_from or spec.shape_known_from)
        if spec.hub_id
        else None,
        "present": present,
        "n": count_rows(spec, data_dir) if present else spec.published_n,
        "gated": spec.gated,
        "stand_in": spec.stand_in,
        "how_to_get": how_to_get(spec),
        "title": spec.title,
    }


def list_rows(role: str, data_dir: Path | str | None) -> list[dict[str, Any]]:
    """Return the rows of `selene sources` or of `selene benchmarks`.

    `role="sources"` is the former; the latter holds everything one is evaluated on.
    """
    if role not in ("sources", "benchmarks"):
        raise UserError(f"no list {role!r}; say sources or benchmarks")
    return status_rows(
        data_dir,
        roles=("source",)
        if role == "sources"
        else ("benchmark", "domain", "component", "extra", "reference"),
    )


def lock_all(
    names: Iterable[str] = (), *, lock_file: Path = LOCK_FILE, refresh: bool = False
) -> dict[str, str]:
    """Lock the named hub sets, or all; return `{hub id: revision}`. See `lock.lock` for errors."""
    specs = [find_spec(name) for name in names] or list(all_specs().values())
    return lock(specs, path=lock_file, refresh=refresh)
