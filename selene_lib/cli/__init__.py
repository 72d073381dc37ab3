"""`selene`: one command for every stage.

Exit code 0 done, 1 failed, 2 something the user can mend (one line says what and how), 3 a gate
that was not met, or a file judged without one readable verdict. `selene --install-completion`
completes commands and options in the shell.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from selene_lib.cli import (
    connecting,
    data,
    fetching,
    judging,
    labels,
    reporting,
    running,
    training,
)
from selene_lib.cli.examples import epilog
from selene_lib.errors import UserError, missing_package
from selene_lib.files.disk import refusal, remedy_of

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Reproduce Atla Selene Mini: curate, train, judge, report.",
    epilog="`selene COMMAND --help` explains a command and ends with an example of it.",
)


def _first_sentence(command: Callable[..., None]) -> str:
    """The line in the list of commands, which is cut short unless it is given."""
    paragraph = (command.__doc__ or "").strip().split("\n\n")[0]
    return " ".join(re.split(r"(?<=\.)\s", paragraph)[0].split())


INTERRUPTED = 130  # exit code after a Ctrl-C
# options of another program are handed on
SETTINGS = {"lab": {"ignore_unknown_options": True}}
for room in (running, reporting, data, judging, labels, training, connecting):
    for command in room.COMMANDS:
        name = command.__name__.rstrip("_").replace("_", "-")
        app.command(
            name,
            context_settings=SETTINGS.get(name),
            epilog=epilog(name),
            short_help=_first_sentence(command),
        )(command)
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

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 gets escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            code = app(prog_name="selene", standalone_mode=False)
            if code == INTERRUPTED:  # typer makes an exit code of a Ctrl-C
                raise KeyboardInterrupt
        finally:
            sys.stdout.flush()  # a full disk behind it is found here, and not at the very end
        sys.exit(code if isinstance(code, int) else 0)
    except typer.TyperException as error:
        print(_in_one_line(error), file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Abort:
        print("selene: stopped at the question, nothing was done", file=sys.stderr)
        sys.exit(1)
    except UserError as error:
        print(f"selene: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        said = missing_package(error)
        if not said:
            raise
        print(f"selene: {said}", file=sys.stderr)
        sys.exit(2)
    except execution.StepFailed as error:
        print(f"selene: {error}", file=sys.stderr)
        sys.exit(2 if error.user_error else 1)
    except KeyboardInterrupt:
        print("selene: stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os._exit(0)
    except _errors_of_writing() as error:
        said = refusal(error)
        if not said:
            raise
        print(f"selene: {said}; {remedy_of(error)}", file=sys.stderr)
        _forget_output()
        sys.exit(2)


def _in_one_line(error: typer.TyperException) -> str:
    """What is wrong with a command line, and where its options are listed; the help itself where
    nothing was asked for.
    """
    text = error.format_message()
    if text.startswith("Usage:"):
        return text
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "selene"
    said = " ".join(text.split()).rstrip(".")
    return f"selene: {said[:1].lower()}{said[1:]}; see {path} --help"


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
