"""Data sets in: specs, local files and hub, lock file, strict loading, quarantine, cards."""

from selene_lib.data.cards import dataset_card, mix_card
from selene_lib.data.catalogue import all_specs, find_spec, list_rows, lock_all
from selene_lib.data.hub import how_to_get
from selene_lib.data.loading import LoadResult, load, load_to_parquet
from selene_lib.data.local import count_rows, is_present, local_files, way_in
from selene_lib.data.parquet import iter_parquet
from selene_lib.data.revisions import LOCK_FILE, NOT_LOCKED, lock_revisions, read_lock, revision_of
from selene_lib.data.spec import BrokenRow, DataSpec, DropRow, Row

__all__ = [
    "LOCK_FILE",
    "NOT_LOCKED",
    "BrokenRow",
    "DataSpec",
    "DropRow",
    "LoadResult",
    "Row",
    "all_specs",
    "count_rows",
    "dataset_card",
    "find_spec",
    "how_to_get",
    "is_present",
    "iter_parquet",
    "list_rows",
    "load",
    "load_to_parquet",
    "local_files",
    "lock_all",
    "lock_revisions",
    "mix_card",
    "read_lock",
    "revision_of",
    "way_in",
]
