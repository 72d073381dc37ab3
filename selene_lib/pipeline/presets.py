"""Named runs: the YAML files of `runs/`, and `--set` laid over them.

An unknown parameter is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError, shown
from selene_lib.files.yaml_text import NotYamlError, parse_yaml, read_yaml, truth_of
from selene_lib.models.addresses import refuse_secrets
from selene_lib.pipeline import notebooks
from selene_lib.pipeline.notebooks import StepSpec, notebook_path, parameter_defaults, step_spec
from selene_lib.pipeline.places import check_run_name, project_root


@dataclass(frozen=True)
class RunSpec:
    """A named run.

    `parameters` are for every notebook that has one of the name, `notebooks` for one notebook
    alone, and `needs` names parameters that must be given.
    """

    name: str
    about: str = ""
    needs: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notebooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def load_run(run: str) -> RunSpec:
    """Read `runs/<run>.yaml`, or the YAML file at that path.

    `nano` needs none: it is the notebooks' own defaults.
    """
    if run == "nano":
        return RunSpec("nano", "the embedded run: generated data, a tiny judge, no network")
    folder = project_root() / "runs"
    is_path = run.endswith((".yaml", ".yml"))
    if not is_path:
        check_run_name(run)
    path = Path(run) if is_path else folder / f"{run}.yaml"
    if not path.is_file():
        known = ", ".join(["nano", *_run_files(folder)])
        raise UserError(f"no run {shown(run)}: {path} is not there; known runs: {known}")
    spec = _run_spec(path, read_yaml(path))
    check_run_name(spec.name)
    return spec


def _run_spec(path: Path, content: Any) -> RunSpec:
    """Check what a run file holds: its keys and the kind of each."""
    allowed = {"name", "about", "needs", "parameters", "notebooks"}
    if not isinstance(content, dict) or not set(content) <= allowed:
        raise UserError(
            f"{path}: a run file holds the keys {', '.join(sorted(allowed))} and no others"
        )
    given = {key: value for key, value in content.items() if value is not None}
    for key in ("name", "about"):
        if not isinstance(given.get(key, ""), str):
            raise UserError(f"{path}: {key} is a text, got {shown(given[key])}; put it in quotes")
    needs = given.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(name, str) for name in needs):
        raise UserError(
            f"{path}: needs is a list of parameters, as in [data_dir]; got {shown(needs)}"
        )
    _check_parameters(path, "parameters", given.get("parameters", {}))
    own = given.get("notebooks", {})
    _check_parameters(path, "notebooks", own)
    for number, values in own.items():
        _check_parameters(path, f"notebooks, {shown(number)}", values)
    return RunSpec(**{"name": path.stem, **given, "needs": tuple(needs)})


def _check_parameters(path: Path, what: str, values: Any) -> None:
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(
            f"{path}: {what} maps names (in quotes where they are numbers) to values, "
            f"as in {{seed: 0}}; got {shown(values)}"
        )


def _run_files(folder: Path) -> list[str]:
    """Names of the runs in a folder; `accelerate*.yaml` beside them are no runs."""
    names = (path.stem for path in sorted(folder.glob("*.yaml")))
    return [name for name in names if not name.startswith("accelerate")]


def parse_settings(pairs: list[str]) -> dict[str, Any]:
    """Read `--set key=value` (or `notebook.key=value`) as YAML scalars."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        refuse_secrets(pair, f"--set {key if equals else '...'}")
        if not equals or not key:
            raise UserError(f"--set {shown(pair)}: write it as key=value")
        if key in settings:
            raise UserError(f"--set {shown(key)} is given twice; give it once")
        try:
            settings[key] = parse_yaml(value) if value else ""
        except NotYamlError as error:
            raise UserError(
                f"--set {shown(key)}: {shown(value)} is no YAML scalar ({error}); quote it"
            ) from error
    return settings


def resolve_parameters(
    spec: RunSpec, steps: tuple[StepSpec, ...], settings: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return for each step all its parameters.

    Notebook defaults, then the run file, then `settings`. Raises `UserError` for a name that no
    notebook has, for `run` (the command names the run) and for a value of another type than the
    default's.
    """
    defaults = {s.name: parameter_defaults(notebook_path(s.name)) for s in notebooks.STEPS}
    resolved = {name: {**values, "run": spec.name} for name, values in defaults.items()}
    for source, values in (("run file", spec.parameters), ("--set", settings)):
        for key, value in values.items():
            for name in _targets(key, defaults, source):
                _assign(resolved[name], defaults[name], name, key.split(".")[-1], value)
        if source == "run file":
            for name, own in _by_notebook(spec, defaults).items():
                for key, value in own.items():
                    _assign(resolved[name], defaults[name], name, key, value)
    return {s.name: resolved[s.name] for s in steps}


def _by_notebook(spec: RunSpec, defaults: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a run file says of single notebooks, by name; one that it names twice is a UserError."""
    found: dict[str, Mapping[str, Any]] = {}
    for given, own in spec.notebooks.items():
        name = _in_chain(given, defaults)
        if name in found:
            raise UserError(f"run {spec.name!r} names notebook {name} twice; write it once")
        found[name] = own
    return found


def _targets(key: str, defaults: Mapping[str, Mapping[str, Any]], source: str) -> list[str]:
    if "." in key:
        return [_in_chain(key.split(".")[0], defaults)]
    names = [name for name, values in defaults.items() if key in values]
    if not names:
        known = sorted({k for values in defaults.values() for k in values})
        raise UserError(f"unknown parameter {shown(key)} ({source}); known: {', '.join(known)}")
    return names


def _in_chain(given: str, names: Mapping[str, Any]) -> str:
    """The name of a notebook of the chain; one that stands alone is a UserError."""
    name = step_spec(given).name
    if name not in names:
        raise UserError(
            f"notebook {given} is no part of the chain: run it by itself, "
            f"`papermill notebooks/{name}.ipynb out.ipynb -p KEY VALUE`"
        )
    return name


def _assign(
    resolved: dict[str, Any], defaults: Mapping[str, Any], name: str, key: str, value: Any
) -> None:
    if key == "run":
        raise UserError(
            "the parameter run is no setting: --run NAME (or `name:` in a run file) names the run"
        )
    if key not in defaults:
        raise UserError(
            f"notebook {name} has no parameter {shown(key)}; it has {', '.join(defaults)}"
        )
    refuse_secrets(value, f"parameter {key} of {name}")
    truth = truth_of(value) if isinstance(defaults[key], bool) else None  # `--set skip=yes`
    given = value if truth is None else truth
    resolved[key] = checked_value(name, key, given, defaults[key])


def checked_value(name: str, key: str, value: Any, default: Any) -> Any:
    """Return the value of a notebook's parameter in the type of its default; one of another type is
    a UserError.
    """
    wanted = type(default)
    if wanted is float and (type(value) is int or (isinstance(value, str) and _is_number(value))):
        try:
            value = float(value)
        except OverflowError:
            value = math.inf
    if wanted is str and type(value) in (int, float):  # `--set seeds=0` means the text
        value = str(value)
    if type(value) is not wanted or (wanted is float and not math.isfinite(value)):
        raise UserError(
            f"parameter {key!r} of {name} is {wanted.__name__} (default {default!r}), "
            f"got {shown(value)}"
        )
    return value


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", text) is not None
