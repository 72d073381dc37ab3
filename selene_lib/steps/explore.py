"""Notebook 01: what training samples repeat of evaluation sets, and the development set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from selene_lib.contamination import (
    METHODS,
    REMOVING,
    Overlap,
    all_texts,
    find_overlaps,
    remove_contaminated,
    sample_id,
)
from selene_lib.data import is_present, load
from selene_lib.data.collection import Collection, chosen_names, is_embedded_set, spec_of
from selene_lib.errors import UserError
from selene_lib.files import write_parquet
from selene_lib.ledger import Ledger
from selene_lib.prompts.rendering import render
from selene_lib.records import Sample


def drop_contaminated(
    samples: Sequence[Sample], overlaps: Sequence[Overlap], ledger: Ledger, drop: str = ""
) -> list[Sample]:
    """Take out the training samples that an evaluation set repeats.

    `drop` names the methods whose findings count, comma separated (default: `REMOVING`); the others
    are reported and take nothing out. Each sample is counted in the ledger under the method that
    found it first. An unknown method is a UserError.
    """
    methods = tuple(name.strip() for name in drop.split(",") if name.strip()) or REMOVING
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise UserError(f"no method {unknown[0]!r} of finding overlaps; {', '.join(METHODS)} are")
    kept = remove_contaminated(samples, overlaps, methods=methods).kept
    method: dict[str, str] = {}
    for overlap in (o for o in overlaps if o.method in methods):
        reason = f"in an evaluation set ({overlap.method})"
        method.setdefault(sample_id(overlap.train_id), reason)
    kept_ids = {s.id for s in kept}
    reasons = {s.id: method[s.id] for s in samples if s.id not in kept_ids}
    ledger.add_records("contamination", samples, kept, reasons)
    return kept


def shown_sample(samples: Sequence[Sample], family: str = "nano") -> str:
    """Return one sample as a judge is shown it, with the label that people gave it.

    It is the first that has a reference, else the first.
    """
    sample = next((s for s in samples if s.reference), samples[0])
    prompt = render(sample, family=family).text
    gold = sample.label if sample.label is not None else sample.score
    return f"{prompt}\n\n({sample.source}, {sample.task}; the label says {gold})"


def overlap_frame(overlaps: Sequence[Overlap]) -> pd.DataFrame:
    """Return the overlaps as a table with the columns train_id, bench_id, method, similarity."""
    columns = ["train_id", "bench_id", "method", "similarity"]
    return pd.DataFrame([vars(overlap) for overlap in overlaps], columns=columns)


def overlap_table(
    overlaps: Sequence[Overlap], training: Sequence[Sample], evaluation: Sequence[Sample]
) -> pd.DataFrame:
    """Return how many training samples of a source repeat text of a set, by method."""
    home = {s.id: s.source for s in [*training, *evaluation]}
    found: dict[tuple[str, str, str], set[str]] = {}
    for overlap in overlaps:
        sample, item = sample_id(overlap.train_id), sample_id(overlap.bench_id)
        found.setdefault((home[sample], home[item], overlap.method), set()).add(sample)
    return pd.DataFrame(
        [(*key, len(samples)) for key, samples in sorted(found.items())],
        columns=["source", "set", "method", "n_training_samples"],
    )


def write_development_set(path: Path, evaluation: Collection, *, n_dev: int, seed: int) -> int:
    """Write trusted items to decide the ablations on; return how many.

    They are `n_dev` items a task type of the embedded world, none of which is evaluated on. A run
    on published data has no such set (its validation pairs serve instead): the file then holds no
    row.
    """
    from selene_lib import nano

    names = [name for name in evaluation.samples if name in nano.NANO_SETS]
    taken = {s.id for s in evaluation.all()} | {_text_of(s) for s in evaluation.all()}
    found: dict[str, list[Sample]] = {}
    for name in names:
        for sample in nano.make_set(name, 2 * n_dev, seed=seed + 1_000_003):
            if sample.meta.get("ood") or taken & {sample.id, _text_of(sample)}:
                continue
            found.setdefault(sample.task, []).append(sample)
    chosen = [sample for samples in found.values() for sample in samples[:n_dev]]
    write_parquet(path, chosen, Sample)
    return len(chosen)


def _text_of(sample: Sample) -> str:
    parts = (sample.instruction, sample.reference, sample.response, sample.response_b)
    return "\x1f".join(map(str, parts))


def scan_whole_sets(sources: str, sets: str, *, data_dir: str, seed: int) -> pd.DataFrame:
    """Return the overlap table of the complete local sources and sets, not of a run's sample.

    Empty without a data folder. Columns as in `overlap_table`. What is not in the data folder is
    left out here; the tables above name it.
    """
    folder = Path(data_dir) if data_dir else None
    training = _whole(chosen_names(sources, "sources"), "source", folder, seed)
    evaluation = _whole(chosen_names(sets, "sets"), "benchmark", folder, seed)
    if not training or not evaluation:
        return overlap_table([], training, evaluation)
    methods = [name for name in METHODS if name != "embedding"]  # minutes on whole sets
    overlaps = find_overlaps(all_texts(training), all_texts(evaluation), methods=methods)
    return overlap_table(overlaps, training, evaluation)


def _whole(names: Sequence[str], role: str, folder: Path | None, seed: int) -> list[Sample]:
    """Every sample of the named sets that lie in the data folder."""
    samples: list[Sample] = []
    for name in names:
        if is_embedded_set(name):
            continue
        spec = spec_of(name, role)
        if is_present(spec, folder):
            samples += load(spec, data_dir=folder, seed=seed).samples
    return samples
