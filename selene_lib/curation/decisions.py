"""The decision file of the ablation: a small YAML that a person may edit and git shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import write_text


def write_decisions(path: str | Path, decisions: Mapping[str, Any]) -> Path:
    """Write decisions as YAML; a reader may edit `keep` and `reward_threshold`."""
    import yaml

    return write_text(path, yaml.safe_dump(dict(decisions), sort_keys=False, allow_unicode=True))


def read_decisions(path: str | Path) -> dict[str, Any]:
    """Read decisions; a UserError names what is missing or is not a yes or no.

    `reward_threshold` is null, a number for all sources, or a mapping from source to number (`*`:
    all others).
    """
    import yaml

    found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, dict) or not isinstance(found.get("sources"), dict):
        raise UserError(f"{path}: no 'sources' in it; run notebook 03 again, or restore the file")
    for name, choice in found["sources"].items():
        if not isinstance(choice, dict) or not isinstance(choice.get("keep"), bool):
            raise UserError(f"{path}: source {name!r} needs 'keep: true' or 'keep: false'")
    limit = found.get("reward_threshold")
    limits = limit if isinstance(limit, dict) else {"": limit}
    for source, value in limits.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            of = f" of source {source!r}" if source else ""
            raise UserError(f"{path}: reward_threshold {value!r}{of} is not a number or null")
    return found
