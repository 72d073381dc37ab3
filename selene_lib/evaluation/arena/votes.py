"""Battles: who met whom and who won, read from a votes file or drawn from judges of known strength.

A votes file is CSV (or JSON Lines) with a header. Two shapes are read: `left, right, winner` with
winner left / right / tie, and `model_a, model_b, winner` with winner A / B / tie (or model_a /
model_b / tie). `both_bad` (also `bothbad`, `tie (bothbad)`) says that neither was good: a tie, or
left out. A column `worker` or `voter` is kept, so that intervals can be clustered by the person who
voted.
"""

from __future__ import annotations

import csv
import itertools
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from selene_lib.data.readers import distinct_names
from selene_lib.data.tables import check_length, decode_strictly
from selene_lib.errors import UserError
from selene_lib.records import TIE, Judgement, Sample

SHAPES = (("left", "right"), ("model_a", "model_b"))
VOTERS = ("voter", "worker")
_SCORES = {
    "left": 1.0,
    "a": 1.0,
    "model_a": 1.0,
    "right": 0.0,
    "b": 0.0,
    "model_b": 0.0,
    "tie": 0.5,
}
BOTH_BAD = ("both_bad", "bothbad", "both bad", "tie (bothbad)")
BothBad = Literal["tie", "drop"]
ELO_PER_NAT = 400 / np.log(10)


@dataclass(frozen=True, eq=False)
class Battles:
    """Battles between judges: `left` and `right` index `judges`, `voter` counts from 0.

    `score_left` is 1 (left won), 0.5 (tie) or 0. All arrays are [n_battles].
    """

    judges: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray
    score_left: np.ndarray
    voter: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.left) == len(self.right) == len(self.score_left):
            raise ValueError("battles: left, right and score_left must be of one length")
        if len(self.left) == 0:
            raise ValueError("battles: there are none")

    def __len__(self) -> int:
        return len(self.left)

    def shuffle(self, rng: np.random.Generator) -> Battles:
        """The same battles in another order."""
        order = rng.permutation(len(self))
        voter = None if self.voter is None else self.voter[order]
        return Battles(
            self.judges, self.left[order], self.right[order], self.score_left[order], voter
        )

    def n_votes(self) -> np.ndarray:
        """Return the number of battles of each judge, [n_judges]."""
        both = np.concatenate([self.left, self.right])
        return np.bincount(both, minlength=len(self.judges))

    def results(self) -> np.ndarray:
        """Return wins, ties and losses of each judge, [n_judges, 3]."""
        n, counts = len(self.judges), []
        for score in (1.0, 0.5, 0.0):
            as_left = np.bincount(self.left[self.score_left == score], minlength=n)
            as_right = np.bincount(self.right[self.score_left == 1 - score], minlength=n)
            counts.append(as_left + as_right)
        return np.stack(counts, axis=1)


def read_votes(path: str | os.PathLike, *, both_bad: BothBad = "tie") -> Battles:
    """Read a votes file (shapes: see the module) in its order, on which sequential Elo depends.

    `both_bad` says whether such votes count as ties or are left out. Raises UserError, naming file
    and line, for a missing file or column, an unknown winner, an empty name or a judge against
    itself.
    """
    path = Path(path)
    if both_bad not in ("tie", "drop"):
        raise UserError(f"both_bad {both_bad!r} is not one of tie, drop")
    if not path.is_file():
        raise UserError(f"no votes file {path}; give a CSV with the columns left, right and winner")
    rows = _json_rows(path) if path.suffix in {".jsonl", ".ndjson"} else _csv_rows(path)
    ballot = _Ballot()
    for line, row in rows:
        if both_bad == "drop" and str(row.get("winner") or "").strip().lower() in BOTH_BAD:
            continue
        ballot.add(*_vote(path, line, row), _voter(row))
    if not len(ballot.scores):
        but = " but both_bad ones, which are left out" if both_bad == "drop" else ""
        raise UserError(f"{path} holds a header and no votes{but}")
    return ballot.battles()


class _Ballot:
    """Votes as they are read: numbers in flat arrays, for a million of them are many objects."""

    def __init__(self) -> None:
        self.left, self.right, self.scores = array("q"), array("q"), array("d")
        self.voters = array("q")
        self._judges: dict[str, int] = {}
        self._voters: dict[str, int] = {}
        self._every_vote_has_a_voter = True

    def add(self, one: str, two: str, score: float, voter: str | None) -> None:
        self.left.append(self._judges.setdefault(one, len(self._judges)))
        self.right.append(self._judges.setdefault(two, len(self._judges)))
        self.scores.append(score)
        if voter is None:
            self._every_vote_has_a_voter = False
        else:
            self.voters.append(self._voters.setdefault(voter, len(self._voters)))

    def battles(self) -> Battles:
        """Judges and voters numbered in the order of their names."""
        judge, names = _by_name(self._judges)
        voter = None
        if self._every_vote_has_a_voter:
            voter = _by_name(self._voters)[0][np.array(self.voters)]
        left, right = judge[np.array(self.left)], judge[np.array(self.right)]
        return Battles(names, left, right, np.array(self.scores), voter)


def _by_name(numbers: dict[str, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the place of each number among the sorted names, and these."""
    names = sorted(numbers)
    place = np.empty(len(names), dtype=np.int64)
    place[[numbers[name] for name in names]] = np.arange(len(names))
    return place, tuple(names)


def _voter(row: Mapping[str, object]) -> str | None:
    return next((str(row[c]) for c in VOTERS if row.get(c) not in (None, "")), None)


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        try:
            reader = csv.reader(stream, strict=True)
            names = distinct_names(path, next(reader, []))
            number, line = 1, reader.line_num + 1
            for cells in reader:
                if cells:
                    check_length(path, number, line, cells, names)
                    yield reader.line_num, dict(zip(names, cells, strict=True))
                number, line = number + bool(cells), reader.line_num + 1
        except (UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path} is not a CSV of UTF-8 text ({error})") from error


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    with open(path, encoding="utf-8-sig", errors="surrogateescape") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                line.encode()  # what was no UTF-8 is half a pair now
                row = decode_strictly(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}, line {number}: not JSON ({error})") from error
            if not isinstance(row, dict):
                raise UserError(
                    f"{path}, line {number}: a vote is an object with left, right and winner"
                )
            yield number, row


def _vote(path: Path, line: int, row: dict) -> tuple[str, str, float]:
    shape = next((s for s in SHAPES if s[0] in row and s[1] in row), None)
    if shape is None or "winner" not in row:
        found = ", ".join(str(c) for c in row if c is not None)
        raise UserError(
            f"{path}, line {line}: columns {found}; "
            "needed are left, right, winner (or model_a, model_b, winner)"
        )
    if all(name in row for names in SHAPES for name in names):
        raise UserError(
            f"{path}, line {line}: the columns name the judges twice (left, right and model_a, "
            "model_b); remove two of them"
        )
    one, two = (str(row[c] or "").strip() for c in shape)
    winner = str(row["winner"] or "").strip()
    if not one or not two:
        raise UserError(
            f"{path}, line {line}: a judge's name is empty; remove the line or fill it in"
        )
    if one == two:
        raise UserError(f"{path}, line {line}: {one!r} against itself; remove the line")
    if winner.lower() in BOTH_BAD:
        return one, two, 0.5
    if winner.lower() not in _SCORES:
        raise UserError(
            f"{path}, line {line}: winner {winner!r} is not one of left, right, tie, both_bad "
            "(or A, B, tie)"
        )
    return one, two, _SCORES[winner.lower()]


def battles_of_judges(samples: Iterable[Sample], judgements: Iterable[Judgement]) -> Battles:
    """Let judges that judged the same items meet: who gives the gold label beats who does not.

    Both right or both wrong is a tie; an unparsed reply is wrong; items labelled tie are left out.
    `voter` is the item, so that intervals can be clustered by it. Judges are the names in the
    judgements. Raises ValueError where no two judges share a question.
    """
    gold = {s.id: s.label for s in samples if s.label not in (None, TIE)}
    right: dict[tuple[str, str], dict[str, bool]] = {}
    for j in judgements:
        if j.sample_id in gold:
            said = j.verdict_of_sample
            right.setdefault((j.sample_id, j.order), {})[j.judge] = said == gold[j.sample_id]
    ballot = _Ballot()
    for (sample_id, _), outcomes in right.items():
        for one, two in itertools.combinations(sorted(outcomes), 2):
            ballot.add(one, two, (1 + outcomes[one] - outcomes[two]) / 2, sample_id)
    if not len(ballot.scores):
        raise ValueError(
            "no two judges share a question with a gold label; judge the same set with each of them"
        )
    return ballot.battles()


def simulate_battles(
    strengths: Sequence[float], n: int, rng: np.random.Generator, *, tie_log_odds: float = -0.5
) -> Battles:
    """Draw `n` battles between judges of known `strengths` (Elo points), each pair equally likely.

    Outcomes follow Davidson (1970): with d the difference in nats, win : loss : tie = e^(d/2) :
    e^(-d/2) : e^tie_log_odds. The default makes 23 % of the battles between equals a tie; `-inf`
    makes none.
    """
    theta = np.asarray(strengths, dtype=float) / ELO_PER_NAT
    n_judges = len(theta)
    left = rng.integers(n_judges, size=n)
    right = (left + rng.integers(1, n_judges, size=n)) % n_judges
    half = (theta[left] - theta[right]) / 2
    weights = np.stack([np.exp(half), np.full(n, np.exp(tie_log_odds)), np.exp(-half)], axis=1)
    cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    drawn = (rng.random(n)[:, None] > cumulative[:, :2]).sum(axis=1)
    return Battles(
        tuple(f"judge-{i:02d}" for i in range(n_judges)),
        left,
        right,
        np.array([1.0, 0.5, 0.0])[drawn],
    )
