"""Preference pairs as others read them: Parquet, TRL's format, a `DatasetDict` with its card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from selene_lib.files import write_jsonl, write_parquet, write_text
from selene_lib.ledger import Ledger
from selene_lib.records import PreferencePair

if TYPE_CHECKING:
    from datasets import DatasetDict


def export_pairs(
    train: Sequence[PreferencePair],
    validation: Sequence[PreferencePair],
    folder: str | Path,
    *,
    title: str = "Preference pairs",
    ledger: Ledger | None = None,
) -> list[Path]:
    """Write both splits and their card; return the paths.

    Each split is written as Parquet (all fields), then as JSON Lines in TRL's conversational
    preference format; the card is README.md.
    """
    folder = Path(folder)
    paths = []
    for name, pairs in (("train", train), ("validation", validation)):
        paths.append(write_parquet(folder / f"{name}.parquet", pairs, PreferencePair))
        paths.append(write_jsonl(folder / f"{name}_trl.jsonl", (p.to_trl() for p in pairs)))
    card = pairs_card(train, validation, title=title, ledger=ledger)
    return [*paths, write_text(folder / "README.md", card)]


def to_dataset_dict(
    train: Sequence[PreferencePair], validation: Sequence[PreferencePair]
) -> DatasetDict:
    """A `datasets.DatasetDict` of both splits in TRL's format plus id, source, task and licence.

    `push_to_hub` takes it.
    """
    from datasets import Dataset, DatasetDict

    about = ("id", "source", "task", "licence", "with_critique")
    splits = DatasetDict()
    for name, pairs in (("train", train), ("validation", validation)):
        rows = [pair.to_trl() | {key: getattr(pair, key) for key in about} for pair in pairs]
        if rows:
            splits[name] = Dataset.from_list(rows)
    return splits


def pairs_card(
    train: Sequence[PreferencePair],
    validation: Sequence[PreferencePair],
    *,
    title: str,
    ledger: Ledger | None = None,
) -> str:
    """The README.md of the dataset on the hub: licences, counts, columns, the ledger's totals.

    The licence field is `other`: the pairs carry the licences of their sources, one a row.
    """
    pairs = [*train, *validation]
    counts = Counter((p.source, p.task, p.licence or "not stated") for p in pairs)
    rows = [
        f"| {source} | {task} | {n} | {licence} |"
        for (source, task, licence), n in sorted(counts.items())
    ]
    share = sum(p.with_critique for p in pairs) / len(pairs) if pairs else 0.0
    lines = [
        "---",
        "license: other",
        "task_categories: [text-generation]",
        "tags: [preference, llm-as-a-judge, dpo]",
        "---",
        f"# {title}",
        "",
        f"{len(train)} training and {len(validation)} validation pairs; {share:.0%} with a "
        "critique, the others with the judgement only. Both splits are apart by prompt. `prompt`, "
        "`chosen` and `rejected` are lists of chat messages, as TRL's DPO trainer reads them.",
        "",
        "| source | task | pairs | licence of the source |",
        "|---|---|---|---|",
        *rows,
    ]
    if ledger is not None:
        lines += [
            "",
            "## How they were selected",
            "",
            "| stage | in | out | dropped |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {r.stage} | {r.n_in} | {r.n_out} | {r.n_dropped} |"
            for r in ledger.totals().itertuples()
        ]
    return "\n".join(lines) + "\n"
