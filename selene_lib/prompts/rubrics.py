"""A user's rubric as a file: a criterion, and a line for each score (1-5) or answer (Yes, No).

Text files hold the criterion and lines like `3: partly right` or `Score 3: partly right`; YAML and
JSON files hold `criterion` and `scores`, a mapping from score to description. A pairwise rubric is
the criterion alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.records import LABELS, Task

_LINE = re.compile(r"^\s*(?:score\s+)?([1-5]|yes|no)\s*[:=]\s*(\S.*)$", re.IGNORECASE)


def read_rubric(path: str | Path, task: Task) -> str:
    """Return the rubric's text with one line per label.

    A missing file or a label without a description is a UserError that names it.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no rubric at {path}: write the criterion and, below it, a line such as '1: ...' "
            f"for each of {', '.join(LABELS[task])}"
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
        criterion, scores = _from_mapping(path, text)
    else:
        criterion, scores = split_rubric(text)
    if task == "pairwise":
        return criterion or text
    missing = [label for label in LABELS[task] if not scores.get(label)]
    if missing:
        raise UserError(
            f"the rubric {path} describes no {', '.join(missing)}: "
            f"a {task} rubric needs a line for each of {', '.join(LABELS[task])}"
        )
    if task == "absolute":
        return write_rubric(criterion, [scores[label] for label in LABELS[task]]).strip()
    lines = [f"{label}: {scores[label]}" for label in LABELS[task]]
    return "\n".join([criterion, *lines]).strip()


def write_rubric(criterion: str, descriptions: Sequence[str]) -> str:
    """Return an absolute rubric: the criterion, then a line for each score from 1 on."""
    lines = [f"Score {score}: {text.strip()}" for score, text in enumerate(descriptions, 1)]
    return "\n".join([criterion.strip(), *lines])


def split_rubric(text: str) -> tuple[str, dict[str, str]]:
    """Split a rubric's text into criterion and descriptions by label.

    Lines after a label's line belong to it.
    """
    criterion: list[str] = []
    scores: dict[str, str] = {}
    label = ""
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            label = match.group(1).capitalize()
            scores[label] = match.group(2).strip()
        elif label and line.strip():
            scores[label] += f"\n{line.strip()}"
        elif not label:
            criterion.append(line)
    return "\n".join(criterion).strip(), scores


def _from_mapping(path: Path, text: str) -> tuple[str, dict[str, str]]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"the rubric {path} is not YAML or JSON: {str(error).splitlines()[0]}"
        ) from error
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("criterion"), str)
        or not isinstance(found.get("scores", {}), dict)
    ):
        raise UserError(
            f"the rubric {path} needs the keys 'criterion' (text) "
            "and 'scores' (a mapping from score to description)"
        )
    words = {True: "Yes", False: "No"}  # YAML reads a bare Yes and No as booleans
    scores = {}
    for key, value in found.get("scores", {}).items():
        label = words[key] if isinstance(key, bool) else str(key).capitalize()
        scores[label] = str(value).strip()
    return found["criterion"].strip(), scores
