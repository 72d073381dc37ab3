"""`selene`: one command for every stage. Exit code 0 done, 1 failed, 2 something the user can mend (one line says what and how)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from selene_lib.errors import UserError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
                  help="Reproduce Atla Selene Mini: curate, train, judge, report.")  # fmt: skip

RunOption = Annotated[str, typer.Option("--run", help="a run of runs/*.yaml, a YAML file, or nano")]
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="folder with the publishers' files, one folder a set")]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]


@app.command()
def reproduce(
    run: RunOption = "nano",
    first: Annotated[str | None, typer.Option("--from", help="first notebook, by number or name")] = None,
    last: Annotated[str | None, typer.Option("--to", help="last notebook, by number or name")] = None,
    data_dir: DataDir = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value, or notebook.key=value")] = None,
) -> None:
    """Execute the notebooks of a run in order; unchanged ones are skipped, a broken chain goes on where it stopped."""
    from selene_lib import chain

    settings = chain.parse_settings(set_ or [])
    if data_dir is not None:
        settings["data_dir"] = str(_folder(data_dir))
    chain.reproduce(run, first=first, last=last, settings=settings, say=lambda line: print(line, flush=True))
    _print_task_table(run)


def _print_task_table(run: str) -> None:
    """Print base against trained per task type, if the run got that far."""
    import csv

    from selene_lib.chain import load_run
    from selene_lib.runs import home, run_folder

    name = load_run(run).name
    path = run_folder(name) / "05_evaluate_benchmarks" / "task_means.csv"
    if not path.is_file():
        return
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    print(f"\n{'judge':<22}{'task':<18}{'n':>6}{'unparsed':>10}{'score':>9}   95 % interval")
    for row in rows:
        interval = f"[{float(row['ci95_low']):.3f}, {float(row['ci95_high']):.3f}]"
        print(f"{row['judge']:<22}{row['task']:<18}{row['n']:>6}{row['n_unparsed']:>10}{float(row['value']):>9.3f}   {interval}")
    report = home() / "reports" / name / "report.html"
    if report.is_file():
        print(f"\nreport: {report}")


@app.command()
def doctor() -> None:
    """Compare what is installed with what the project was tested with, and say the one command that mends it."""
    from selene_lib import doctor as checks

    findings = checks.examine()
    for finding in findings:
        print(f"{'ok ' if finding.ok else 'BAD'} {finding.what}" + ("" if finding.ok else f"\n    remedy: {finding.remedy}"))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def lab(arguments: Annotated[list[str] | None, typer.Argument(help="passed on to jupyter lab")] = None) -> None:
    """Open the notebooks in JupyterLab with this interpreter as the kernel."""
    from selene_lib.runs import project_root

    folder = project_root() / "notebooks"
    raise typer.Exit(subprocess.call([sys.executable, "-m", "jupyterlab", *(arguments or []), str(folder)], cwd=folder))


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise UserError(f"data folder {path} is not there; give the folder that holds one folder for each set")
    return path.resolve()


def _print_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    if not rows:
        print("nothing to show")
        return
    names = list(rows[0])
    cells = [["-" if row[name] is None else str(row[name]) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    for line in [names, *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def main() -> None:
    """Entry point: turn the errors a user can mend into one line and exit code 2, a failed notebook into exit code 1 or 2."""
    from selene_lib import chain

    try:
        app()
    except UserError as error:
        print(f"selene: {error}", file=sys.stderr)
        sys.exit(2)
    except chain.StepFailed as error:
        print(f"selene: {error}", file=sys.stderr)
        sys.exit(2 if error.user_error else 1)
    except KeyboardInterrupt:
        print("selene: stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
