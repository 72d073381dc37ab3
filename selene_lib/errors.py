"""The one error a user can mend, whose message names the thing and the remedy; notices.

The command line prints the error and exits 2.
"""

from __future__ import annotations

import difflib
import reprlib
import sys
from collections.abc import Iterable
from typing import Any

# which extra of the project brings a package that the light core does without
EXTRA_OF = {
    "accelerate": "local",
    "bitsandbytes": "train",
    "datasets": "train",
    "fastapi": "serve",
    "huggingface_hub": "local",
    "inspect_ai": "inspect",
    "ipykernel": "notebooks",
    "ipywidgets": "notebooks",
    "joblib": "local",
    "jupyterlab": "notebooks",
    "matplotlib": "notebooks",
    "nbclient": "notebooks",
    "nbformat": "notebooks",
    "nomic": "notebooks",
    "papermill": "notebooks",
    "peft": "local",
    "PIL": "notebooks",
    "psutil": "local",
    "ray": "scale",
    "safetensors": "local",
    "seaborn": "notebooks",
    "sentence_transformers": "encoder",
    "sklearn": "train",
    "tensorboard": "tracking",
    "tokenizers": "local",
    "torch": "local",
    "transformers": "local",
    "trl": "train",
    "umap": "notebooks",
    "uvicorn": "serve",
}


class UserError(ValueError):
    """Something the user gave (a path, a name, a parameter, a key) is missing or wrong."""


def did_you_mean(given: str, known: Iterable[str], least: float = 0.6) -> str:
    """Return `did you mean NAME? `, for a message, where one of the known names is close to the one
    given (`least` as in `difflib`); empty where none is.
    """
    near = difflib.get_close_matches(given, list(known), 1, least)
    return f"did you mean {near[0]}? " if near else ""


def shown(value: Any, limit: int = 80) -> str:
    """Return a value's `repr` for a message, cut after `limit` characters.

    It takes no longer for a value that is deep, or large, or unfolds to very much.
    """
    text = repr(value) if isinstance(value, str) else _SHORT.repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 20
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 200


def tell(notice: str) -> None:
    """Tell the user, in one line on stderr, what was done other than asked."""
    print(f"selene: {notice}", file=sys.stderr)


def missing_package(error: ModuleNotFoundError) -> str:
    """Return which extra brings the package that an import did not find; empty for a package that
    none of them brings.
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRA_OF:
        return ""
    return (
        f"this needs {package}, which is not installed: "
        f"pip install 'selene_lib[{EXTRA_OF[package]}]'"
    )
