"""`selene doctor`: what is installed against what was tested.

Known clashes too, and the one command that mends each. Imports nothing heavy.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

from selene_lib.errors import UserError
from selene_lib.pipeline.environment import VERSIONED
from selene_lib.pipeline.places import home, project_root

GPU_ONLY = {"unsloth", "vllm"}
INSTALL = "pip install -c constraints.txt -e '.[dev]'"


@dataclass(frozen=True)
class Check:
    """One check: `what` was seen, whether it is as it should be, and the remedy where it is not."""

    what: str
    ok: bool
    remedy: str = ""


def examine() -> list[Check]:
    """Run all checks; the order is Python, versions, known clashes, kernel, disk."""
    return [_python(), *_versions(), *_clashes(), _kernel(), _disk()]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(
        f"Python {version}",
        (3, 11) <= sys.version_info[:2] < (3, 14),
        "make a virtual environment with Python 3.11, 3.12 or 3.13",
    )


def _pinned_versions(text: str) -> dict[str, str]:
    """Read `name==version` lines."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def _versions() -> list[Check]:
    try:
        locked = _pinned_versions((project_root() / "constraints.txt").read_text(encoding="utf-8"))
    except (UserError, FileNotFoundError):
        return [Check("constraints.txt not found, versions not compared", True)]
    checks = []
    for name in VERSIONED:
        found = _version(name)
        if found is None:
            checks.append(Check(f"{name} is not installed", name in GPU_ONLY, INSTALL))
        else:
            same = found.split("+")[0] == locked.get(name, found)
            checks.append(
                Check(
                    f"{name} {found}" + ("" if same else f" (tested with {locked[name]})"),
                    same,
                    INSTALL,
                )
            )
    return checks


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _clashes() -> list[Check]:
    torch = _version("torch") or ""
    checks = []
    if "+cpu" in torch and find_spec("torchvision"):
        what = (
            "torchvision beside a CPU build of torch: "
            "it breaks `from transformers import LlamaForCausalLM`"
        )
        checks.append(
            Check(
                what,
                False,
                "pip uninstall torchvision (only Unsloth and vLLM need it, and those need a GPU)",
            )
        )
    if find_spec("unsloth") and "+cpu" in torch:
        checks.append(
            Check(
                "unsloth beside a CPU build of torch",
                False,
                "use '.[dev]' on machines without an NVIDIA GPU",
            )
        )
    return checks


def _kernel() -> Check:
    return Check("notebook kernel (ipykernel)", find_spec("ipykernel") is not None, INSTALL)


def _disk() -> Check:
    try:
        where = home()
    except UserError:
        return Check("not inside a project folder, disk not looked at", True)
    # the first run makes the folders that are missing
    there = next(folder for folder in (where, *where.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 1e9
    return Check(
        f"{free:.1f} GB free where results are written",
        free > 1.0,
        f"free some disk space, or set SELENE_HOME to another folder than {where}",
    )
