"""The one check that every adapter passes.

Three sound rows and a malformed one, in the publisher's shape.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from published_shapes_after import SHAPES as AFTER_SHAPES
from published_shapes_of_benchmarks import SHAPES as BENCHMARK_SHAPES
from published_shapes_of_sources import SHAPES as SOURCE_SHAPES

from selene_lib.data import LoadResult, find_spec, load
from selene_lib.files import read_jsonl

SHAPES = {**SOURCE_SHAPES, **BENCHMARK_SHAPES, **AFTER_SHAPES}


def free_of_counts(name: str):
    """The spec of a set without its published counts, which three rows cannot have."""
    return replace(find_spec(name), published_n=None, n_rows={}, expected_n={})


def write_rows(name: str, data_dir: Path, *, n: int = 3, spoil: bool = True) -> Path:
    """Write n sound rows (and a malformed one before the last) as the publisher's files.

    Return the set's folder.
    """
    spec, shape = find_spec(name), SHAPES[name]
    folder = data_dir / (spec.folder or spec.name)
    folder.mkdir(parents=True)
    records = [shape.record(i) for i in range(n)]
    if spoil:
        records.insert(n - 1, shape.spoil(shape.record(n)))
    shape.write(folder, records)
    return folder


def check_adapter(name: str, tmp_path: Path) -> LoadResult:
    """Load the rows with one malformed and check samples, quarantine and the strict error.

    Return the tolerant result.
    """
    spec, shape = free_of_counts(name), SHAPES[name]
    write_rows(name, tmp_path)
    quarantine = tmp_path / "quarantine.jsonl"
    result = load(spec, data_dir=tmp_path, max_broken_share=0.5, quarantine=quarantine)
    broken = read_jsonl(quarantine)
    assert [row["set"] for row in broken] == [name] and shape.column in broken[0]["column"]
    assert sum(n for reason, n in result.n_dropped.items() if reason.startswith("broken")) == 1
    _check_samples(result, shape, spec)
    with pytest.raises(ValueError, match="not of the published shape") as caught:
        load(spec, data_dir=tmp_path)
    assert (
        name in str(caught.value)
        and shape.column in str(caught.value)
        and "row" in str(caught.value)
    )
    return result


def _check_samples(result: LoadResult, shape, spec) -> None:
    assert result.present and len({s.id for s in result.samples}) == len(result.samples)
    first = result.samples[: len(shape.labels)]
    for sample, label in zip(first, shape.labels, strict=True):
        assert sample.label == label if label != "A/B" else sample.label in ("A", "B")
    for sample in result.samples:
        assert (
            sample.source == spec.name
            and sample.licence == spec.licence
            and sample.group.startswith("prompt-")
        )
        assert sample.task == spec.task and sample.instruction.strip() and sample.response.strip()
        assert sample.score is None or 1 <= sample.score <= 5
        if sample.label is not None and sample.task == "absolute":
            assert sample.label == str(int(sample.score + 0.5))
