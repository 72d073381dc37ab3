"""Whether labelled items stand in a public benchmark: a score there would then say nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from selene_lib.contamination.overlaps import find_overlaps
from selene_lib.contamination.samples import all_texts, sample_id
from selene_lib.data.benchmarks import BENCHMARKS
from selene_lib.data.loading import load
from selene_lib.data.local import is_present
from selene_lib.records import Sample


def benchmark_overlap(samples: Sequence[Sample], data_dir: str | Path | None) -> str:
    """Return one line on how many samples share text with which of the judged benchmarks whose
    files lie in `data_dir`, or that none was looked at.
    """
    if data_dir is None:
        return "overlap with the benchmarks: not looked for (no --data-dir with their files)"
    folder, found, seen = Path(data_dir), Counter[str](), []
    for name, spec in BENCHMARKS.items():
        if not is_present(spec, folder):
            continue
        seen.append(name)
        bench = load(spec, data_dir=folder, seed=0).samples
        hits = find_overlaps(all_texts(samples), all_texts(bench))
        found[name] = len({sample_id(hit.train_id) for hit in hits})
    counts = ", ".join(f"{name} {n}" for name, n in found.items() if n)
    looked = f"{len(seen)} of {len(BENCHMARKS)} benchmarks looked at"
    if counts:
        return f"warning: labelled items that stand in a benchmark too: {counts} ({looked})"
    return f"no labelled item stands in a benchmark ({looked})"
