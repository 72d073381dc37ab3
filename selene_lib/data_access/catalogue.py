"""All data sets by name: what `selene sources`, `selene benchmarks` and `selene lock` list and act on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from selene_lib.data_access.loading import status_row
from selene_lib.data_access.lock import LOCK_FILE, lock
from selene_lib.data_access.spec import DataSpec, Role
from selene_lib.errors import UserError


def all_specs() -> dict[str, DataSpec]:
    """Return every spec by name: sources, benchmarks, domains, components, reference sets."""
    from selene_lib.benchmarks import BENCHMARKS, COMPONENTS, DOMAINS, EXTRAS, REFERENCES
    from selene_lib.sources import SOURCES

    return {**SOURCES, **BENCHMARKS, **DOMAINS, **COMPONENTS, **EXTRAS, **REFERENCES}


def find_spec(name: str | DataSpec) -> DataSpec:
    """Return the spec of a name (a spec is returned as it is); an unknown name is a UserError that lists the known ones."""
    if isinstance(name, DataSpec):
        return name
    specs = all_specs()
    if name not in specs:
        raise UserError(f"no data set {name!r}; known are {', '.join(sorted(specs))}")
    return specs[name]


def status_rows(data_dir: Path | str | None, *, roles: Iterable[Role] | None = None, lock_file: Path = LOCK_FILE) -> list[dict[str, Any]]:
    """Return one dict per set: name, role, task, licence, training, revision, shape_known_from, present, n, gated, how_to_get, ..."""
    wanted = None if roles is None else set(roles)
    return [status_row(spec, data_dir, lock_file) for spec in all_specs().values() if wanted is None or spec.role in wanted]


def list_rows(role: str, data_dir: Path | str | None) -> list[dict[str, Any]]:
    """Return the rows of `selene sources` (`role="sources"`) or of `selene benchmarks` (everything one is evaluated on)."""
    if role not in ("sources", "benchmarks"):
        raise UserError(f"no list {role!r}; say sources or benchmarks")
    return status_rows(data_dir, roles=("source",) if role == "sources" else ("benchmark", "domain", "component", "extra", "reference"))


def lock_all(names: Iterable[str] = (), *, lock_file: Path = LOCK_FILE, refresh: bool = False) -> dict[str, str]:
    """Lock the named hub sets, or all; return `{hub id: revision}`. See `lock.lock` for errors."""
    specs = [find_spec(name) for name in names] or list(all_specs().values())
    return lock(specs, path=lock_file, refresh=refresh)
