"""Rubrics by name, in our own words, and what a `--rubric` may be: a name, a file or a sentence.

Each file of `presets/` holds a criterion with its five levels, and the same as a question with the
answers Yes and No. `needs` says which text a judge cannot do without.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, did_you_mean
from selene_lib.prompts.rubrics import check_own, is_scored, read_rubric
from selene_lib.records import labels_of

FOLDER = Path(__file__).parent / "presets"
_TEXT_FILES = (".txt", ".md", ".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Preset:
    """A rubric that comes with the project."""

    name: str
    about: str
    needs: str
    text: dict[str, Any]

    def rubric(self, kind: str) -> str:
        """The rubric's text for a task; levels are those of 1-5, another scale has none."""
        if kind == "pairwise":
            return str(self.text["criterion"])
        if not is_scored(kind):
            lines = [f"{answer}: {self.text['answers'][answer]}" for answer in labels_of(kind)]
            return "\n".join([self.text["question"], *lines])
        if kind != "absolute":
            return str(self.text["criterion"])
        levels = self.text["scores"]
        lines = [f"Score {score}: {levels[score]}" for score in sorted(levels)]
        return "\n".join([self.text["criterion"], *lines])


@functools.cache
def presets() -> dict[str, Preset]:
    """Return every rubric that comes with the project, by name."""
    import yaml

    found = {}
    for path in sorted(FOLDER.glob("*.yaml")):
        text = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[path.stem] = Preset(path.stem, text["about"], text.get("needs", ""), text)
    return found


def rubric_of(given: str | Path, kind: str) -> str:
    """Return the rubric that is meant: a preset's, that of a file, or the text itself.

    A path that is not there, and a single word that is no preset, is a UserError.
    """
    text = str(given).strip()
    if not text:
        raise UserError("the rubric is empty: write what is to be judged, or name a preset")
    if isinstance(given, str) and text in presets():
        return presets()[text].rubric(kind)
    if isinstance(given, Path) or _is_path(text):
        found = read_rubric(given, kind)
        check_own(found, kind)
        return found
    if re.fullmatch(r"[\w-]+", text):
        hint = did_you_mean(text, presets(), 0.75)
        raise UserError(
            f"the rubric {text!r} is no sentence, no file and no preset: {hint}"
            f"presets are {', '.join(presets())}"
        )
    check_own(text, kind)
    return text


def needs_of(given: str | Path | None) -> str:
    """Return the text that a preset cannot do without (`reference`, `context`), else nothing."""
    found = presets().get(str(given).strip()) if isinstance(given, str) else None
    return found.needs if found else ""


def _is_path(text: str) -> bool:
    """Whether a text names a file rather than being the rubric."""
    if "\n" in text or len(text) > 255:
        return False
    return Path(text).suffix.lower() in _TEXT_FILES or Path(text).is_file()
