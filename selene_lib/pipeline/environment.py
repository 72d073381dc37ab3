"""What a run stood on: git state, package versions, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from selene_lib.pipeline.places import PACKAGE

if TYPE_CHECKING:
    import pandas as pd

VERSIONED = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "bitsandbytes",
    "unsloth",
    "vllm",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "umap-learn",
    "nomic",
    "matplotlib",
    "seaborn",
    "papermill",
    "openai",
)


def environment() -> dict[str, Any]:
    """Return git state, package versions and hardware, as they go into the manifest."""
    return {"git": _git_state(), "versions": _versions(), "hardware": _hardware()}


def _git_state() -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        command = ["git", "-C", str(PACKAGE.parent), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # what a run publishes is no code: the run that writes it is not dirty for that
    status = git(
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":(top)",
        ":(top,exclude)figures",
        ":(top,exclude)reports",
    )
    return {"commit": git("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _hardware() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "system": platform.system(),
        "n_cpus": os.cpu_count(),
        "gpu": None,
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        facts["gpu"] = torch.cuda.get_device_name(0)
        facts["gpu_memory_bytes"] = torch.cuda.get_device_properties(0).total_memory
    return facts


def cpu_model() -> str:
    """Return the name of the processor as the system gives it: the last digit of a sum can depend
    on it.
    """
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def describe_environment() -> pd.DataFrame:
    """Versions and hardware of this kernel as a small table, for the first cells of a notebook."""
    import pandas as pd

    facts = environment()
    hardware, versions = facts["hardware"], facts["versions"]
    packages = {name: versions.get(name) for name in ("python", "torch", "transformers", "trl")}
    commit = (facts["git"]["commit"] or "not a git checkout")[:12]
    rows = {
        **packages,
        "git commit": commit,
        "CPUs": hardware["n_cpus"],
        "GPU": hardware["gpu"] or "none",
    }
    return pd.DataFrame({"here": rows})
