"""Commands on whole runs: reproduce, figures, doctor, lab."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selene_lib.cli.options import DataDir, RunOption, SetOption, folder

if TYPE_CHECKING:
    from selene_lib.pipeline.notebooks import StepSpec


def reproduce(
    run: RunOption = "nano",
    first: Annotated[
        str | None, typer.Option("--from", help="first notebook, by number or name")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="last notebook, by number or name")
    ] = None,
    data_dir: DataDir = None,
    set_: SetOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="check everything and say what would run; execute and write nothing"
        ),
    ] = False,
) -> None:
    """Execute the notebooks of a run in order.

    Unchanged ones are skipped; a broken chain goes on where it stopped.
    """
    from selene_lib.pipeline import chain, presets

    settings = presets.parse_settings(set_ or [])
    if data_dir is not None:
        settings["data_dir"] = str(folder(data_dir))
    if dry_run:
        print_dry_run(run, first, last, settings)
        return
    chain.reproduce(
        run, first=first, last=last, settings=settings, say=lambda line: print(line, flush=True)
    )
    if any(step.number == "05" for step in chain.select_steps(first, last)):
        _print_task_means(presets.load_run(run).name)


def print_dry_run(
    run: str, first: str | None, last: str | None, settings: Mapping[str, Any]
) -> int:
    """Print what `chain.reproduce` would do, one line a notebook; execute and write nothing.

    Returns how many it would execute. A line says `would run` or `unchanged`, the time it takes, an
    input that no notebook would write, and the parameters that differ from the notebook's defaults.
    What reads from a notebook that would run would run too: whether that input changes is known
    only afterwards. Raises the `UserError` that `chain.reproduce` would raise before it starts.
    """
    from selene_lib.pipeline import chain, execution
    from selene_lib.pipeline.places import run_folder

    spec, steps, resolved = chain.resolve_run(run, first, last, settings)
    run_dir = run_folder(spec.name)
    would_run: set[str] = set()
    for number, step in enumerate(steps, 1):
        parameters = resolved[step.name]
        unchanged, seconds = chain.step_state(step, parameters, run_dir)
        if unchanged and would_run.isdisjoint(step.needed_steps):
            what = f"unchanged, took {execution.clock(seconds or 0)}"
        else:
            would_run.add(step.name)
            what = f"would run, {_expected(step, spec.name, seconds)}"
        what += _missing_input(step, run_dir, would_run) + _differences(step, parameters)
        print(f"[{number}/{len(steps)}] {step.name:<24} {what}")
    print(f"{len(would_run)} of {len(steps)} notebooks would run; nothing was executed or written")
    return len(would_run)


def _missing_input(step: StepSpec, run_dir: Path, would_run: set[str]) -> str:
    """Name the first input that is not there and that no notebook of this run would write."""
    for name in step.inputs:
        if name.split("/")[0] not in would_run and not (run_dir / name).exists():
            return f"; stops at once, {name} is not there"
    return ""


def _expected(step: StepSpec, run: str, seconds: float | None) -> str:
    from selene_lib.pipeline.execution import clock

    if seconds is None and run != "nano":
        return f"time not known ({clock(step.expected_seconds)} in run nano)"
    return f"expected {clock(seconds or step.expected_seconds)}"


def _differences(step: StepSpec, parameters: Mapping[str, Any]) -> str:
    from selene_lib.pipeline.notebooks import notebook_path, parameter_defaults

    defaults = parameter_defaults(notebook_path(step.name))
    different = [
        f"{key}={value!r}"
        for key, value in parameters.items()
        if key != "run" and value != defaults[key]
    ]
    if not different:
        return ""
    return "; not the default: " + ", ".join(different)


def _print_task_means(name: str) -> None:
    """Print base against trained by task type, and every arm's gain, if the run got that far."""
    from selene_lib.judges.names import BASE
    from selene_lib.pipeline.places import home, run_folder

    path = run_folder(name) / "05_evaluate_benchmarks"
    if not (path / "step.json").is_file():
        return
    print(f"\n{'judge':<18}{'task':<16}{'n':>6}{'unparsed':>10}{'score':>9}   95 % interval")
    for row in _read_csv(path / "task_means.csv"):
        counts = f"{row['n']:>6}{row['n_unparsed']:>10}{float(row['value']):>9.3f}"
        interval = f"[{float(row['ci95_low']):.3f}, {float(row['ci95_high']):.3f}]"
        print(f"{row['judge']:<18}{row['task']:<16}{counts}   {interval}")
    print(f"\n{'trained':<18}{'gain over base, points':>24}   intervals apart")
    for row in _read_csv(path / "seeds.csv"):
        if row["judge"] != BASE:
            apart = "yes" if row["intervals_apart"] == "True" else "no"
            print(f"{row['judge']:<18}{float(row['gain_points']):>24.1f}   {apart}")
    report = home() / "reports" / name / "report.html"
    if report.is_file():
        print(f"\nreport: {report}")


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def figures(
    run: RunOption = "nano",
    published: Annotated[
        bool, typer.Option("--published", help="draw only the published values, no run needed")
    ] = False,
    texts: Annotated[
        bool | None,
        typer.Option(help="show item texts (Fig. 5); default: as the run's notebook 07 does"),
    ] = None,
) -> None:
    """Draw every figure of a run again from its result files, in seconds and without a model."""
    from selene_lib.cli.options import print_rows
    from selene_lib.figures import draw_all, draw_published
    from selene_lib.pipeline.chain import resolve_run
    from selene_lib.pipeline.places import home, run_folder

    if published:
        out = home() / "figures" / "published"
        table = draw_published(out)
    else:
        spec, _, resolved = resolve_run(run, "07", "07", {})
        show_texts = resolved["07_report"]["show_texts"] if texts is None else texts
        out = home() / "figures" / spec.name
        table = draw_all(run_folder(spec.name), out, show_texts=show_texts)
    print_rows(table.to_dict("records"), False, ("figure", "status", "why"))
    print(f"\nfigures: {out}")


def doctor() -> None:
    """Compare what is installed with what was tested.

    Every difference comes with the one command that mends it.
    """
    from selene_lib.pipeline.doctor import examine

    checks = examine()
    for check in checks:
        print(f"{'ok ' if check.ok else 'BAD'} {check.what}")
        if not check.ok:
            print(f"    remedy: {check.remedy}")
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


def lab(
    arguments: Annotated[list[str] | None, typer.Argument(help="passed on to jupyter lab")] = None,
) -> None:
    """Open the notebooks in JupyterLab with this interpreter as the kernel."""
    from selene_lib.pipeline.execution import kernel_here
    from selene_lib.pipeline.places import project_root

    notebooks = project_root() / "notebooks"
    with kernel_here("python3"):  # the name the notebooks ask for
        code = subprocess.call(
            [sys.executable, "-m", "jupyterlab", *(arguments or []), str(notebooks)], cwd=notebooks
        )
    raise typer.Exit(code)


COMMANDS = (reproduce, figures, doctor, lab)
