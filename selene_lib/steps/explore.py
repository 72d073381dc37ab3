"""Notebook 01: what the training samples repeat of the evaluation sets, and the trusted development
set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.data.collection import Collection, chosen_names, is_embedded_set, spec_of
from selene_lib.files import write_parquet
from selene_lib.ledger import Ledger
from selene_lib.records import Sample

if TYPE_CHECKING:
    from selene_lib.contamination import Overlap


def drop_contaminated(
    samples: Sequence[Sample], overlaps: Sequence[Overlap], ledger: Ledger
) -> list[Sample]:
    """Take out the training samples that an evaluation set repeats; each is counted under the
    method that found it.
    """
    from selene_lib.contamination import remove_contaminated, sample_id

    removal = remove_contaminated(samples, overlaps)
    kept = {s.id for s in removal.kept}
    method = {
        sample_id(o.train_id): f"in an evaluation set ({o.method})" for o in reversed(overlaps)
    }
    ledger.add_records(
        "contamination",
        samples,
        removal.kept,
        {s.id: method[s.id] for s in samples if s.id not in kept},
    )
    return removal.kept


def overlap_frame(overlaps: Sequence[Overlap]) -> Any:
    """Return the overlaps as a table with the columns train_id, bench_id, method, similarity, also
    where there are none.
    """
    import pandas as pd

    rows = [(o.train_id, o.bench_id, o.method, o.similarity) for o in overlaps]
    return pd.DataFrame(rows, columns=["train_id", "bench_id", "method", "similarity"])


def overlap_table(
    overlaps: Sequence[Overlap], training: Sequence[Sample], evaluation: Sequence[Sample]
) -> Any:
    """Return how many training samples of each source repeat text of each evaluation set, by
    method.
    """
    import pandas as pd

    from selene_lib.contamination import sample_id

    home = {s.id: s.source for s in [*training, *evaluation]}
    found = {
        (home[sample_id(o.train_id)], home[sample_id(o.bench_id)], o.method, sample_id(o.train_id))
        for o in overlaps
    }
    counts = Counter((source, name, method) for source, name, method, _ in found)
    return pd.DataFrame(
        [(*key, n) for key, n in sorted(counts.items())],
        columns=["source", "set", "method", "n_training_samples"],
    )


def write_development_set(path: Path, evaluation: Collection, *, n_dev: int, seed: int) -> int:
    """Write trusted items to decide the ablations on: `n_dev` items a task type of the embedded
    world, none of which is evaluated on.

    A run on published data has no such set (its validation pairs serve instead): the file then
    holds no row.
    """
    from selene_lib import nano

    names = [name for name in evaluation.samples if name in nano.NANO_SETS]
    taken = {s.id for s in evaluation.all()} | {_text_of(s) for s in evaluation.all()}
    found: dict[str, list[Sample]] = {}
    for name in names:
        for sample in nano.make_set(name, 2 * n_dev, seed=seed + 1_000_003):
            if (
                not sample.meta.get("ood")
                and sample.id not in taken
                and _text_of(sample) not in taken
            ):
                found.setdefault(sample.task, []).append(sample)
    chosen = [sample for samples in found.values() for sample in samples[:n_dev]]
    write_parquet(path, chosen, Sample)
    return len(chosen)


def _text_of(sample: Sample) -> str:
    return "\x1f".join(
        map(str, (sample.instruction, sample.reference, sample.response, sample.response_b))
    )


def scan_whole_sets(names: str, sets: str, *, data_dir: str, seed: int) -> Any:
    """Return the overlap table of the complete local sources and sets, not of a run's sample; empty
    without a data folder.

    Columns as in `overlap_table`. What is not in the data folder is left out here; the tables above
    name it.
    """
    from selene_lib.contamination import all_texts, find_overlaps
    from selene_lib.data import is_present, load

    folder = Path(data_dir) if data_dir else None
    sides: list[list[Sample]] = []
    for role, chosen in (("source", names), ("benchmark", sets)):
        specs = [
            spec_of(name, role)
            for name in chosen_names(chosen, "sources" if role == "source" else "sets")
            if not is_embedded_set(name)
        ]
        sides.append(
            [
                s
                for spec in specs
                if is_present(spec, folder)
                for s in load(spec, data_dir=folder, seed=seed).samples
            ]
        )
    overlaps = find_overlaps(all_texts(sides[0]), all_texts(sides[1])) if all(sides) else []
    return overlap_table(overlaps, *sides)
