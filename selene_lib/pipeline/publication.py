"""What readers of the project see of a run: copies in `figures/<run>` and `reports/<run>`.

A run itself writes only below `artefacts/`; nothing but `selene publish` writes to these places.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from selene_lib.errors import UserError
from selene_lib.files import PathLock, atomic_path, copy_folder, remove_temporaries
from selene_lib.pipeline.executed import publish_executed
from selene_lib.pipeline.notebooks import STEPS
from selene_lib.pipeline.places import home, run_folder
from selene_lib.pipeline.readme import update_documents
from selene_lib.pipeline.state import heal
from selene_lib.pipeline.step_records import damaged_outputs, is_of_now, read_record
from selene_lib.pipeline.times import TIMES, write_times

REPORT, PUBLISHED = "07_report", "08_published_values"


def publish(run: str) -> list[str]:
    """Copy figures, report, results and executed notebooks of a finished run to the places that are
    committed, and fill their numbers into README and docs; return what was written, relative to the
    folder above them.

    A run whose report shows no texts (`show_texts: false`, for sets that must not be redistributed)
    is published without its notebooks, which may show items.
    Raises UserError where notebook 07 has not finished, or its files are not what it wrote.
    """
    run_dir = run_folder(run)
    with _at_rest(run_dir):
        return _publish(run, run_dir)


@contextmanager
def _at_rest(run_dir: Path) -> Iterator[None]:
    """Hold the locks of a run's steps; raises UserError while a notebook of it is at work."""
    busy = f"a notebook of run {run_dir.name!r} is at work; publish when it has ended"
    with ExitStack() as held:
        for step in STEPS:
            if (run_dir / step.name).is_dir():
                held.enter_context(PathLock(run_dir / step.name, busy=busy))
        yield


def _publish(run: str, run_dir: Path) -> list[str]:
    if run_dir.is_dir():
        heal(run_dir)
    report = _finished(run_dir, REPORT)
    if report is None:
        raise UserError(
            f"run {run!r} has no finished report; run it first: selene reproduce --run {run}"
        )
    refuse_earlier(run_dir, "published")
    reports = home() / "reports" / run
    for folder in (home() / "figures", reports.parent, reports):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder} is no folder; move it away, and publish again")
    remove_temporaries(reports)
    for name in PAGES:
        _copy(report / name, reports / name)
    written = [_copy_figures(report, run)]
    published = _finished(run_dir, PUBLISHED)
    if published is not None:
        written.append(_copy_figures(published, "published"))
    notebooks = []
    if _shows_texts(report):
        notebooks = publish_executed(run_dir, reports / "notebooks")
    else:
        shutil.rmtree(reports / "notebooks", ignore_errors=True)
    times = write_times(run_dir, reports / TIMES)
    files = [*(reports / name for name in PAGES), times, *notebooks]
    written += [path.relative_to(home()).as_posix() for path in files]
    return written + update_documents(home())


def refuse_earlier(run_dir: Path, doing: str) -> None:
    """Raise UserError where a step of a run was made of what another step holds no longer: a report
    of earlier results is not to be `doing` (published, compared).
    """
    for step in STEPS:
        record = read_record(run_dir / step.name)
        if record is not None and not is_of_now(run_dir, step.name):
            raise UserError(
                f"{step.name} of run {run_dir.name!r} is of earlier results, so its report is not "
                f"{doing}; make it again: selene reproduce --run {run_dir.name}"
            )


def refuse_damaged(run_dir: Path) -> None:
    """Raise UserError where an output of a finished step is not what the step wrote."""
    for step in STEPS:
        _finished(run_dir, step.name)


PAGES = ("results.json", "report.html", "recipe.md", "tables.zip")
"""What of notebook 07 is published beside the figures: what a reader opens, and the small tables
that `selene figures` draws from where the run itself is not.
"""


def _shows_texts(report: Path) -> bool:
    record = read_record(report)
    return record is not None and record["parameters"].get("show_texts") is not False


def _finished(run_dir: Path, step: str) -> Path | None:
    """The folder of a finished, undamaged step."""
    folder = run_dir / step
    record = read_record(folder)
    if record is None:
        return None
    wrong = damaged_outputs(folder, record)
    if wrong:
        raise UserError(
            f"{step} of run {run_dir.name!r}: {wrong[0]}; "
            f"make it again: selene reproduce --run {run_dir.name} --from {step[:2]}"
        )
    return folder


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _copy_figures(step: Path, name: str) -> str:
    """Copy the pictures only, which a reader opens: SVG, PDF, CSV and the dark twin of each stay in
    the run's own folder, and the published values have a folder of their own.
    """
    figures = home() / "figures" / name
    figures.parent.mkdir(parents=True, exist_ok=True)
    leave_out = ["*.svg", "*.pdf", "*.csv", "*.dark.png"]
    if name != "published":
        leave_out.append("*_published.png")
    copy_folder(step / "figures", figures, leave_out=leave_out)
    return figures.relative_to(home()).as_posix()
