"""Where a command may write, checked before it asks or computes anything.

What is to be written must be no file that is read, no folder, device or pipe, and no file that
somebody else made: those would be gone before anybody could object.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from selene_lib.errors import UserError

# whether a file that is there is one that the same command made
IsOurs = Callable[[Path], bool]
# a name may have 255 bytes, and files beside an output have its name and more
_MAX_NAME_BYTES = 215
_OF_MODELS = (".json", ".safetensors", ".bin", ".txt", ".model", ".gguf", ".jinja", ".md", ".yaml")


def check_outputs(
    written: Sequence[tuple[Path, IsOurs | None]],
    read: Iterable[str | os.PathLike | None] = (),
) -> None:
    """Raise a UserError where a path must not be written to, or cannot be.

    `written` says of each path how a file of ours is known that may be replaced; None takes any
    regular file, as for what is appended to and proves itself. `read` are files, and folders of
    models; what is no path that exists is passed over.
    """
    sources = [path for given in read if given and (path := existing(given)) is not None]
    paths = [path for path, _ in written]
    for number, path in enumerate(paths):
        check_regular(path)
        if path.exists() and not os.access(path, os.W_OK):
            raise UserError(f"{path} is write-protected: give another name, or let it be changed")
        for source in sources:
            _check_not_read(path, source)
        for other in paths[:number]:
            if _is_same(path, other):
                raise UserError(f"{path} would be written twice, as {other} too: give another name")
    for path, is_ours in written:
        if is_ours is not None and _holds_something(path) and not is_ours(path):
            raise UserError(
                f"{path} is there already and was not written by this command, or was edited "
                "since; move it away or give another output"
            )
    for folder in dict.fromkeys(path.resolve().parent for path in paths):
        _check_takes_files(folder)


def existing(given: str | os.PathLike) -> Path | None:
    """Return what is given as a path where there is such a file or folder; a text is none."""
    try:
        path = Path(given)
        return path if path.exists() else None
    except (OSError, ValueError):  # too long for a name, or no name at all
        return None


def check_regular(path: Path) -> None:
    """Raise a UserError for a path at which no file can be: one that is there must be a regular
    one, or a symbolic link to such a one.
    """
    longest = len(os.fsencode(path.name))
    if longest > _MAX_NAME_BYTES:
        raise UserError(
            f"the name of {path.name[:40]}... is too long ({longest} bytes) for the files beside "
            f"it; give one of at most {_MAX_NAME_BYTES}"
        )
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return  # also a link to nothing: the file that it names is made
    except (OSError, ValueError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be written ({said}): give another name") from error
    if stat.S_ISDIR(mode):
        raise UserError(f"{path} is a folder: give the name of a file in it")
    if not stat.S_ISREG(mode):
        raise UserError(f"{path} is no regular file (a device or a pipe): give another name")


def check_folder(out: Path, read: Iterable[str | os.PathLike | None] = ()) -> None:
    """Raise a UserError for a folder to write into that is a file, or one of the folders that are
    read or inside one.
    """
    if not out.is_dir() and os.path.lexists(out):
        raise UserError(f"{str(out)!r} is no folder; give the name of a folder to make")
    for given in read:
        source = existing(given) if given else None
        if source is not None and source.is_dir() and _is_within(out, source):
            raise UserError(f"{out} is or lies in {source}, which is read: give another folder")


def _check_not_read(path: Path, source: Path) -> None:
    if _is_same(path, source):
        raise UserError(f"{path} is read by the same command (as {source}): give another output")
    if not source.is_dir() or not path.exists():
        return
    # tables may lie in the folder of a model, too
    parts = (one for one in source.iterdir() if one.suffix in _OF_MODELS and one.is_file())
    inside = next((one for one in parts if one.samefile(path)), None)
    if inside is not None:
        raise UserError(f"{path} is read by the same command (as {inside}): give another output")


def _is_same(path: Path, other: Path) -> bool:
    """Whether two names are of one file: by what they lead to, or by a hard link."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def _is_within(path: Path, folder: Path) -> bool:
    """Whether a path, which need not be there, is a folder or lies anywhere below it."""
    inside = path.resolve()
    return any(one.exists() and one.samefile(folder) for one in (inside, *inside.parents))


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _check_takes_files(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"cannot write into {folder} ({error.strerror})") from error
