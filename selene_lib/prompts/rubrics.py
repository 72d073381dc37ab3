"""A user's rubric as a file: a criterion, and a line for each score (1-5) or answer (Yes, No).

Text files hold the criterion and lines like `3: partly right`, `Score 3: partly right`,
`- **3**: partly right`, `3. partly right`, `3 - partly right` or `3：partly right`. YAML and JSON
files hold `criterion` and `scores`, a mapping from score to description, or Prometheus' `criteria`
and `score1_description` to `score5_description`. A pairwise rubric is the criterion alone, and any
rubric may be. Where a scale other than 1-5 is asked for, the levels are those of that scale.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files.yaml_text import NotYamlError, parse_file, text_in
from selene_lib.records import LABELS, labels_of

_BOLD = r"(?:\*\*|__)?"
_LINE = re.compile(
    rf"\s*(?:[-*•]\s+)?{_BOLD}(?:score\s+)?(?P<label>\d{{1,2}}|yes|no)\s*{_BOLD}"
    rf"(?:\s*[:=：]|[.)]\s|\s+[-–—]\s)\s*{_BOLD}\s*(?P<text>\S.*)",
    re.IGNORECASE,
)
# how an item of a list begins, that may be no level of a scale
_LIST = re.compile(r"\s*(?:[-*•]\s+)?(?:\*\*|__)?\d{1,2}\s*(?:\*\*|__)?[.)]\s")
# a level, or a range of levels, as people write them
_OWN_LEVEL = re.compile(
    rf"\s*(?:[-*•]\s+)?{_BOLD}(?:(?:score|level|grade|rating|points?)\s+)?(?P<low>\d{{1,3}})"
    rf"(?:\s*(?:-|–|—|to)\s*(?P<high>\d{{1,3}}))?\s*{_BOLD}\s*[:=：]\s*{_BOLD}\s*\S",
    re.IGNORECASE,
)
_SCORES = "merge levels, or name the rubric's own scale, such as 1-10 (--scale)"


def read_rubric(path: str | Path, task: str) -> str:
    """Return the rubric's text with one line per label, or the criterion where it describes none.

    `task` may name a scale (`absolute 1-10`). A missing file, or a label without a description
    where others have one, is a UserError that names it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no rubric at {path}: write the criterion and, below it, a line such as '1: ...' "
            f"for each of {', '.join(labels_of(task))}"
        )
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(
            f"the rubric {path}, line {line} is not UTF-8 text (perhaps Latin-1 or Windows-1252); "
            "save it as UTF-8"
        ) from error
    if not text:
        raise UserError(f"the rubric {path} is empty: write what is to be judged")
    if path.suffix in (".yaml", ".yml", ".json"):
        criterion, scores = _from_mapping(path, text, task)
    else:
        criterion, scores = _from_text(path, text, task)
        if task == "pairwise":
            criterion = _without_whole_scale(text)
    if task == "pairwise":
        return criterion or text
    labels = labels_of(task)
    missing = [label for label in labels if not scores.get(label)]
    if len(missing) == len(labels) and not _looks_levelled(text):
        return criterion
    if missing:
        raise UserError(
            f"the rubric {path} describes no {', '.join(missing)}: "
            f"a rubric for {task} needs a line for each of {', '.join(labels)}, or for none"
        )
    word = "Score " if is_scored(task) else ""
    lines = [f"{word}{label}: {scores[label]}" for label in labels]
    return "\n".join([criterion, *lines]).strip()


def is_scored(task: str) -> bool:
    """Whether the labels of a task are scores."""
    return task.partition(" ")[0] == "absolute"


def _looks_levelled(text: str) -> bool:
    """Whether a text describes levels or answers of any task: two lines or more that do."""
    return sum(_LINE.fullmatch(line) is not None for line in text.splitlines()) > 1


def _without_whole_scale(text: str) -> str:
    """The criterion alone where a whole scale of another task follows it, else the text."""
    for task in ("absolute", "classification"):
        criterion, described = _gather(
            [(line, _label_of(line, task)) for line in text.splitlines()]
        )
        if set(LABELS[task]) <= set(described):
            return criterion
    return text


def write_rubric(criterion: str, descriptions: Sequence[str]) -> str:
    """Return an absolute rubric: the criterion, then a line for each score from 1 on."""
    lines = [f"Score {score}: {text.strip()}" for score, text in enumerate(descriptions, 1)]
    return "\n".join([criterion.strip(), *lines])


def _from_text(path: Path, text: str, task: str) -> tuple[str, dict[str, str]]:
    """As `split_rubric`, with the labels of the task only; a level that comes twice, out of order
    or beyond the scale is a UserError that names its line.
    """
    criterion: list[str] = []
    scores: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        label = match["label"].capitalize() if match else ""
        if match and label.isdigit() == is_scored(task) and task != "pairwise":
            _check_level(f"the rubric {path}, line {number}", label, list(scores), task)
            scores[label] = match["text"].strip()
        elif scores and line.strip():
            scores[list(scores)[-1]] += f"\n{line.strip()}"
        elif not scores:
            criterion.append(line)
    return "\n".join(criterion).strip(), scores


def _check_level(where: str, label: str, before: list[str], task: str) -> None:
    if label in before:
        raise UserError(f"{where}: {label} is described twice; write each level once")
    if label not in labels_of(task):
        raise UserError(f"{where}: a level {label}; {_ends(task)}{_SCORES}")
    if is_scored(task) and before:
        steps = {int(b) - int(a) for a, b in zip(before, [*before[1:], label])}
        if steps not in ({1}, {-1}):
            raise UserError(
                f"{where}: level {label} follows level {before[-1]}; write the levels in order, "
                "and begin no line of the criterion with a number and a colon"
            )


def _ends(task: str) -> str:
    """What the scores of a task are, as the beginning of a remedy."""
    labels = labels_of(task)
    return f"scores here go from {labels[0]} to {labels[-1]}: " if is_scored(task) else ""


def split_rubric(text: str, task: str) -> tuple[str, dict[str, str]]:
    """Split a rubric's text into criterion and descriptions by label of the task.

    Lines after a label's line belong to it. A pairwise rubric is all criterion, and so is a
    numbered list that is no scale (`1. ...` to `7. ...`). A scale that does not fit the task (ten
    levels, one level twice) is a UserError.
    """
    if misfit := misfit_of(text, task):
        raise UserError(f"a rubric {misfit}")
    lines = [(line, _label_of(line, task)) for line in text.splitlines()]
    labels = [label for _, label in lines if label]
    if _outside(labels, task) or len(set(labels)) < len(labels):  # a list
        return text.strip(), {}
    return _gather(lines)


def _gather(lines: Sequence[tuple[str, str]]) -> tuple[str, dict[str, str]]:
    """Criterion and descriptions from lines with the label that each begins with, or none."""
    criterion: list[str] = []
    scores: dict[str, str] = {}
    label = ""
    for line, found in lines:
        match = _LINE.fullmatch(line)
        if found and match:
            label = found
            scores[label] = match["text"].strip()
        elif label and line.strip():
            scores[label] += f"\n{line.strip()}"
        elif not label:
            criterion.append(line)
    return "\n".join(criterion).strip(), scores


def _label_of(line: str, task: str) -> str:
    """The label of a task (a number, Yes or No) that a line describes, empty for none."""
    match = _LINE.fullmatch(line)
    if match is None or task == "pairwise":
        return ""
    label = match["label"].capitalize()
    return label if label.isdigit() == is_scored(task) else ""


def misfit_of(text: str, task: str) -> str:
    """Say in which way the scale of a rubric's text does not fit its task; empty where it fits.

    Only what is clearly a scale is judged: lines with a colon (`6: fine`, `Score 6: fine`), of
    which one is beyond the labels and next to another.
    """
    lines = [line for line in text.splitlines() if not _LIST.match(line)]
    labels = [label for line in lines if (label := _label_of(line, task))]
    outside = _outside(labels, task)
    if outside:
        return f"describes a level {outside}; {_ends(task)}{_SCORES}"
    twice = next((label for label in labels if labels.count(label) > 1), "")
    return f"describes {twice} twice; write each level once" if twice else ""


def _outside(labels: Sequence[str], task: str) -> str:
    """The first level beyond the task's scale that continues it, empty where there is none."""
    levels = {int(label) for label in labels if label.isdigit()}
    known = labels_of(task)
    beyond = [n for n in sorted(levels) if str(n) not in known and levels & {n - 1, n + 1}]
    return str(beyond[0]) if beyond else ""


def check_own(text: str, task: str) -> None:
    """Raise UserError where a user's rubric is a scale that is not the task's: as `misfit_of`, and
    levels that begin at the lowest score and stop before the highest (`1: ...` to `3: ...`), ranges
    (`9-10: ...`) or single levels (`50: ...`) beyond the scale.
    """
    if misfit := misfit_of(text, task) or _other_scale(text, task):
        raise UserError(f"the rubric {misfit}")


def _other_scale(text: str, task: str) -> str:
    if not is_scored(task):
        return ""
    matches = [_OWN_LEVEL.match(line) for line in text.splitlines() if not _LIST.match(line)]
    found = [(int(m["low"]), int(m["high"] or m["low"])) for m in matches if m]
    if len(found) < 2:
        return ""
    known = [int(label) for label in labels_of(task)]
    beyond = [high for _, high in found if high not in known]
    if len(beyond) > 1 or any(low < high for low, high in found if high in beyond):
        return f"describes a level {beyond[0]}; {_ends(task)}{_SCORES}"
    levels = sorted({level for low, high in found for level in range(low, high + 1)})
    if levels == known[: len(levels)] and len(levels) < len(known):
        missing = ", ".join(map(str, known[len(levels) :]))
        return f"describes no {missing}: describe every level or none. {_ends(task)}{_SCORES}"
    return ""


def _from_mapping(path: Path, text: str, task: str) -> tuple[str, dict[str, str]]:
    try:
        found = parse_file(path, text)
    except NotYamlError as error:
        raise UserError(f"the rubric {path} is not YAML or JSON: {error}") from error
    if isinstance(found, dict) and "criteria" in found:
        found = _from_prometheus(found)
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("criterion"), str)
        or not isinstance(found.get("scores", {}), dict)
    ):
        raise UserError(
            f"the rubric {path} needs the keys 'criterion' (text) "
            "and 'scores' (a mapping from score to description)"
        )
    scores: dict[str, str] = {}
    for key, value in found.get("scores", {}).items():
        label = str(key).capitalize()
        if label not in (*labels_of(task), *LABELS["absolute"], *LABELS["classification"]):
            raise UserError(f"the rubric {path}: a level {label}; {_ends(task)}{_SCORES}")
        if label in scores:
            raise UserError(f"the rubric {path} describes {label} twice; write each level once")
        scores[label] = text_in(f"the rubric {path}", key, value).strip()
    return found["criterion"].strip(), scores


def _from_prometheus(found: dict[str, object]) -> dict[str, object]:
    """The keys of Prometheus' rubrics in ours."""
    scores: dict[str, object] = {}
    for key, value in found.items():
        match = re.fullmatch(r"score_?(\d{1,2})_description", str(key))
        if match:
            scores[match.group(1)] = value
    return {"criterion": found["criteria"], "scores": scores}
