"""Shared fixtures: the folder of real published files, where a machine has one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# jsonschema compiles grammars of addresses on import, three seconds a worker, that no notebook uses
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]

REPOSITORY = Path(__file__).resolve().parent.parent
# one thread a worker: the same sums in every process, and no crowding
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")  # the workers of the suite take the cores already
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

LONGEST = ("test_smoke_chain.py", "test_readme_commands.py", "test_training_run.py")
SLOW_FILE = "\npytestmark = pytest.mark.slow\n"


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: a core idles while a test waits for a server, a browser or a kill."""
    return (os.cpu_count() or 1) + 1


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that are slow as a whole where no slow test is wanted: importing them alone
    takes half a minute.
    """
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return SLOW_FILE in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that no worker ends alone with one of them."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The publishers' own files, one folder a set: `SELENE_DATA_DIR`, else `../shared/data` beside
    the repository.
    """
    folder = Path(os.environ.get("SELENE_DATA_DIR", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no published data here: set SELENE_DATA_DIR to a folder with one folder a set")
    return folder


@pytest.fixture(scope="session")
def data_after_dir() -> Path:
    """The files of sets after the paper: `SELENE_DATA_AFTER_DIR`, else `../shared/data_after`."""
    beside = REPOSITORY.parent / "shared" / "data_after"
    folder = Path(os.environ.get("SELENE_DATA_AFTER_DIR", beside))
    if not folder.is_dir():
        pytest.skip("no files of the sets after the paper here: set SELENE_DATA_AFTER_DIR")
    return folder
