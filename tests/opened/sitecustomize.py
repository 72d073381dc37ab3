"""Python runs this first where its folder is on the path: it notes which files a process opens.

One log a process in the folder that `SELENE_OPENED` names. pyarrow opens its files beyond Python's
sight, so its one reader that is used here is noted when it is called.
"""

from __future__ import annotations

import os
import sys

FOLDER = os.environ.get("SELENE_OPENED")


def note(path: object) -> None:
    if isinstance(path, (str, os.PathLike)) and "artefacts" in os.fspath(path):
        os.write(LOG, f"{os.path.abspath(path)}\n".encode("utf-8", "surrogateescape"))


def hook(event: str, arguments: tuple) -> None:
    if event in ("open", "os.listdir", "os.scandir") and arguments:
        note(arguments[0])
    parquet = sys.modules.get("pyarrow.parquet")
    plain = getattr(parquet, "read_table", None)
    if plain is not None and not hasattr(plain, "noted"):

        def read_table(source: object, *args: object, **options: object) -> object:
            note(source)
            return plain(source, *args, **options)

        read_table.noted = True  # type: ignore[attr-defined]
        parquet.read_table = read_table  # type: ignore[union-attr]


if FOLDER:
    os.makedirs(FOLDER, exist_ok=True)
    LOG = os.open(os.path.join(FOLDER, str(os.getpid())), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.addaudithook(hook)
