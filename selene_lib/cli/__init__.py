"""`selene`: one command for every stage.

Exit code 0 done, 1 failed, 2 something the user can mend (one line says what and how), 3 a gate of
`agree` that was not met, or a file judged without one readable verdict.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from selene_lib.cli import data, fetching, judging, labels, reporting, running, training
from selene_lib.errors import UserError
from selene_lib.files.disk import REMEDY, refusal

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Reproduce Atla Selene Mini: curate, train, judge, report.",
)
# options of another program are handed on
SETTINGS = {"lab": {"ignore_unknown_options": True}}
for room in (running, reporting, data, judging, labels, training):
    for command in room.COMMANDS:
        name = command.__name__.rstrip("_").replace("_", "-")
        app.command(name, context_settings=SETTINGS.get(name))(command)
for name, group in fetching.GROUPS.items():
    app.add_typer(group, name=name)


def _print_version(wanted: bool) -> None:
    if wanted:
        import selene_lib

        print(selene_lib.__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Reproduce Atla Selene Mini: curate, train, judge, report."""


def main() -> None:
    """Run a command; one line where it fails.

    An error that a user can mend ends with exit code 2, a failed notebook with 1 or 2.
    """
    from selene_lib.pipeline import execution

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 gets escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a full disk behind it is found here, and not at the very end
    except UserError as error:
        print(f"selene: {error}", file=sys.stderr)
        sys.exit(2)
    except execution.StepFailed as error:
        print(f"selene: {error}", file=sys.stderr)
        sys.exit(2 if error.user_error else 1)
    except KeyboardInterrupt:
        print("selene: stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os._exit(0)
    except _errors_of_writing() as error:
        said = refusal(error)
        if not said:
            raise
        print(f"selene: {said}; {REMEDY}", file=sys.stderr)
        _forget_output()
        sys.exit(2)


def _errors_of_writing() -> tuple[type[Exception], ...]:
    """What a refused write may raise; of safetensors too, where that was used."""
    if "safetensors" not in sys.modules:
        return (OSError, RuntimeError)
    from safetensors import SafetensorError

    return (OSError, RuntimeError, SafetensorError)


def _forget_output() -> None:
    """Send what is still to be printed nowhere, so that the interpreter does not fail at its end
    on the same full disk.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
