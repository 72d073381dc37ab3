"""A run's numbers beside those of a published run: equal to the digit, within what seeds and
sampling explain, or not.

On the same machine with the same versions a run gives the same digits. Another processor sums in
another order, and a training can then end a little elsewhere; that is expected to stay within the
spread that other seeds give, or within the score's own interval.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import read_json
from selene_lib.judges.names import BASE, loss_of
from selene_lib.pipeline.places import home, project_root

SEAL = "sha256"
Key = tuple[str, ...]


def sealed(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return results with a hash over all of them, which `is_sealed` checks."""
    content = {key: value for key, value in results.items() if key != SEAL}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return {**content, SEAL: hashlib.sha256(text.encode()).hexdigest()}


def is_sealed(results: Mapping[str, Any]) -> bool | None:
    """Whether results are what the run wrote; None where no hash was written with them."""
    return None if SEAL not in results else sealed(results)[SEAL] == results[SEAL]


@dataclass(frozen=True)
class Difference:
    """One score in both runs. `spread` is the range over the published seeds of its loss, None
    where there are no seeds; the interval is the published one.
    """

    judge: str
    what: str
    published: float
    found: float
    ci95_low: float | None
    ci95_high: float | None
    spread: float | None

    @property
    def size(self) -> float:
        """Found minus published."""
        return self.found - self.published

    @property
    def kind(self) -> str:
        """`equal`, `within seeds`, `within interval` or `outside`."""
        if self.size == 0:
            return "equal"
        if self.spread is not None and abs(self.size) <= self.spread:
            return "within seeds"
        has_interval = self.ci95_low is not None and self.ci95_high is not None
        if has_interval and self.ci95_low <= self.found <= self.ci95_high:  # type: ignore[operator]
            return "within interval"
        return "outside"

    def in_words(self) -> str:
        """Return difference, judge and score, the published value with its interval, and ours."""
        interval = ""
        if self.ci95_low is not None and self.ci95_high is not None:
            interval = f" [{self.ci95_low:.4f}, {self.ci95_high:.4f}]"
        values = f"{self.published:.4f}{interval} -> {self.found:.4f}"
        return f"{self.size:+.4f} ({self.judge}, {self.what}: {values})"


@dataclass(frozen=True)
class Verification:
    """Every score that both runs have, those that only one has, and what else tells them apart."""

    differences: tuple[Difference, ...]
    only_here: tuple[str, ...]
    only_published: tuple[str, ...]
    other_parameters: tuple[str, ...]
    edited: tuple[str, ...]
    environments: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the runs agree: the same scores, none of them outside, no file edited."""
        complete = bool(self.differences) and not (self.only_here or self.only_published)
        return complete and not self.edited and not self.count("outside")

    def count(self, kind: str) -> int:
        """How many scores are of a kind (`Difference.kind`)."""
        return sum(difference.kind == kind for difference in self.differences)

    def line(self) -> str:
        """Return the comparison in one line."""
        n = len(self.differences)
        parts = [f"{self.count('equal')} of {n} scores equal to the digit"]
        for kind in ("within seeds", "within interval", "outside"):
            if kind == "outside" or self.count(kind):
                parts.append(f"{self.count(kind)} {_IN_WORDS[kind]}")
        for only, where in ((self.only_here, "here"), (self.only_published, "there")):
            if only:
                parts.append(f"{len(only)} only {where} (first: {only[0]})")
        said = [", ".join(parts), *self.edited, *self.environments]
        largest = self.largest()
        if largest is not None:
            said.insert(1, f"largest difference {largest.in_words()}")
        if self.other_parameters:
            names = ", ".join(self.other_parameters[:3])
            said.append(f"{len(self.other_parameters)} parameters differ ({names})")
        return "; ".join(said)

    def largest(self) -> Difference | None:
        """The score that differs most, None where none does."""
        found = max(self.differences, key=lambda each: abs(each.size), default=None)
        return found if found is not None and found.size else None


_IN_WORDS = {
    "within seeds": "within seed spread",
    "within interval": "within their 95 % interval",
    "outside": "outside",
}


def verify(results: Path, against: Path) -> Verification:
    """Compare two `results.json`, the second being the published one; a folder stands for the file
    in it. Raises UserError where one is missing or broken.
    """
    here, there = read_results(results), read_results(against)
    found, published = _cells(here), _cells(there)
    spreads = _spreads(published)
    differences = []
    for key in found.keys() & published.keys():
        differences.append(_difference(key, found[key], published[key], spreads))
    return Verification(
        differences=tuple(sorted(differences, key=lambda each: (each.judge, each.what))),
        only_here=tuple(sorted(" ".join(key) for key in found.keys() - published.keys())),
        only_published=tuple(sorted(" ".join(key) for key in published.keys() - found.keys())),
        other_parameters=tuple(_other_parameters(here, there)),
        edited=tuple(_edited(here, results) + _edited(there, against)),
        environments=tuple(_environments(here, there)),
    )


def published_folder(run: str) -> Path | None:
    """Return `reports/<run>` where results of it are published, None where not."""
    for root in (home(), project_root()):
        if (root / "reports" / run / "results.json").is_file():
            return root / "reports" / run
    return None


def read_results(path: Path) -> dict[str, Any]:
    """Read a `results.json` (or the one in a folder)."""
    file = path / "results.json" if path.is_dir() else path
    try:
        results = read_json(file)
    except FileNotFoundError as error:
        raise UserError(
            f"{file} is not there; run the run first, or name another folder"
        ) from error
    except ValueError as error:
        raise UserError(f"{file} is no readable results file; make it again") from error
    if not isinstance(results, dict) or "scores" not in results or "task_means" not in results:
        raise UserError(f"{file} holds no scores; is it the results.json of a run?")
    odd = next((part for part, is_right in _PARTS.items() if not is_right(results.get(part))), None)
    if odd is not None:
        raise UserError(f"{file}: {odd} is not what a run writes; make the file again")
    return results


def _are_rows(names: tuple[str, ...]) -> Callable[[Any], bool]:
    """Whether a value is a list of rows with these texts and a value that is a number or None."""

    def is_row(row: Any) -> bool:
        if not isinstance(row, dict) or not all(isinstance(row.get(n), str) for n in names):
            return False
        numbers = (row.get("value"), row.get("ci95_low"), row.get("ci95_high"))
        are_numbers = all(number is None or _is_number(number) for number in numbers)
        return "value" in row and are_numbers and isinstance(row.get("meta") or {}, dict)

    return lambda value: isinstance(value, list) and all(map(is_row, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _are_parameters(value: Any) -> bool:
    steps = value or {}
    return isinstance(steps, dict) and all(isinstance(step, dict) for step in steps.values())


def _is_environment(value: Any) -> bool:
    return isinstance(value or {}, dict) and isinstance((value or {}).get("versions") or {}, dict)


_PARTS: dict[str, Callable[[Any], bool]] = {
    "scores": _are_rows(("judge", "set", "task", "metric", "convention")),
    "task_means": _are_rows(("judge", "task")),
    "steps": _are_parameters,
    "environment": _is_environment,
}


def _cells(results: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    """Every score with a value, by what it is a score of."""
    cells: dict[Key, Mapping[str, Any]] = {}
    for row in results["scores"]:
        key = (row["judge"], row["set"], row["task"], row["metric"], row["convention"])
        reading = str((row.get("meta") or {}).get("reading", ""))
        if row["value"] is not None:
            cells[*key, reading] = row
    for row in results["task_means"]:
        if row["value"] is not None:
            cells[row["judge"], "mean", row["task"]] = row
    return cells


def _spreads(cells: Mapping[Key, Mapping[str, Any]]) -> dict[Key, float]:
    """The range over seeds of every score of a loss that was trained with more than one seed."""
    values: dict[Key, list[float]] = {}
    for (judge, *rest), row in cells.items():
        if judge != BASE:
            values.setdefault((loss_of(judge), *rest), []).append(row["value"])
    return {key: max(found) - min(found) for key, found in values.items() if len(found) > 1}


def _difference(
    key: Key, row: Mapping[str, Any], reference: Mapping[str, Any], spreads: Mapping[Key, float]
) -> Difference:
    judge, *rest = key
    return Difference(
        judge=judge,
        what=" ".join(part for part in rest if part),
        published=reference["value"],
        found=row["value"],
        ci95_low=reference.get("ci95_low"),
        ci95_high=reference.get("ci95_high"),
        spread=None if judge == BASE else spreads.get((loss_of(judge), *rest)),
    )


def _other_parameters(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    said = []
    ours, theirs = here.get("steps") or {}, there.get("steps") or {}
    for step in sorted(ours.keys() & theirs.keys()):
        for name in sorted(ours[step].keys() | theirs[step].keys()):
            mine, published = ours[step].get(name), theirs[step].get(name)
            if mine != published and name not in ("run", "data_dir"):
                said.append(f"{step[:2]}.{name}={mine!r}, published {published!r}")
    return said


def _edited(results: Mapping[str, Any], path: Path) -> list[str]:
    return [f"{path} was changed after its run wrote it"] if is_sealed(results) is False else []


def _environments(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """CPU and versions of each, the versions that differ only."""
    ours, theirs = here.get("environment") or {}, there.get("environment") or {}
    said = [f"CPU here {_machine(ours)}, there {_machine(theirs)}"]
    mine, published = ours.get("versions") or {}, theirs.get("versions") or {}
    if not mine or not published:
        return [*said, "versions not recorded"]
    names = sorted(mine.keys() | published.keys())
    changed = [n for n in names if mine.get(n) != published.get(n)]
    if not changed:
        return [*said, "the same versions"]
    pairs = [f"{n} {mine.get(n, 'none')} (there {published.get(n, 'none')})" for n in changed]
    return [*said, "versions: " + ", ".join(pairs)]


def _machine(environment: Mapping[str, Any]) -> str:
    if not environment.get("cpu"):
        return "not recorded"
    return f"{environment['cpu']} ({environment.get('n_cpus')} cores)"
