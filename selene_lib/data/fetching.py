"""Fetch publishers' own files at a fixed commit, each checked by its SHA-256.

A bundle is a list of files beside this module (`<bundle>_files.tsv`): where a file belongs in the
data folder, its repository, 40-hex commit and path, its size and hash. A broken transfer goes on
where it stopped; a file of another content is refused.
"""

from __future__ import annotations

import csv
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from selene_lib.data.catalogue import all_specs
from selene_lib.errors import UserError
from selene_lib.files import sha256_file

HERE = Path(__file__).parent
BUNDLES = ("laptop",)
# Where files of a public repository lie at a commit; a mirror may be named by SELENE_FILES_URL.
FILES_URL = "https://raw.githubusercontent.com"
TIMEOUT_SECONDS = 30
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class PublishedFile:
    """One file: its place below the data folder, and what is published where."""

    file: str
    repository: str
    commit: str
    path: str
    n_bytes: int
    sha256: str

    @property
    def url(self) -> str:
        root = os.environ.get("SELENE_FILES_URL", FILES_URL).rstrip("/")
        return f"{root}/{self.repository}/{self.commit}/{quote(self.path)}"


def bundle_files(bundle: str) -> list[PublishedFile]:
    """Return the files of a bundle; an unknown name is a UserError."""
    if bundle not in BUNDLES:
        raise UserError(f"no bundle {bundle!r}; there are {', '.join(BUNDLES)}")
    with open(HERE / f"{bundle}_files.tsv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return [
        PublishedFile(
            row["file"],
            row["repository"],
            row["commit"],
            row["path"],
            int(row["bytes"]),
            row["sha256"],
        )
        for row in rows
    ]


def licence_lines(files: Sequence[PublishedFile]) -> list[str]:
    """Return a line a repository: how many files, how large, and under which licence."""
    licences = {spec.repository: spec.licence for spec in all_specs().values() if spec.repository}
    lines = []
    for repository in dict.fromkeys(file.repository for file in files):
        mine = [file for file in files if file.repository == repository]
        megabytes = sum(file.n_bytes for file in mine) / 1e6
        licence = licences.get(repository, "none stated")
        lines.append(
            f"{repository} at {mine[0].commit[:12]}: {len(mine)} files, {megabytes:.1f} MB, "
            f"licence: {licence}"
        )
    return lines


def fetch_files(files: Iterable[PublishedFile], folder: Path) -> int:
    """Fetch what is not there yet into `folder`; return how many files were fetched.

    Raises UserError where a file cannot be reached or has another content than was published.
    """
    from tqdm.auto import tqdm

    missing = [file for file in files if not _is_whole(folder / file.file, file)]
    total = sum(file.n_bytes for file in missing)
    with tqdm(total=total, unit="B", unit_scale=True, desc="files", disable=not missing) as bar:
        for file in missing:
            _fetch(file, folder / file.file, bar)
    return len(missing)


def _is_whole(path: Path, file: PublishedFile) -> bool:
    return (
        path.is_file() and path.stat().st_size == file.n_bytes and sha256_file(path) == file.sha256
    )


def _fetch(file: PublishedFile, path: Path, bar: object) -> None:
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.is_file() else 0
    if have > file.n_bytes:  # of another file, or grown by two writers
        part.unlink()
        have = 0
    if have < file.n_bytes:
        _transfer(file, part, have, bar)
    found = sha256_file(part)
    if found != file.sha256:
        part.unlink()
        raise UserError(
            f"{file.url} has the SHA-256 {found}, published is {file.sha256}: try again later, or "
            f"copy {file.path} of {file.repository} at {file.commit} to {path}"
        )
    part.replace(path)


def _transfer(file: PublishedFile, part: Path, have: int, bar: object) -> None:
    """Append to `part` from byte `have` on; a server that ignores the range begins anew."""
    request = urllib.request.Request(file.url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
            goes_on = have > 0 and answer.status == 206
            bar.update(have if goes_on else 0)  # type: ignore[attr-defined]
            with open(part, "ab" if goes_on else "wb") as stream:
                while chunk := answer.read(_CHUNK_BYTES):
                    stream.write(chunk)
                    bar.update(len(chunk))  # type: ignore[attr-defined]
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise UserError(
            f"{file.url} cannot be fetched ({error}); connect and run the same command again, it "
            f"goes on where it was; or copy the file to {part.with_suffix('')}"
        ) from error
    if part.stat().st_size < file.n_bytes:
        raise UserError(
            f"{file.url} broke off after {part.stat().st_size} of {file.n_bytes} bytes; run the "
            "same command again, it goes on where it was"
        )
