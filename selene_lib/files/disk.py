"""What a disk refuses, in whatever words a library says it: full, read-only, no rights."""

from __future__ import annotations

import errno

# rights, a read-only or full disk, a long name
REFUSED = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENAMETOOLONG,
}
# a file where a folder should be or the other way, a link to itself
IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}
REMEDY = "free some space, or name another place (SELENE_HOME for the results of a run)"
_PHRASES = ("No space left on device", "Read-only file system", "Disk quota exceeded")
_TORCH_WRITER = "inline_container.cc"  # torch.save reports a short write, and not why


def refusal(error: BaseException) -> str:
    """Say what the disk refused, as `No space left on device: FILE`; empty where it was not that.

    safetensors and torch raise errors of their own for a full disk, and a copied folder one error
    for all its files.
    """
    if isinstance(error, OSError) and error.errno in REFUSED | IN_THE_WAY:
        return f"{error.strerror}: {error.filename or 'disk'}"
    return refusal_in(str(error))


def remedy_of(error: BaseException) -> str:
    """Return what helps against what `refusal` says."""
    if isinstance(error, OSError) and error.errno in IN_THE_WAY:
        return "move away what lies there, or name another place"
    return REMEDY


def refusal_in(text: str) -> str:
    """As `refusal`, for the text of an error that happened elsewhere."""
    found = next((phrase for phrase in _PHRASES if phrase in text), "")
    if not found and _TORCH_WRITER in text and "unexpected pos" in text:
        found = "a file could not be written whole, as on a full disk"
    return found
