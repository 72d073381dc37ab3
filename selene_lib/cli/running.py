"""Commands on whole runs: reproduce, verify, publish, figures, doctor, lab."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selene_lib.cli.options import DataDir, RunOption, SetOption, folder

if TYPE_CHECKING:
    from selene_lib.pipeline.notebooks import StepSpec
    from selene_lib.pipeline.state import StepState


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
    why: Annotated[
        bool,
        typer.Option(
            "--why", help="as --dry-run, with every input, parameter and function that changed"
        ),
    ] = False,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="keep this notebook's old result though something changed"),
    ] = None,
    reason: Annotated[str, typer.Option(help="recorded with what --keep accepts")] = "",
    force: Annotated[
        list[str] | None,
        typer.Option("--force", help="run this notebook again though nothing changed"),
    ] = None,
) -> None:
    """Execute the notebooks of a run, skipping unchanged ones.

    A broken chain goes on where it stopped. An old result is never deleted: it moves to
    artefacts/<run>/earlier.
    """
    from selene_lib.pipeline import chain, children, presets

    settings = presets.parse_settings(set_ or [])
    if data_dir is not None:
        if "data_dir" in settings:
            raise typer.BadParameter(
                "--data-dir and --set data_dir mean the same; give one of them"
            )
        settings["data_dir"] = str(folder(data_dir))
    if dry_run or why:
        print_dry_run(run, first, last, settings, why=why, keep=keep or (), force=force or ())
        return
    wanted = chain.Wanted(run, first, last, settings, keep or (), force or (), reason)
    with children.stopped_in_one_line(lambda: wanted.command(first)):
        chain.reproduce(
            run,
            first=first,
            last=last,
            settings=settings,
            keep=wanted.keep,
            force=wanted.force,
            reason=reason,
            say=lambda line: print(line, flush=True),
        )
    name = presets.load_run(run).name
    if any(step.number == "05" for step in chain.select_steps(first, last)):
        _print_task_means(name)
    _print_report(name, chain.Wanted(run, None, None, settings).command(None))


def print_dry_run(
    run: str,
    first: str | None,
    last: str | None,
    settings: Mapping[str, Any],
    *,
    why: bool = False,
    keep: Sequence[str] = (),
    force: Sequence[str] = (),
) -> int:
    """Print what `chain.reproduce` would do, one line a notebook; execute and write nothing. Return
    how many it would execute.

    A line says `would run` or `unchanged`, the time it takes, an input that no notebook would
    write, the parameters that differ from the notebook's defaults, and what changed (all of it, a
    line each, with `why`). What reads from a notebook that would run would run too: whether that
    input changes is known only afterwards. Raises the `UserError` that `chain.reproduce` would
    raise before it starts.
    """
    from selene_lib.pipeline import chain
    from selene_lib.pipeline.fingerprint import file_hashes
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.state import step_state

    spec, steps, resolved = chain.resolve_run(run, first, last, settings)
    kept = chain.chosen(keep, steps, "--keep")
    forced = chain.chosen(force, steps, "--force")
    run_dir, hashes = run_folder(spec.name), file_hashes()
    would_run: set[str] = set()
    for number, step in enumerate(steps, 1):
        state = step_state(step, resolved[step.name], run_dir, hashes)
        reasons = _reasons(state, would_run, kept, forced)
        if reasons:
            would_run.add(step.name)
        what = _what(state, reasons, spec.name, step.name in kept)
        what += _missing_input(step, run_dir, would_run) + _differences(step, resolved[step.name])
        print(f"[{number}/{len(steps)}] {step.name:<24} {what}")
        for reason in reasons if why else ():
            print(f"      {step.number} would run because {reason}")
    _print_training(run, settings, [step.number for step in steps])
    print(f"{len(would_run)} of {len(steps)} notebooks would run; nothing was executed or written")
    return len(would_run)


def _print_training(run: str, settings: Mapping[str, Any], numbers: Sequence[str]) -> None:
    """What notebook 04 would use on each card, of a run that is made for a GPU."""
    from selene_lib.pipeline.plan import spec_of_run, training_by_card

    if "04" not in numbers:
        return
    mine = {key: value for key, value in settings.items() if key.startswith("04.")}
    spec = spec_of_run(run, mine)
    if spec.quantisation == "nf4":
        for card, line in training_by_card(spec).items():
            print(f"      04 on {card}: {line}")


def _reasons(state: StepState, would_run: set[str], kept: set[str], forced: set[str]) -> list[str]:
    """Why a step would run; empty where it would not."""
    if state.step.name in kept:
        return []
    reasons = ["of --force"] if state.step.name in forced else []
    reasons += state.reasons
    above = sorted(would_run & state.step.needed_steps)
    return reasons + [f"it reads from {name}, which would run" for name in above]


def _what(state: StepState, reasons: Sequence[str], run: str, is_kept: bool) -> str:
    from selene_lib.pipeline.execution import clock
    from selene_lib.pipeline.fingerprint import in_short

    if is_kept:
        return "would be kept" + (f" ({in_short(state.changed)})" if state.changed else "")
    if not reasons:
        return f"unchanged, took {clock(state.seconds or 0)}"
    what = f"would run, {_expected(state.step, run, state.seconds)}"
    if state.record is not None and state.reasons:
        what += f" because {in_short(state.reasons, 2)}"
    return what


def _missing_input(step: StepSpec, run_dir: Path, would_run: set[str]) -> str:
    """Name the first input that is not there and that no notebook of this run would write."""
    for name in step.inputs:
        if name.split("/")[0] not in would_run and not (run_dir / name).exists():
            return f"; stops at once, {name} is not there"
    return ""


def _expected(step: StepSpec, run: str, seconds: float | None) -> str:
    from selene_lib.pipeline.execution import Expected
    from selene_lib.pipeline.times import usual_seconds

    return Expected("", seconds or usual_seconds(run).get(step.name)).about


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
    from selene_lib.pipeline.places import run_folder

    path = run_folder(name) / "05_evaluate_benchmarks"
    if not (path / "step.json").is_file():
        return
    print(
        f"\n{'judge':<18}{'task':<16}{'items':>6}{'replies unread':>16}{'score':>9}   95 % interval"
    )
    for row in _read_csv(path / "task_means.csv"):
        counts = f"{row['n']:>6}{row['n_unparsed']:>16}{float(row['value']):>9.3f}"
        interval = f"[{float(row['ci95_low']):.3f}, {float(row['ci95_high']):.3f}]"
        print(f"{row['judge']:<18}{row['task']:<16}{counts}   {interval}")
    print(f"\n{'trained':<18}{'gain over base, points':>24}   intervals apart")
    for row in _read_csv(path / "seeds.csv"):
        if row["judge"] != BASE:
            print(f"{row['judge']:<18}{float(row['gain_points']):>24.1f}   {_apart(row)}")


def _apart(row: Mapping[str, str]) -> str:
    """Whether a gain is one: above the base, and above what needs no judge at all."""
    apart = "yes" if row["intervals_apart"] == "True" else "no"
    if row.get("above_majority") == "False":
        share = float(row["majority"])
        apart += f", but not above {share:.3f}, the commonest label alone: no success"
    return apart


def _print_report(name: str, whole_run: str) -> None:
    """Print where the report is, and in one line how the run stands beside the published one of its
    name; where the report is older than the results, only the command for a new one.
    """
    from selene_lib.errors import UserError
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.step_records import is_of_now, read_record
    from selene_lib.pipeline.verify import published_folder, verify

    report, published = run_folder(name) / "07_report", published_folder(name)
    if read_record(report) is None:
        return
    if not is_of_now(report.parent, report.name):
        print(f"\nthe report there is of earlier results; for one of these: {whole_run}")
        return
    print(f"\nreport: {report / 'report.html'}")
    if published is None:
        return
    try:
        print(f"beside reports/{name}: {verify(report, published).line()}")
    except UserError as error:  # the run itself is good, whatever lies there
        print(f"not compared with reports/{name}: {error}")


def verify(
    run: RunOption = "nano",
    against: Annotated[
        Path | None,
        typer.Option(help="results.json, or a folder with one; default: reports/<run>"),
    ] = None,
) -> None:
    """Compare a finished run with a published one.

    Exit code 3 where scores are outside what seeds and sampling explain, or were changed after a
    run wrote them.
    """
    from selene_lib.errors import UserError
    from selene_lib.pipeline.places import run_folder
    from selene_lib.pipeline.presets import load_run
    from selene_lib.pipeline.publication import refuse_earlier
    from selene_lib.pipeline.verify import published_folder
    from selene_lib.pipeline.verify import verify as compare

    name = load_run(run).name
    published = against or published_folder(name)
    if published is None:
        raise UserError(f"no published results of run {name!r}; name some with --against")
    refuse_earlier(run_folder(name), "compared")
    found = compare(run_folder(name) / "07_report", published)
    print(found.line())
    for difference in found.differences:
        if difference.kind != "equal":
            print(f"  {difference.kind}: {difference.in_words()}")
    for said in (*found.only_here, *found.only_published, *found.other_parameters):
        print(f"  not in both: {said}")
    if not found.holds:
        raise typer.Exit(3)


def publish(run: RunOption = "nano") -> None:
    """Copy a finished run to figures/ and reports/.

    Its figures, report, results and executed notebooks go to figures/<run> and reports/<run>, the
    places that are committed; README and docs then show its numbers.
    """
    from selene_lib.pipeline.presets import load_run
    from selene_lib.pipeline.publication import publish as publish_run

    for name in publish_run(load_run(run).name):
        print(name)


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
    """Draw every figure of a run again from its result files.

    It takes seconds and no model. Where the run is not here, what was published of it in
    reports/<run> is drawn.
    """
    from selene_lib.cli.options import print_rows
    from selene_lib.figures import draw_all, draw_published
    from selene_lib.figures.kept import kept_results
    from selene_lib.pipeline.chain import resolve_run
    from selene_lib.pipeline.places import home, run_folder
    from selene_lib.pipeline.publication import refuse_damaged
    from selene_lib.pipeline.verify import published_folder

    if published:
        out = home() / "artefacts" / "published" / "figures"
        table = draw_published(out)
    else:
        spec, _, resolved = resolve_run(run, "07", "07", {})
        show_texts = resolved["07_report"]["show_texts"] if texts is None else texts
        folder_of_run, committed = run_folder(spec.name), published_folder(spec.name)
        out, kept = folder_of_run / "figures", (committed or folder_of_run) / "tables.zip"
        if any(folder_of_run.glob("0?_*")) or not kept.is_file():
            refuse_damaged(folder_of_run)
            table = draw_all(folder_of_run, out, show_texts=show_texts)
        else:
            print(f"no run {spec.name} here, so from what was published of it: {kept}")
            with kept_results(kept, spec.name) as results:
                table = draw_all(results, out, show_texts=show_texts)
    print_rows(table.to_dict("records"), False, ("figure", "status", "why"))
    print(f"\nfigures: {out}")


def doctor() -> None:
    """Compare what is installed with what was tested.

    Each difference is shown with the one command that mends it.
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
    """Open the notebooks in JupyterLab, with this interpreter.

    Options are JupyterLab's own: `selene lab --no-browser --port 8877`.
    """
    from selene_lib.pipeline.execution import kernel_here
    from selene_lib.pipeline.places import project_root

    root = project_root()
    # the root, so that figures and reports are seen beside the notebooks
    where = [f"--ServerApp.root_dir={root}", "--LabApp.default_url=/lab/tree/notebooks"]
    with kernel_here("python3"):  # the name the notebooks ask for
        code = subprocess.call(
            [sys.executable, "-m", "jupyterlab", *where, *(arguments or [])], cwd=root
        )
    raise typer.Exit(code)


COMMANDS = (reproduce, verify, publish, figures, doctor, lab)
