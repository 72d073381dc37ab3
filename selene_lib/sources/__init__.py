"""What the judge is trained on: sixteen public sources that stand in for the unpublished list of the paper (**our choice**), and the
further sets of which small public files exist. One file per source."""

from pathlib import Path

from selene_lib.data_access.loading import load
from selene_lib.data_access.spec import DataSpec, SourceSpec
from selene_lib.sources import alpaca_eval_cot, auto_j_training, halueval, hh_rlhf


def _by_name(*modules) -> dict[str, DataSpec]:
    return {module.SPEC.name: module.SPEC for module in modules}


SOURCES = _by_name(hh_rlhf, halueval, auto_j_training, alpaca_eval_cot)

__all__ = ["SOURCES", "SourceSpec", "load", "status_rows"]


def status_rows(data_dir: Path | str | None) -> list[dict]:
    """Return the rows of `selene sources`."""
    from selene_lib.data_access.catalogue import list_rows

    return list_rows("sources", data_dir)
