"""What the judges of a report said: the judgements of the main trained judge and of the base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from selene_lib.figures import results as files
from selene_lib.judges.names import is_base, main_judge
from selene_lib.records import Judgement, Sample


@dataclass(frozen=True)
class Judged:
    """The evaluation sets of a run, and for each item what the two judges replied.

    `by_item` is keyed by set and sample id; `main` is None where no judge was trained.
    """

    main: str | None = None
    sets: Mapping[str, list[Sample]] = field(default_factory=dict)
    by_item: Mapping[tuple[str, str], list[Judgement]] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, Sample, list[Judgement]]]:
        """Yield set, sample and its judgements, for every judged item that has a gold label."""
        for name, samples in self.sets.items():
            for sample in samples:
                judgements = self.by_item.get((name, sample.id))
                if judgements and sample.label is not None:
                    yield name, sample, judgements


def read_judged(result_dir: Path) -> Judged:
    """Read what a run stored; empty where it judged nothing."""
    judgements = files.run_judgements(result_dir)
    main = main_judge(j.judge for j in judgements)
    by_item: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements:
        if judgement.judge == main or is_base(judgement.judge):
            by_item.setdefault((judgement.set, judgement.sample_id), []).append(judgement)
    return Judged(main, files.run_sets(result_dir), by_item)
