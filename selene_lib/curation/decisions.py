"""The decision file of the ablation: a small YAML that a person may edit and git shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, shown
from selene_lib.files import write_text
from selene_lib.files.yaml_text import read_yaml, truth_of


def write_decisions(path: str | Path, decisions: Mapping[str, Any]) -> Path:
    """Write decisions as YAML; a reader may edit `keep` and `reward_threshold`."""
    import yaml

    return write_text(path, yaml.safe_dump(dict(decisions), sort_keys=False, allow_unicode=True))


def read_decisions(path: str | Path) -> dict[str, Any]:
    """Read decisions; a UserError names what is missing or is not a yes or no.

    `reward_threshold` is null, a number for all sources, or a mapping from source to number (`*`:
    all others).
    """
    found = read_yaml(path)
    if not isinstance(found, dict) or not isinstance(found.get("sources"), dict):
        raise UserError(f"{path}: no 'sources' in it; run notebook 03 again, or restore the file")
    for name, choice in found["sources"].items():
        keep = truth_of(choice.get("keep")) if isinstance(choice, dict) else None
        if keep is None:
            raise UserError(f"{path}: source {shown(name)} needs 'keep: true' or 'keep: false'")
        choice["keep"] = keep
    limit = found.get("reward_threshold")
    limits = limit if isinstance(limit, dict) else {"": limit}
    for source, value in limits.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and value == value):  # NaN is no threshold
            of = f" of source {shown(source)}" if source else ""
            raise UserError(f"{path}: reward_threshold {shown(value)}{of} is not a number or null")
    return found
