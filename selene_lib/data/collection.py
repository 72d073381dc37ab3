"""What a run reads: its training samples and the sets it is evaluated on.

Embedded or published, counted and written. `nano` stands for everything the embedded world has. Any
other name is a source of `selene_lib.data.sources` or a set of `selene_lib.data.benchmarks`, read
from the hub or from a local folder by the same adapter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from selene_lib import nano
from selene_lib.data.cards import dataset_card
from selene_lib.data.hub import how_to_get
from selene_lib.data.loading import load
from selene_lib.data.local import way_in
from selene_lib.data.spec import DataSpec
from selene_lib.errors import UserError, did_you_mean, shown
from selene_lib.files import read_parquet, write_parquet, write_text
from selene_lib.ledger import Ledger
from selene_lib.records import Sample

if TYPE_CHECKING:
    import pandas as pd

EMBEDDED_DATA = "nano"
SHIFTED = "shifted"  # a set out of the training distribution: scored, but no part of the task means
SCORED_ROLES = ("benchmark", SHIFTED, "component", "extra", "after")
"""Roles of the sets of notebook 05; only `benchmark` sets are part of the task means."""


@dataclass
class Collection:
    """Samples by set, one table row a set, and a dataset card a set that was read."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    cards: dict[str, str] = field(default_factory=dict)

    def all(self) -> list[Sample]:
        """Return every sample, set after set."""
        return [sample for samples in self.samples.values() for sample in samples]

    def table(self) -> pd.DataFrame:
        """Return the rows as a table: name, role, task, n, labels, licence, status."""
        import pandas as pd

        return pd.DataFrame(self.rows)


@dataclass(frozen=True)
class _Reader:
    """How the sets of one collection are read: at most `n` samples each."""

    n: int
    data_dir: str
    seed: int
    ledger: Ledger
    quarantine: Path

    def read(self, found: Collection, name: str, role: str) -> None:
        """Add a set to `found`: its samples, its row of the table and its card."""
        if is_embedded_set(name):
            self._read_embedded(found, name, role)
            return
        spec = spec_of(name, role)
        folder = Path(self.data_dir) if self.data_dir else None
        way = way_in(spec, folder)
        if way is None:
            status = f"not available: {how_to_get(spec)}"
            found.rows.append(_row(name, spec.role, spec.task, [], spec.licence, status))
            return
        result = load(
            spec,
            data_dir=folder if way == "local" else None,
            limit=self.n,
            seed=self.seed,
            quarantine=self.quarantine,
            progress=True,
        )
        n_left_out = {"not in this run's sample": result.n_made - result.n_samples}
        self.ledger.add("read", name, result.n_items, dict(result.n_dropped))
        self.ledger.add("sample", name, result.n_made, n_left_out)
        tasks = _tasks(result.samples)
        found.samples[name] = result.samples
        found.rows.append(_row(name, spec.role, tasks, result.samples, spec.licence, "read"))
        found.cards[name] = dataset_card(result)

    def _read_embedded(self, found: Collection, name: str, role: str) -> None:
        role, samples = _embedded(name, role, self.n, self.seed)
        self.ledger.add("generate", name, len(samples), {})
        found.samples[name] = samples
        found.rows.append(_row(name, role, _tasks(samples), samples, "generated", "generated"))


def collect_sources(
    names: str,
    *,
    n_per_source: int,
    data_dir: str,
    seed: int,
    ledger: Ledger,
    quarantine: Path,
    max_text_characters: int = 0,
) -> Collection:
    """Read the training sources in `names`, at most `n_per_source` each.

    `names` are comma separated, or `nano`. What was dropped is counted. Raises `UserError` for an
    unknown name, a source that is not there (with how to get it) and a source that gives no sample.
    Texts over `max_text_characters` are cut (`cut_texts`); 0 keeps them whole.
    """
    found = Collection()
    reader = _Reader(n_per_source, data_dir, seed, ledger, quarantine)
    for name in chosen_names(names, "sources"):
        reader.read(found, name, "source")
        if not found.samples.get(name):
            raise UserError(f"source {name} gave no sample: {found.rows[-1]['status']}")
        found.samples[name] = cut_texts(found.samples[name], max_text_characters)
    return found


def collect_sets(
    names: str,
    *,
    n_per_set: int,
    data_dir: str,
    seed: int,
    ledger: Ledger,
    quarantine: Path,
    max_text_characters: int = 0,
) -> Collection:
    """Read the evaluation sets in `names`.

    An absent one stands in the table as `not available: how to get it`, never left out. Any set
    that can be judged may be named; a training source is then an `extra` set. All eleven benchmarks
    and both domain sets are in the table of every run. `max_text_characters` as for sources, so
    that a judge is asked about texts as long as those it was trained on.
    """
    from selene_lib.data.benchmarks import BENCHMARKS, DOMAINS

    found = Collection()
    reader = _Reader(n_per_set, data_dir, seed, ledger, quarantine)
    wanted = chosen_names(names, "sets")
    for name in wanted:
        reader.read(found, name, "benchmark")
    for name, samples in found.samples.items():
        found.samples[name] = cut_texts(samples, max_text_characters)
    for spec in (*BENCHMARKS.values(), *DOMAINS.values()):
        if spec.name not in wanted:
            status = f"not asked for by this run; {how_to_get(spec)}"
            found.rows.append(_row(spec.name, spec.role, spec.task, [], spec.licence, status))
    return found


def cut_texts(samples: Sequence[Sample], max_characters: int) -> list[Sample]:
    """Cut instructions, responses and references to their first `max_characters`, at a word's end,
    with a mark; 0 keeps them whole.

    A small model reads and learns short texts in minutes. How many characters went stands in
    `meta["n_cut_characters"]`.
    """
    if max_characters <= 0:
        return list(samples)
    return [_cut(sample, max_characters) for sample in samples]


def _cut(sample: Sample, max_characters: int) -> Sample:
    shorter: dict[str, str] = {}
    n_cut = 0
    for name in ("instruction", "response", "response_b", "reference"):
        text = getattr(sample, name)
        if text is not None and len(text) > max_characters:
            kept = text[:max_characters].rsplit(" ", 1)[0]
            shorter[name] = f"{kept} ..."
            n_cut += len(text) - len(kept)
    if not shorter:
        return sample
    meta = {**sample.meta, "n_cut_characters": n_cut}
    return replace(sample, meta=meta, **shorter)  # type: ignore[arg-type]


def chosen_names(names: str, what: Literal["sources", "sets"]) -> list[str]:
    """Return the names of a comma separated list, with `nano` spelt out."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise UserError(f"no {what} named; write a comma separated list, or {EMBEDDED_DATA}")
    others = [name for name in chosen if name != EMBEDDED_DATA]
    if EMBEDDED_DATA not in chosen:
        return others
    if what == "sources":
        return [*nano.NANO_SOURCES, *others]
    return [*nano.NANO_SETS, *nano.NANO_DOMAINS, *others]


def _embedded(name: str, role: str, n: int, seed: int) -> tuple[str, list[Sample]]:
    role = _embedded_role(name, role)
    if role == "source":
        return role, nano.make_source(name, n, seed=seed)
    if role == "domain":
        return role, nano.make_domain(name, n, seed=seed)
    samples = nano.make_set(name, n, seed=seed)
    return SHIFTED if all(s.meta.get("ood") for s in samples) else role, samples


def _embedded_role(name: str, role: str) -> str:
    """Return `role`, or `domain` for a set that is one; an unknown name is a UserError."""
    if role == "source":
        if name not in nano.NANO_SOURCES:
            raise UserError(
                f"unknown source {shown(name)}; "
                f"the embedded ones are {', '.join(nano.NANO_SOURCES)}"
            )
        return role
    if name in nano.NANO_DOMAINS:
        return "domain"
    if name not in nano.NANO_SETS:
        known = ", ".join([*nano.NANO_SETS, *nano.NANO_DOMAINS])
        raise UserError(f"unknown set {shown(name)}; the embedded ones are {known}")
    return role


def spec_of(name: str, role: str) -> DataSpec:
    """Return the spec of a source or of a set; an unknown name is a UserError."""
    from selene_lib.data.benchmarks import JUDGED, REFERENCES
    from selene_lib.data.real_tasks import TEST_PARTS, TRAINING_PARTS, TRANSFER_SETS
    from selene_lib.data.sources import SOURCES

    if role == "source":
        known = {**SOURCES, **TRAINING_PARTS}
    else:
        sources = {name: replace(spec, role="extra") for name, spec in SOURCES.items()}
        known = {**JUDGED, **TEST_PARTS, **TRANSFER_SETS, **sources}
        if name in REFERENCES:
            raise UserError(f"{name} is a table of {REFERENCES[name].task}, not items to be judged")
    if name not in known:
        hint = did_you_mean(name, known)
        raise UserError(f"unknown {role} {shown(name)}; {hint}known: {', '.join(known)}")
    return known[name]


def check_names(names: str, what: Literal["sources", "sets"]) -> None:
    """Raise UserError for a name in a comma separated list that is no source or set."""
    role = "source" if what == "sources" else "benchmark"
    for name in chosen_names(names, what):
        if is_embedded_set(name):
            _embedded_role(name, role)
        else:
            spec_of(name, role)


def _tasks(samples: Sequence[Sample]) -> str:
    return "+".join(sorted({s.task for s in samples}))


def _row(
    name: str, role: str, task: str, samples: Sequence[Sample], licence: str, status: str
) -> dict[str, Any]:
    labels = Counter(s.label if s.label is not None else "score only" for s in samples)
    shown = ", ".join(f"{label} {n}" for label, n in sorted(labels.items()))
    return {
        "name": name,
        "role": role,
        "task": task,
        "n": len(samples),
        "labels": shown,
        "licence": licence,
        "status": status,
    }


def write_sets(folder: Path, collection: Collection) -> None:
    """Write one Parquet file a set into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in collection.samples.items():
        write_parquet(folder / f"{name}.parquet", samples, Sample)


def read_sets(folder: Path, names: Iterable[str] | None = None) -> dict[str, list[Sample]]:
    """Read what `write_sets` wrote, by name in sorted order."""
    paths = sorted(Path(folder).glob("*.parquet"))
    wanted = None if names is None else set(names)
    if wanted is not None:
        paths = [path for path in paths if path.stem in wanted]
    return {path.stem: read_parquet(path, Sample) for path in paths}


def write_cards(folder: Path, collection: Collection) -> None:
    """Write one Markdown card a set; an embedded set's card says that it is generated."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in collection.rows:
        name = row["name"]
        facts = "\n".join(f"- {key}: {value}" for key, value in row.items() if key != "name")
        card = collection.cards.get(name) or f"# {name}\n\n{facts}\n"
        write_text(folder / f"{name}.md", card)


def read_catalogue(path: Path) -> pd.DataFrame:
    """Read the table of evaluation sets of notebook 01.

    Columns: name, role, task, n, labels, licence, status.
    """
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False)


def is_embedded_set(name: str) -> bool:
    """Whether a name is one of the embedded world's sets."""
    return name.startswith(f"{EMBEDDED_DATA}-")
