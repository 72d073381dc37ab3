"""Dataset cards: what came of a load, as Markdown; one per source and one per mix."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from selene_lib.data.loading import LoadResult
from selene_lib.data.parquet import iter_parquet
from selene_lib.records import Sample

_FIELDS = ("instruction", "response", "response_b", "reference", "rubric")
CountTokens = Callable[[str], int]


@dataclass
class _Summary:
    """Counts of a pass over samples: by (task, label), by task, by source, and lengths by field."""

    n: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    groups: set[str] = field(default_factory=set)
    lengths: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in _FIELDS})


def _count_words(text: str) -> int:
    return len(text.split())


def _summarise(samples: Iterable[Sample], count_tokens: CountTokens | None) -> _Summary:
    """Count samples in one pass, without keeping them."""
    count = count_tokens or _count_words
    summary = _Summary()
    for sample in samples:
        summary.n += 1
        summary.tasks[sample.task] += 1
        summary.labels[sample.task, sample.label or "none"] += 1
        summary.sources[sample.source] += 1
        summary.groups.add(sample.group)
        for name in _FIELDS:
            if text := getattr(sample, name):
                summary.lengths[name].append(count(text))
    return summary


def _samples_of(result: LoadResult) -> Iterable[Sample]:
    return iter_parquet(result.path) if result.path else result.samples


def dataset_card(result: LoadResult, *, count_tokens: CountTokens | None = None) -> str:
    """Return the card of one loaded set.

    Where from, licence, counts, label balance, lengths, hashes, and what was dropped and why.
    `count_tokens` counts the tokens of a text (`lambda text: len(tokenizer.encode(text))`); without
    it lengths are in words.
    """
    from selene_lib.data.catalogue import find_spec

    spec = find_spec(result.name)
    summary = _summarise(_samples_of(result), count_tokens)
    places = filter(None, (spec.hub_id, spec.repository, spec.repository_path))
    facts = [
        ("licence", spec.licence),
        ("training allowed", spec.training),
        ("label", spec.label),
        ("read from", " / ".join(places) or "local files"),
        ("revision", result.revision),
        ("shape known from", spec.shape_known_from),
        ("rows read", f"{result.n_read:,}"),
        ("samples", f"{summary.n:,} in {len(summary.groups):,} groups of one prompt"),
    ]
    if result.n_made != summary.n:
        n_left_out = result.n_made - summary.n
        facts.append(("left out by the limit", f"{n_left_out:,} of {result.n_made:,}"))
    if spec.notes:
        facts.append(("notes", spec.notes))
    parts = [
        f"# {spec.title}\n",
        _table(("", ""), facts),
        *_sections(summary, count_tokens),
        _dropped(result),
    ]
    if result.files:
        parts.append("## Files\n\n" + _table(("file", "SHA-256"), sorted(result.files.items())))
    return "\n".join(parts)


def mix_card(
    results: Sequence[LoadResult], *, title: str = "Mix", count_tokens: CountTokens | None = None
) -> str:
    """Return the card of several loaded sets together.

    One line per set, then counts, label balance and lengths of all.
    """
    from selene_lib.data.catalogue import find_spec

    samples = itertools.chain.from_iterable(_samples_of(result) for result in results)
    summary = _summarise(samples, count_tokens)
    rows = []
    for r in results:
        n = summary.sources[r.name]
        what = (f"{n:,}", _share(n, summary.n), f"{r.n_read:,}", f"{sum(r.n_dropped.values()):,}")
        rows.append((r.name, *what, r.licence, find_spec(r.name).training, r.revision))
    counts = ("samples", "share", "rows read", "dropped")
    header = ("source", *counts, "licence", "training allowed", "revision")
    return "\n".join([f"# {title}\n", _table(header, rows), *_sections(summary, count_tokens)])


def _sections(summary: _Summary, count_tokens: CountTokens | None) -> list[str]:
    unit = "words (no tokenizer was given)" if count_tokens is None else "tokens"
    tasks = [(task, f"{n:,}", _share(n, summary.n)) for task, n in sorted(summary.tasks.items())]
    labels = []
    for (task, label), n in sorted(summary.labels.items()):
        labels.append((task, label, f"{n:,}", _share(n, summary.tasks[task])))
    lengths = [(name, *_quantiles(values)) for name, values in summary.lengths.items() if values]
    return [
        "## Counts by task\n\n" + _table(("task", "samples", "share"), tasks),
        "## Label balance\n\n" + _table(("task", "label", "samples", "share of the task"), labels),
        f"## Lengths in {unit}\n\n"
        + _table(("field", "n", "mean", "median", "95th percentile", "longest"), lengths),
    ]


def _dropped(result: LoadResult) -> str:
    if not result.n_dropped:
        return "## Dropped\n\nNothing was dropped.\n"
    most_first = sorted(result.n_dropped.items(), key=lambda item: (-item[1], item[0]))
    rows = [(reason, f"{n:,}", _share(n, result.n_read)) for reason, n in most_first]
    return "## Dropped\n\n" + _table(("reason", "n", "of rows read"), rows)


def _quantiles(values: list[int]) -> tuple[str, ...]:
    array = np.asarray(values)
    shown = (array.mean(), np.median(array), np.percentile(array, 95), array.max())
    return f"{len(values):,}", *(f"{value:,.0f}" for value in shown)


def _share(n: int, total: int) -> str:
    return f"{n / total:.2%}" if total else "-"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(_cell, line))} |\n" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
