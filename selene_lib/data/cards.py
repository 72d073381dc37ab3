"""Dataset cards: what came of a load, as Markdown; one per source and one per mix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from selene_lib.data.loading import LoadResult
from selene_lib.data.parquet import iter_parquet
from selene_lib.records import Sample

FIELDS = ("instruction", "response", "response_b", "reference", "rubric")
CountTokens = Callable[[str], int]


@dataclass
class Summary:
    """Counts of a pass over samples: by (task, label), by task, by source, and lengths by field."""

    n: int = 0
    tasks: Counter = field(default_factory=Counter)
    labels: Counter = field(default_factory=Counter)
    sources: Counter = field(default_factory=Counter)
    groups: set[str] = field(default_factory=set)
    lengths: dict[str, list[int]] = field(default_factory=lambda: {name: [] for name in FIELDS})


def count_words(text: str) -> int:
    """Count the words of a text: the length shown where no tokenizer is given."""
    return len(text.split())


def summarise(samples: Iterable[Sample], count_tokens: CountTokens = count_words) -> Summary:
    """Count samples in one pass, without keeping them."""
    summary = Summary()
    for sample in samples:
        summary.n += 1
        summary.tasks[sample.task] += 1
        summary.labels[sample.task, sample.label or "none"] += 1
        summary.sources[sample.source] += 1
        summary.groups.add(sample.group)
        for name in FIELDS:
            if text := getattr(sample, name):
                summary.lengths[name].append(count_tokens(text))
    return summary


def dataset_card(result: LoadResult, *, count_tokens: CountTokens | None = None) -> str:
    """Return the card of one loaded set.

    Where from, licence, counts, label balance, lengths, hashes, and what was dropped and why.
    `count_tokens` counts the tokens of a text (`lambda text: len(tokenizer.encode(text))`); without
    it lengths are in words.
    """
    from selene_lib.data.catalogue import find_spec

    spec = find_spec(result.name)
    samples = iter_parquet(result.path) if result.path else result.samples
    summary = summarise(samples, count_tokens or count_words)
    facts = [
        ("licence", spec.licence),
        ("training allowed", spec.training),
        ("label", spec.label),
        (
            "read from",
            " / ".join(filter(None, (spec.hub_id, spec.repository, spec.repository_path)))
            or "local files",
        ),
        ("revision", result.revision),
        ("shape known from", spec.shape_known_from),
        ("rows read", f"{result.n_read:,}"),
        ("samples", f"{summary.n:,} in {len(summary.groups):,} groups of one prompt"),
        *(
            [("left out by the limit", f"{result.n_made - summary.n:,} of {result.n_made:,}")]
            if result.n_made != summary.n
            else []
        ),
        *([("notes", spec.notes)] if spec.notes else []),
    ]
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

    samples = (
        sample
        for result in results
        for sample in (iter_parquet(result.path) if result.path else result.samples)
    )
    summary = summarise(samples, count_tokens or count_words)
    rows = []
    for r in results:
        n = summary.sources[r.name]
        what = (f"{n:,}", _share(n, summary.n), f"{r.n_read:,}", f"{sum(r.n_dropped.values()):,}")
        rows.append((r.name, *what, r.licence, find_spec(r.name).training, r.revision))
    header = (
        "source",
        "samples",
        "share",
        "rows read",
        "dropped",
        "licence",
        "training allowed",
        "revision",
    )
    return "\n".join([f"# {title}\n", _table(header, rows), *_sections(summary, count_tokens)])


def _sections(summary: Summary, count_tokens: CountTokens | None) -> list[str]:
    unit = "words (no tokenizer was given)" if count_tokens is None else "tokens"
    tasks = [(task, f"{n:,}", _share(n, summary.n)) for task, n in sorted(summary.tasks.items())]
    labels = [
        (task, label, f"{n:,}", _share(n, summary.tasks[task]))
        for (task, label), n in sorted(summary.labels.items())
    ]
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
    rows = [
        (reason, f"{n:,}", _share(n, result.n_read))
        for reason, n in sorted(result.n_dropped.items(), key=lambda item: (-item[1], item[0]))
    ]
    return "## Dropped\n\n" + _table(("reason", "n", "of rows read"), rows)


def _quantiles(values: list[int]) -> tuple[str, ...]:
    array = np.asarray(values)
    return (
        f"{len(values):,}",
        *(
            f"{value:,.0f}"
            for value in (array.mean(), np.median(array), np.percentile(array, 95), array.max())
        ),
    )


def _share(n: int, total: int) -> str:
    return f"{n / total:.2%}" if total else "-"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        "| "
        + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in line)
        + " |\n"
        for line in lines
    )
