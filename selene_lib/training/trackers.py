"""Trackers that watch a training through `report_to`, as transformers names them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from selene_lib.errors import UserError

# by the name of transformers' integration: the module it needs, and what brings it
TRACKERS = {
    "tensorboard": ("tensorboard", "'selene_lib[tracking]'"),
    "wandb": ("wandb", "wandb"),
    "mlflow": ("mlflow", "mlflow"),
}


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return trackers as a tuple, from one word, several with commas, or a list; empty for none."""
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise UserError(f"report_to is {given!r}: names of trackers, with commas or as a list")
    return tuple(word.strip() for word in words if word.strip() not in ("", "none"))


def check_trackers(names: Sequence[str]) -> None:
    """Raise UserError for a tracker that nobody knows, or whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise UserError(f"report_to {name!r} is none of {', '.join(TRACKERS)}")
        module, package = TRACKERS[name]
        if importlib.util.find_spec(module) is None:
            raise UserError(
                f"report_to {name}: {module} is not installed: pip install {package}, or leave "
                "report_to empty"
            )
