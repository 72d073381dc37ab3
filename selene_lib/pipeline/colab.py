"""Google Colab: what the second cell of every notebook hands over to.

The cell fetches the project there and calls `prepare`; nothing here runs anywhere else.
`python -m selene_lib.pipeline.colab REPOSITORY` writes a public address into those cells and the
badges of README and notebooks, in one place. Standard library only: it runs before the project's
packages are installed.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files import write_text
from selene_lib.pipeline.environment import VERSIONED
from selene_lib.pipeline.places import project_root

DRIVE_HOME = "/content/drive/MyDrive/selene"
MODULES = {"scikit-learn": "sklearn", "umap-learn": "umap"}
"""Import names that differ from the name of the package."""
EXTRA_NEEDS = {"": ("papermill", "torch"), "gpu": ("papermill", "torch", "unsloth")}
"""Packages that tell whether an extra is installed; without a name it is that of all notebooks."""
COLAB = "https://colab.research.google.com"
BADGE = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({COLAB}/{{path}})"
ADDRESS = re.compile(r'^( *repository, tag = )"[^"]*", "[^"]*"', re.MULTILINE)


def prepare(
    extra: str = "",
    *,
    save_to_drive: bool = False,
    root: Path | str | None = None,
    run: Callable[..., object] = subprocess.run,
) -> list[str]:
    """Install the project with an extra (`gpu`, else `notebooks`); mount Drive if asked.

    Restarts the kernel where that replaced what it holds. Returns what was done, in words. Pins
    come from the project's own constraints. Results go to Drive where `save_to_drive` is set, so
    they outlive the machine and the next notebook finds them.
    """
    root = Path(root) if root else project_root()
    done = []
    if not is_installed(extra):
        wanted = f"{root}[{extra or 'notebooks'}]"
        pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        run([*pip, "-c", str(root / "constraints.txt"), "-e", wanted], check=True)
        done.append(f"installed {wanted}")
    stale = clashes(sys.modules)
    if stale:
        print(
            f"Restarting the kernel, which holds {'; '.join(stale)}. "
            "Then run the cells again from the top.",
            flush=True,
        )
        restart_kernel()
        return done
    if save_to_drive:
        from google.colab import drive

        drive.mount("/content/drive")
        os.environ["SELENE_HOME"] = DRIVE_HOME
        done.append(f"results go to {DRIVE_HOME}")
    os.chdir(root)
    return done or ["everything was here already"]


def restart_kernel() -> None:
    """Ask the notebook's own front end for a fresh kernel; outside of one, end the process.

    Killing it would look like a crash.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        shell.kernel.do_shutdown(restart=True)
        return
    os.kill(os.getpid(), signal.SIGTERM)


def is_installed(extra: str) -> bool:
    """Whether the project and what its extra adds can be imported."""
    if extra not in EXTRA_NEEDS:
        raise UserError(
            f"no extra {extra!r} for Colab; there are {', '.join(map(repr, EXTRA_NEEDS))}"
        )
    try:
        metadata.version("selene_lib")
    except metadata.PackageNotFoundError:
        return False
    # a broken install leaves the project's own name behind first, so its needs are looked for too
    return all(find_spec(name) for name in EXTRA_NEEDS[extra])


def clashes(loaded: Mapping[str, object]) -> list[str]:
    """Name the packages whose version in memory is not the one on disk.

    As in `numpy 2.0.2 in memory, 2.3.5 on disk`.
    """
    found = []
    for package in VERSIONED:
        held = getattr(loaded.get(MODULES.get(package, package)), "__version__", None)
        try:
            on_disk = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        if held and held.split("+")[0] != on_disk.split("+")[0]:
            found.append(f"{package} {held} in memory, {on_disk} on disk")
    return found


def stamp(root: Path, repository: str, tag: str) -> list[str]:
    """Write address and tag into cells and badges; return the names of the files that changed.

    They stand in the Colab cell and the badge of every notebook, and in the badges of README and
    docs.
    `repository` is an address such as https://github.com/OWNER/NAME. Doing it again with other
    values replaces the first ones.
    """
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository)
    if found is None:
        raise UserError(
            f"repository {repository!r}: "
            "Colab opens notebooks from https://github.com/OWNER/NAME only"
        )
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    before = {page: page.read_text(encoding="utf-8") for page in pages}
    texts = dict(before)
    changed: list[str] = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        name = path.name
        badge = BADGE.format(path=f"github/{found[1]}/blob/{tag}/notebooks/{name}")
        if _stamp_notebook(path, badge, repository, tag):
            changed.append(name)
        marker = f"<!-- colab:{name} -->"
        for page, text in texts.items():
            filled = re.sub(f"{marker}.*?<!-- /colab -->", f"{marker}{badge}<!-- /colab -->", text)
            texts[page] = filled
    for page, text in texts.items():
        if text != before[page]:
            write_text(page, text)
            changed.append(page.relative_to(root).as_posix())
    return changed


def _stamp_notebook(path: Path, badge: str, repository: str, tag: str) -> bool:
    before = path.read_text(encoding="utf-8")
    notebook = json.loads(before)
    opening = [
        line for line in notebook["cells"][0]["source"] if not line.startswith("[![Open in Colab]")
    ]
    opening = [line for i, line in enumerate(opening) if line.strip() or opening[i - 1].strip()]
    notebook["cells"][0]["source"] = [opening[0], "\n", f"{badge}\n", *opening[1:]]
    for cell in notebook["cells"]:
        if "colab" in cell["metadata"].get("tags", []):
            source = ADDRESS.sub(rf'\g<1>"{repository}", "{tag}"', "".join(cell["source"]))
            cell["source"] = source.splitlines(keepends=True)
    after = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    write_text(path, after)
    return after != before


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m selene_lib.pipeline.colab https://github.com/OWNER/NAME")
    try:
        changed = stamp(project_root(), sys.argv[1], f"v{metadata.version('selene_lib')}")
    except UserError as error:
        sys.exit(f"selene: {error}")
    print(f"written to {', '.join(changed)}" if changed else "everything stands there already")
