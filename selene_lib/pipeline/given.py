"""Parameters that papermill was given for a notebook: it only warns about one that the notebook
does not have; here that is an error.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from selene_lib.errors import UserError, did_you_mean

INJECTED = "# Parameters"  # the first line of the cell that papermill puts in


def refuse_unknown_parameters(
    name: str, namespace: Mapping[str, Any], known: Iterable[str]
) -> None:
    """Raise UserError for a name in papermill's own cell that the parameters cell does not have.

    `namespace` is that of a notebook; IPython keeps the sources of its cells in `In`.
    """
    names = list(known)
    for given in injected_names(namespace.get("In", ())):
        if given not in names:
            hint = did_you_mean(given, names)
            raise UserError(
                f"notebook {name} has no parameter {given!r}, {hint}it has {', '.join(names)}"
            )


def injected_names(cells: Sequence[Any]) -> list[str]:
    """Return the names that papermill's cell among the executed ones assigns."""
    names = []
    for source in cells:
        if isinstance(source, str) and source.lstrip().startswith(INJECTED):
            for node in ast.parse(source).body:
                if isinstance(node, ast.Assign):
                    names += [t.id for t in node.targets if isinstance(t, ast.Name)]
    return names
