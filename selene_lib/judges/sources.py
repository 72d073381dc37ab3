"""The files that a judge is opened and asked with, none of which may be written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selene_lib.files import existing
from selene_lib.judges.asked import criteria_of
from selene_lib.judges.options import JudgeOptions

_PREFIXES = ("vllm:", "replay:")


def files_read(model: str | Sequence[str] | None, options: JudgeOptions) -> list[Path]:
    """Return the files and folders among models and options: weights, stored replies, adapter,
    rubrics, examples, calibration, templates of one's own.
    """
    models = (model,) if isinstance(model, str) else tuple(model or ())
    folders = [options.adapter, options.family]
    for name in models:
        prefix = next((p for p in _PREFIXES if name.startswith(p)), "")
        folders.append(name.removeprefix(prefix))
    files: list[str | Path | None] = [options.rubric, options.calibration]
    files += [criterion.rubric for criterion in criteria_of(options.criteria or options.rubric)]
    if isinstance(options.examples, str | Path):
        files.append(options.examples)
    found = [path for given in folders if given and (path := existing(given)) is not None]
    for given in files:
        path = existing(given) if given else None
        if path is not None and path.is_file():  # the text of a rubric may be a folder's name
            found.append(path)
    return found
