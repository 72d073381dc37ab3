"""The small tables that every figure is drawn from, in one file: a published run redraws itself.

`07_report/tables.zip` is committed with the report; `selene figures` of a fresh clone draws from
it. It holds no text of an item unless the run shows texts.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from selene_lib.figures import results as files
from selene_lib.files import atomic_path

WHOLE = (
    f"{files.EXPLORE}/ledger.csv",
    f"{files.CURATE}/ledger.csv",
    f"{files.CURATE}/rewards.csv",
    f"{files.ABLATE}/ablation.csv",
    f"{files.ABLATE}/threshold_sweep.csv",
    f"{files.TRAIN}/training.csv",
    f"{files.TRAIN}/ledger.csv",
    f"{files.EVALUATE}/task_means.csv",
    f"{files.EVALUATE}/yes_no.csv",
    f"{files.DOMAINS}/domain_scores.csv",
    f"{files.DOMAINS}/formats.csv",
    f"{files.DOMAINS}/arena.csv",
    f"{files.DOMAINS}/audit.csv",
)
DECISIONS, EXAMPLE = f"{files.ABLATE}/decisions.yaml", f"{files.CURATE}/example_pair.json"
OVERLAPS, MAP = f"{files.EXPLORE}/overlaps.csv", f"{files.EXPLORE}/topic_map.csv"
SCORES = f"{files.EVALUATE}/scores.csv"
CATALOGUES = (f"{files.EXPLORE}/sources.csv", f"{files.EXPLORE}/benchmarks.csv")


def keep_tables(result_dir: Path, out: Path, *, show_texts: bool) -> Path:
    """Write what the figures of a run are drawn from as one ZIP; return its path.

    Numbers keep six digits and records lose their ids. The same tables give the same bytes.
    """
    contents = dict(_tables(Path(result_dir)))
    contents |= dict(_other_files(Path(result_dir), show_texts))
    with (
        atomic_path(Path(out)) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
    ):
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name), contents[name], zipfile.ZIP_DEFLATED, 9)
    return Path(out)


@contextmanager
def kept_results(archive: Path, run: str) -> Iterator[Path]:
    """Offer what `keep_tables` wrote as a result folder with the name of the run."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / run
        target.mkdir()
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(target)
        yield target


def _tables(result_dir: Path) -> Iterator[tuple[str, str]]:
    for name in WHOLE:
        yield from _as_text(name, files.run_table(result_dir, name))
    for name in CATALOGUES:
        table = files.run_table(result_dir, name)
        columns = [c for c in ("name", "n", "role") if table is not None and c in table]
        yield from _as_text(name, None if table is None else table[columns])
    scores = files.run_table(result_dir, SCORES)
    yield from _as_text(SCORES, None if scores is None else files.headline_rows(scores))
    yield from _as_text(OVERLAPS, _without_ids(files.run_table(result_dir, OVERLAPS)))
    topics = files.run_table(result_dir, MAP)
    if topics is not None:
        topics = topics.drop(columns=[c for c in ("id", "source") if c in topics]).round(4)
    yield from _as_text(MAP, topics)
    yield from _as_text(files.KEPT_BINS, files.reliability_table(result_dir))


def _as_text(name: str, table: pd.DataFrame | None) -> Iterator[tuple[str, str]]:
    if table is not None:
        yield name, table.to_csv(index=False, float_format="%.6g")


def _without_ids(overlaps: pd.DataFrame | None) -> pd.DataFrame | None:
    """Number the records of each set: a count needs to tell them apart, and no more."""
    if overlaps is None or overlaps.empty:
        return overlaps
    numbered = overlaps.drop(columns=[c for c in ("similarity",) if c in overlaps])
    for column in ("train_id", "bench_id"):
        record = numbered[column].astype(str).str.split("#").str[0]
        number = pd.Series(pd.factorize(record)[0], index=record.index).astype(str)
        numbered[column] = record.str.rsplit("-", n=1).str[0] + "-" + number
    return numbered.drop_duplicates(ignore_index=True)


def _other_files(result_dir: Path, show_texts: bool) -> Iterator[tuple[str, str]]:
    for name in (DECISIONS, *([EXAMPLE] if show_texts else [])):
        if (result_dir / name).is_file():
            yield name, (result_dir / name).read_text(encoding="utf-8")
    counts = files.pair_counts(result_dir)
    if counts:
        yield files.KEPT_PAIRS, json.dumps(counts)
    model = files.base_model(files.run_object(result_dir, "manifest.json") or {})
    about = {files.TRAIN: {"parameters": {"base_model": model}}}
    yield "manifest.json", json.dumps({"run": result_dir.name, "steps": about if model else {}})
