"""Score stored replies without holding them: samples block by block, replies by where they stand.

A million replies with their texts are some gigabytes; what is scored of them is a label each.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from selene_lib.errors import UserError
from selene_lib.evaluation.scoring import score_outcomes
from selene_lib.evaluation.scoring.outcomes import (
    Groups,
    Outcomes,
    align_judgements,
    join_outcomes,
)
from selene_lib.evaluation.scoring.rescore import (
    fitting_judgements,
    iterate_samples,
    judgement_files,
    one_set,
    refuse_missing,
    refuse_other_prompts,
)
from selene_lib.evaluation.scoring.rows import Settings
from selene_lib.judges.opinions import majority_of_draws
from selene_lib.judges.store import JudgementReader, iterate_rows, place_of
from selene_lib.records import Judgement, Sample, Score

BLOCK_SAMPLES = 10_000
_FILE_BITS = 16  # a place is where a line begins and, in the lowest bits, the number of its file


def rescore_files(
    samples: str | Path,
    replies: str | Path,
    *,
    set_name: str | None = None,
    any_prompt: bool = False,
    seed: int = 0,
    n_resamples: int = 2000,
) -> list[Score]:
    """Score the judges of one file of replies, or of a folder of them, as `rescore` does.

    The same rows and the same errors, in memory that holds one block of samples and of replies,
    and a few hundred bytes an item.
    """
    files = judgement_files(replies)
    index = _Index(files, set_name)
    name = one_set(index.sets, set_name)
    tally = _Tally(any_prompt)
    with ExitStack() as stack:
        readers = [stack.enter_context(JudgementReader(file)) for file in files]
        for block in _blocks(iterate_samples(samples)):
            tally.add(block, [j for j in index.read(block, readers) if j.set == name], name)
    tally.refuse(name, index.n)
    settings = Settings(seed, n_resamples)
    return [row for judge in tally.judges for row in score_outcomes(tally.joined(judge), settings)]


def _blocks(samples: Iterator[Sample]) -> Iterator[list[Sample]]:
    while block := list(islice(samples, BLOCK_SAMPLES)):
        yield block


class _Index:
    """Where the replies to each sample stand, by a short hash of its id: 16 bytes a reply."""

    def __init__(self, files: Sequence[Path], set_name: str | None) -> None:
        """Read every line once and keep where it begins."""
        self.sets: Counter[str] = Counter()
        keys, places = array("Q"), array("q")
        for number, file in enumerate(files):
            for begin, row in iterate_rows(file):
                self.sets[row["set"]] += 1
                if set_name is None or row["set"] == set_name:
                    keys.append(_key(row["sample_id"]))
                    places.append(begin << _FILE_BITS | number)
        self.n = len(keys)
        order = np.argsort(np.frombuffer(keys, np.uint64), kind="stable")
        self._keys = np.frombuffer(keys, np.uint64)[order]
        self._places = np.frombuffer(places, np.int64)[order]

    def read(
        self, samples: Sequence[Sample], readers: Sequence[JudgementReader]
    ) -> Iterator[Judgement]:
        """Yield the judgements of samples, in the order of the files.

        Two ids of one hash get each other's replies too; who reads them looks at the id.
        """
        wanted = np.array([_key(sample.id) for sample in samples], dtype=np.uint64)
        low = np.searchsorted(self._keys, wanted, side="left")
        high = np.searchsorted(self._keys, wanted, side="right")
        found = [int(p) for a, b in zip(low, high) for p in self._places[a:b]]
        last = (1 << _FILE_BITS) - 1
        for place in sorted(found, key=lambda place: (place & last, place)):
            yield readers[place & last].at(place >> _FILE_BITS)


def _key(text: str) -> int:
    return int.from_bytes(place_of(text)[:8], "little")


class _Tally:
    """What is kept of the blocks: labels laid beside gold, what is missing, what was refused."""

    def __init__(self, any_prompt: bool) -> None:
        self.any_prompt = any_prompt
        self.judges: dict[str, None] = {}
        self.n_samples, self.n_known, self._first_id = 0, 0, ""
        self.refused: list[str] = []
        self._parts: dict[str, list[tuple[Groups, list[Outcomes]]]] = defaultdict(list)
        self._missing: dict[str, list[str]] = defaultdict(list)

    def add(self, samples: list[Sample], found: list[Judgement], name: str) -> None:
        """Take in a block and the judgements of its samples."""
        self._first_id = self._first_id or samples[0].id
        self.n_known += len(found)
        found = majority_of_draws(found)
        mine, refused = fitting_judgements(samples, found, any_prompt=self.any_prompt)
        self.refused += refused
        mine = [replace(judgement, reply="", meta={}) for judgement in mine]
        bare = [replace(sample, instruction="", response="", rubric="") for sample in samples]
        bare = [replace(s, response_b=s.response_b and "", reference=None) for s in bare]
        for judge in dict.fromkeys(judgement.judge for judgement in mine):
            if judge not in self.judges:  # it has judged nothing of the blocks before
                self.judges[judge] = None
                self._missing[judge] += [self._first_id] * self.n_samples
        self.n_samples += len(samples)
        for judge in self.judges:
            judged = {j.sample_id for j in mine if j.judge == judge}
            missing = [sample.id for sample in samples if sample.id not in judged]
            self._missing[judge] += missing
            if not missing:
                outcomes = align_judgements(bare, mine, judge=judge, set_name=name)
                self._parts[judge].append((_groups(bare), outcomes))

    def refuse(self, name: str, n_judgements: int) -> None:
        """Raise a UserError for what `rescore` would refuse."""
        if not self.n_known:
            raise UserError(
                f"none of the {n_judgements} judgements of {name!r} belongs to these "
                f"{self.n_samples} samples; give the samples that were judged"
            )
        refuse_other_prompts(self.refused, self.n_samples)
        for judge in self.judges:
            refuse_missing(judge, name, self._missing[judge], self.n_samples)

    def joined(self, judge: str) -> list[Outcomes]:
        """The outcomes of all blocks, one a task."""
        return join_outcomes(self._parts[judge])


def _groups(samples: Sequence[Sample]) -> Groups:
    """Hashes of the samples' groups, by task: names of a million of them are not kept."""
    found: dict[str, list[int]] = defaultdict(list)
    for sample in samples:
        found[sample.task].append(_key(sample.group or sample.id))
    return {task: np.array(keys, dtype=np.uint64) for task, keys in found.items()}
