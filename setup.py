"""Everything is said in pyproject.toml but one thing: a wheel also holds the notebooks, runs and
examples, which lie beside the package here, so that `selene init FOLDER` works without a clone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BESIDE = ("notebooks", "runs", "examples", "constraints.txt")
HERE = Path(__file__).parent


class BuildWithProject(build_py):
    """Copies what lies beside the package into `selene_lib/project` of the wheel."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "selene_lib" / "project"
        shutil.rmtree(target, ignore_errors=True)
        for name in BESIDE:
            source = HERE / name
            if source.is_dir():
                leave_out = shutil.ignore_patterns(".*", "__pycache__")
                shutil.copytree(source, target / name, ignore=leave_out)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target / name)


setup(cmdclass={"build_py": BuildWithProject})
