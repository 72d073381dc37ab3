"""What decides a step's data, and in words what of it has changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selene_lib.errors import UserError
from selene_lib.files import sha256_file
from selene_lib.files.yaml_text import read_yaml
from selene_lib.pipeline.code_hashes import step_code
from selene_lib.pipeline.file_hashes import FileHashes
from selene_lib.pipeline.notebooks import StepSpec, notebook_path
from selene_lib.pipeline.places import home, project_root

PATH_PARAMETERS = (
    "data_dir",
    "votes",
    "adapter",
    "model",
    "base_model",
    "reward_model",
    "tokenizer_model",
    "domain_file",
    "template_family",
)
"""Parameters that may name a folder; of any other parameter a file that it names counts."""


@dataclass(frozen=True)
class Fingerprint:
    """Parameters, code by function, hashes of the inputs, and hashes of the files that a parameter
    names (`outside`: where such a file lies does not count, what it holds does).
    """

    parameters: Mapping[str, Any]
    code: Mapping[str, str]
    inputs: Mapping[str, str]
    outside: Mapping[str, str]

    def sha256(self) -> str:
        """Return one hash over all of it."""
        own = {key: value for key, value in self.parameters.items() if key not in self.outside}
        parts = [own, dict(self.code), dict(self.inputs), dict(self.outside)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return it as it is stored in `step.json` and `begun.json`."""
        return {
            "fingerprint": self.sha256(),
            "parameters": dict(self.parameters),
            "code": dict(self.code),
            "input_sha256": dict(self.inputs),
            "outside": dict(self.outside),
        }


def fingerprint_of(
    step: StepSpec, parameters: Mapping[str, Any], run_dir: Path, hashes: FileHashes
) -> Fingerprint:
    """Return the fingerprint a step has now; an input that is not there is left out."""
    paths = {name: run_dir / name for name in step.inputs}
    present = [name for name, path in paths.items() if path.is_file() or path.is_dir()]
    return Fingerprint(
        parameters=dict(parameters),
        code=step_code(notebook_path(step.name), draws="figures" in step.outputs),
        inputs={name: sha256_file(run_dir / name) for name in present},
        outside=outside_hashes(parameters, hashes),
    )


def file_hashes() -> FileHashes:
    """Return the remembered hashes of this home's outside files."""
    return FileHashes(home() / "artefacts" / ".file_hashes.json")


def outside_hashes(parameters: Mapping[str, Any], hashes: FileHashes) -> dict[str, str]:
    """Return the content hash of every file that a parameter names, and of every folder that one of
    `PATH_PARAMETERS` does.
    """
    found = {}
    for name, value in parameters.items():
        if value and (name in PATH_PARAMETERS or _names_file(value)):
            path = project_root() / _without_kind(str(parameters[name]))
            paths = [path, *_data_of_domain(path)] if name == "domain_file" else [path]
            contents = [content for each in paths if (content := hashes.of(each)) is not None]
            if contents:
                found[name] = " ".join(contents)
    return found


def _data_of_domain(path: Path) -> list[Path]:
    """The data file that a domain file names; none where it cannot be read (the step says so)."""
    try:
        given = read_yaml(path, all_text=True)
    except UserError:
        return []
    file = given.get("file") if isinstance(given, dict) else None
    return [path.parent / file] if file and isinstance(file, str) else []


def _names_file(value: Any) -> bool:
    """Whether a parameter is the path of a file that is there, and not a word of that name."""
    is_path = isinstance(value, str) and bool(Path(value).suffix or len(Path(value).parts) > 1)
    return is_path and os.path.isfile(project_root() / value)


def _without_kind(value: str) -> str:
    """The path in a value such as `replay:FILE` or `vllm:PATH`."""
    kind, colon, rest = value.partition(":")
    return rest if colon and kind in ("replay", "vllm", "unsloth") else value


def differences(old: Mapping[str, Any], new: Fingerprint) -> list[str]:
    """Say what changed between a stored fingerprint (`Fingerprint.to_dict`) and one of now, a
    phrase for each input, parameter, function or file; empty where nothing did.
    """
    if old.get("fingerprint") == new.sha256():
        return []
    if "code" not in old:
        return ["it was made by an earlier version, which kept no hashes of its functions"]
    outside = old.get("outside", {})
    said = _changed_parameters(old["parameters"], new, outside)
    for name in sorted({*outside, *new.outside}):
        if outside.get(name) != new.outside.get(name):
            said.append(f"the files of parameter {name} changed")
    said += _changed(old.get("input_sha256", {}), new.inputs, "input ")
    return said + _changed(old["code"], new.code, "")


def _changed_parameters(
    old: Mapping[str, Any], new: Fingerprint, outside: Mapping[str, str]
) -> list[str]:
    said = []
    for name in sorted({*old, *new.parameters}):
        in_files = name in outside and name in new.outside
        before, now = old.get(name), new.parameters.get(name)
        if name not in old:
            said.append(f"parameter {name} is new")
        elif name not in new.parameters:
            said.append(f"parameter {name} is gone")
        elif before != now and not in_files:
            said.append(f"parameter {name} changed ({before!r} -> {now!r})")
    return said


def _changed(old: Mapping[str, str], new: Mapping[str, str], what: str) -> list[str]:
    said = []
    for name in sorted({*old, *new}):
        if name not in old:
            said.append(f"{what}{name} is new")
        elif name not in new:
            said.append(f"{what}{name} is gone")
        elif old[name] != new[name]:
            said.append(f"{what}{name} changed")
    return said


def in_short(reasons: list[str] | tuple[str, ...], n: int = 4) -> str:
    """Join reasons to one phrase, the first `n` of them and how many more there are."""
    shown = ", ".join(reasons[:n])
    return shown if len(reasons) <= n else f"{shown} and {len(reasons) - n} more"
