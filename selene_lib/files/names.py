"""Names and texts that can be written on every system."""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
# no file may be called so on Windows, with any ending
_RESERVED = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
PLAIN_NAME = (
    "use letters, digits, '-' and '_' only, at most 64, and no name that Windows keeps for itself "
    "(con, nul, com1, ...)"
)
NO_TEXT = "a NUL or half of a surrogate pair, which are no characters"


def is_writable(text: str) -> bool:
    """Whether a text holds characters only (see `NO_TEXT`)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def is_plain_name(name: str) -> bool:
    """Whether a name is one of letters, digits, '-' and '_' that a folder may have everywhere."""
    return bool(_PLAIN.fullmatch(name)) and not _RESERVED.fullmatch(name)
