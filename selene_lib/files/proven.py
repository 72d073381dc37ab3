"""Small JSON files that prove themselves: a checksum over all they say stands in them.

What decides whether work is used again (a finished training, a kept outcome) must not be believed
after a bit of it flipped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files.whole import is_special, write_json

CHECKSUM = "checksum"


class DamagedError(UserError):
    """A file is not what was written."""


def write_proven(path: str | os.PathLike, values: Mapping[str, Any]) -> Path:
    """Write a JSON object with a checksum over the rest of it, whole or not at all."""
    return write_json(path, {**values, CHECKSUM: _checksum(values)})


def read_proven(path: str | os.PathLike) -> dict[str, Any]:
    """Read what `write_proven` wrote, without the checksum.

    Raises DamagedError for a file that is not what was written. One without a checksum (of an older
    version) is taken as it is.
    """
    if is_special(path):
        raise DamagedError(f"{path}: not a regular file")
    try:
        found = json.loads(Path(path).read_bytes().decode())
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise DamagedError(f"{path}: not a JSON object")
    checksum = found.pop(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(found):
        raise DamagedError(f"{path}: its checksum does not fit")
    return found


def _checksum(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def move_aside(path: Path) -> Path:
    """Move a damaged file or folder to `damaged/` beside it; return where it is now.

    Nothing that was computed is deleted: whoever looks can see what happened to it.
    """
    aside = path.parent / "damaged"
    aside.mkdir(parents=True, exist_ok=True)
    target, number = aside / path.name, 1
    while target.exists():
        number += 1
        target = aside / f"{path.name}-{number}"
    os.replace(path, target)
    return target
