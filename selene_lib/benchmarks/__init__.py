"""What the judge is measured on: eleven benchmarks, two domain sets, components of LLM-AggreFact, reference tables. One file a set."""

from pathlib import Path

from selene_lib.benchmarks import (
    auto_j,
    biggen_bench,
    craft_md,
    evalbiasbench,
    financebench,
    hhh_alignment,
    infobench,
    instrusum,
    lfqa_eval,
    mt_bench,
)
from selene_lib.data_access.loading import load
from selene_lib.data_access.spec import BenchmarkSpec, DataSpec


def _by_name(*modules) -> dict[str, DataSpec]:
    return {module.SPEC.name: module.SPEC for module in modules}


BENCHMARKS = _by_name(biggen_bench, mt_bench, infobench, lfqa_eval, hhh_alignment, evalbiasbench, instrusum, auto_j)
DOMAINS = _by_name(craft_md, financebench)
COMPONENTS: dict[str, DataSpec] = {}
REFERENCES: dict[str, DataSpec] = {}

__all__ = ["BENCHMARKS", "COMPONENTS", "DOMAINS", "REFERENCES", "BenchmarkSpec", "load", "status_rows"]


def status_rows(data_dir: Path | str | None) -> list[dict]:
    """Return the rows of `selene benchmarks`."""
    from selene_lib.data_access.catalogue import list_rows

    return list_rows("benchmarks", data_dir)
